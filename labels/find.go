package labels

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// ErrUnknown is for names that no class has.
var ErrUnknown = errors.New("no class")

const (
	maxSuggestions = 5
	maxDistance    = 2 // edits that a misspelt name may need
	maxListed      = 10
)

// Find returns the classes with that name, whatever its case, or else with that
// id: several where they share the name. The error of an unknown name lists names
// that are near it.
func Find(classes []Class, name string) ([]int, error) {
	var named []int
	for i, c := range classes {
		if strings.EqualFold(c.Name, name) {
			named = append(named, i)
		}
	}
	if named != nil {
		return named, nil
	}
	if i := slices.IndexFunc(classes, func(c Class) bool { return c.ID == name }); i >= 0 {
		return []int{i}, nil
	}
	if near := nearest(classes, name); len(near) > 0 {
		return nil, fmt.Errorf("%w %q: did you mean %s?", ErrUnknown, name, strings.Join(near, ", "))
	}
	all := ""
	if len(classes) <= maxListed {
		all = ": " + strings.Join(names(classes), ", ")
	}
	return nil, fmt.Errorf("%w %q among the model's %d%s", ErrUnknown, name, len(classes), all)
}

func names(classes []Class) []string {
	list := make([]string, len(classes))
	for i, c := range classes {
		list[i] = c.Name
	}
	return list
}

// nearest returns names that contain name, then names with few edits between.
func nearest(classes []Class, name string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	lower := strings.ToLower(name)
	for _, c := range classes {
		known := strings.ToLower(c.Name)
		d := 0
		if !strings.Contains(known, lower) {
			d = levenshtein.ComputeDistance(lower, known)
		}
		if d <= maxDistance && d < len(lower) {
			near = append(near, candidate{c.Name, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range near {
		if !slices.Contains(names, c.name) && len(names) < maxSuggestions {
			names = append(names, c.name)
		}
	}
	return names
}
