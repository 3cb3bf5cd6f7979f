package labels

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A WordNet id that stands alone at the start or the end of a name. \b would
// not do: it takes the underscore of n01440764_tench for a letter.
var (
	leading  = regexp.MustCompile(`^n\d{8}(?:[^0-9A-Za-z]|$)`)
	trailing = regexp.MustCompile(`(?:^|[^0-9A-Za-z])n\d{8}$`)
)

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

// ReadTruth reads the true classes of an evaluation set and returns the class
// index by file name. Each line holds a file name, spaces or tabs, and the
// class: its id, or its index from 0. The file name may contain spaces. Blank
// lines and lines that begin with # are skipped. Errors give the line's number.
func ReadTruth(r io.Reader, classes []Class) (map[string]int, error) {
	byID := make(map[string]int, len(classes))
	for i, c := range classes {
		byID[c.ID] = i
	}
	truth := map[string]int{}
	scanner := bufio.NewScanner(r)
	number := 1
	for ; scanner.Scan(); number++ {
		line := strings.TrimSpace(strings.TrimPrefix(scanner.Text(), "\ufeff")) // some editors' byte order mark
		if line == "" || line[0] == '#' {
			continue
		}
		name, class, err := truthLine(line, byID)
		if err != nil {
			return nil, fmt.Errorf("labels: line %d: %w", number, err)
		}
		if _, taken := truth[name]; taken {
			return nil, fmt.Errorf("labels: line %d: %q appears twice", number, name)
		}
		truth[name] = class
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("labels: line %d: %w", number, err)
	}
	return truth, nil
}

func truthLine(line string, byID map[string]int) (name string, class int, err error) {
	i := strings.LastIndexFunc(line, unicode.IsSpace)
	if i < 0 {
		return "", 0, fmt.Errorf("%q: want a file name, a space or tab, and a class", line)
	}
	name, word := strings.TrimSpace(line[:i]), line[i+1:]
	if class, ok := byID[word]; ok {
		return name, class, nil
	}
	class, err = strconv.Atoi(word)
	if err != nil || class < 0 || class >= len(byID) {
		return "", 0, fmt.Errorf("%q: %q is neither a class id nor a number from 0 to %d", name, word, len(byID)-1)
	}
	return name, class, nil
}
