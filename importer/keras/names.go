package keras

import (
	"fmt"
	"slices"
	"strings"

	"edgeclassify/importer/weights"
)

// namer finds what a layer's variable is called in a file, given its number among
// the layer's own and the names it may have.
type namer interface {
	find(l *layer, index int, names []string) (string, error)
}

// byName finds variables by the names of layers, which stand before them with or
// without those of the models around: "model/layer/kernel", "layer/kernel".
type byName struct {
	grouped  bool // names begin with that of the outermost layer
	suffixes map[string][]string
}

// maxSuffixes bounds how many parts of a name are looked at.
const maxSuffixes = 16

func newByName(arrays map[string]weights.Array, grouped bool) byName {
	n := byName{grouped, map[string][]string{}}
	for name := range arrays {
		suffix := name
		for range maxSuffixes {
			n.suffixes[suffix] = append(n.suffixes[suffix], name)
			_, rest, more := strings.Cut(suffix, "/")
			if !more {
				break
			}
			suffix = rest
		}
	}
	return n
}

func (n byName) find(l *layer, _ int, names []string) (string, error) {
	for i := range l.path {
		for _, name := range names {
			found := n.within(l, strings.Join(l.path[i:], "/")+"/"+name)
			if len(found) > 0 {
				return found[0], one(found)
			}
		}
	}
	if n.grouped && len(l.path) == 1 { // renamed since it was built
		for _, name := range names {
			if found := n.within(l, name); len(found) > 0 {
				return found[0], one(found)
			}
		}
	}
	return strings.Join(l.path, "/") + "/" + names[0], nil // missing
}

// within are the names that end so, of the layer's group.
func (n byName) within(l *layer, suffix string) []string {
	found := n.suffixes[suffix]
	if !n.grouped {
		return found
	}
	return slices.DeleteFunc(slices.Clone(found), func(name string) bool { return !strings.HasPrefix(name, l.path[0]+"/") })
}

func one(found []string) error {
	if len(found) > 1 {
		return fmt.Errorf("tensors %q and %q could both belong to it", found[0], found[1])
	}
	return nil
}

// byIndex finds variables in a .keras file: by the class of layers, numbered within
// their model, and the order in which they were made.
type byIndex struct{ layers string } // the name of groups of layers

func (n byIndex) find(l *layer, index int, _ []string) (string, error) {
	group := strings.TrimPrefix(l.group, "/")
	if n.layers != "layers" {
		group = strings.ReplaceAll(group, "layers", n.layers)
	}
	return fmt.Sprintf("%s/vars/%d", group, index), nil
}
