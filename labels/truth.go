package labels

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A WordNet id that stands alone at the start or the end of a name. \b would
// not do: it takes the underscore of n01440764_tench for a letter.
var (
	leading  = regexp.MustCompile(`^n\d{8}(?:[^0-9A-Za-z]|$)`)
	trailing = regexp.MustCompile(`(?:^|[^0-9A-Za-z])n\d{8}$`)
)

// Folders returns a function that finds the class which has the name or the id of
// one of a picture's folders, the nearest first: in any case, with underscores or
// hyphens for spaces, or with the first of a name's synonyms ("tench" of "tench,
// Tinca tinca"). ok is false where none is named so, or several are. Ids that are
// numbers do not count: folders may be numbered otherwise.
func Folders(classes []Class) func(path string) (class int, ok bool) {
	const several = -1
	known := make(map[string]int, 2*len(classes))
	for i, c := range classes {
		first, _, _ := strings.Cut(c.Name, ",")
		names := []string{c.Name, first, c.ID}
		if _, err := strconv.Atoi(c.ID); err == nil {
			names = names[:2]
		}
		for _, name := range names {
			if other, taken := known[fold(name)]; taken && other != i {
				known[fold(name)] = several
				continue
			}
			known[fold(name)] = i
		}
	}
	return func(path string) (class int, ok bool) {
		folders := strings.Split(filepath.ToSlash(filepath.Dir(path)), "/")
		for _, folder := range slices.Backward(folders) {
			if class, ok := known[fold(folder)]; ok {
				return max(class, 0), class != several
			}
		}
		return 0, false
	}
}

const idLength = len("n01440764")

// FromPath returns the index of the class that a picture's path names by its
// WordNet id: at the start of the file name (n01440764_tench.JPEG), at its end
// (ILSVRC2012_val_00000293_n01440764.JPEG), or at the start of its folder's
// name (n01440764/293.JPEG). ok is false where there is no id or none of the
// classes has it.
func FromPath(path string, classes []Class) (class int, ok bool) {
	path = filepath.ToSlash(path)
	folder, file := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		folder, file = path[:i], path[i+1:]
		folder = folder[strings.LastIndexByte(folder, '/')+1:]
	}
	stem := strings.TrimSuffix(file, filepath.Ext(file))

	var id string
	switch {
	case leading.MatchString(file):
		id = file[:idLength]
	case trailing.MatchString(stem):
		id = stem[len(stem)-idLength:]
	case leading.MatchString(folder):
		id = folder[:idLength]
	default:
		return 0, false
	}
	class = slices.IndexFunc(classes, func(c Class) bool { return c.ID == id })
	return max(class, 0), class >= 0
}
