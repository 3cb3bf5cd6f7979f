package evaluate

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/labels"
)

// validation matches an image of the validation set, with its number.
var validation = regexp.MustCompile(`^ILSVRC20\d\d_val_(\d{8})`)

// errNoClass is for images whose class nothing tells.
var errNoClass = errors.New("no class")

// TrueClasses finds the true class of every image file among those in folder: in
// the table, a text file, if one is given, which must have them all; else by the
// names of file and folders, -1 where they do not tell. Errors of the table name
// its line.
func TrueClasses(table, folder string, files []string, classes []labels.Class) ([]int, error) {
	find := namedClasses(folder, classes)
	if table != "" {
		t, err := openTruth(table, classes)
		if err != nil {
			return nil, err
		}
		find = t.find
	}
	truth := make([]int, len(files))
	for i, file := range files {
		class, err := find(file)
		switch {
		case err == nil:
			truth[i] = class
		case errors.Is(err, errNoClass):
			truth[i] = -1
		default:
			return nil, fmt.Errorf("%s: %w", table, err)
		}
	}
	return truth, nil
}

// namedClasses finds classes by the WordNet id in an image's name or that of
// its folder, by the label that folder or one within has for a name, or by the
// number of a folder within.
func namedClasses(folder string, classes []labels.Class) func(file string) (int, error) {
	numbered, named := numberedFolders(folder, len(classes)), labels.Folders(classes)
	return func(file string) (int, error) {
		if class, ok := labels.FromPath(file, classes); ok {
			return class, nil
		}
		if within, err := filepath.Rel(filepath.Dir(filepath.Clean(folder)), file); err == nil {
			if class, ok := named(within); ok {
				return class, nil
			}
		}
		if class, ok := numbered[filepath.Dir(file)]; ok {
			return class, nil
		}
		return 0, errNoClass
	}
}

// Unnamed are the folders within folder whose pictures have no true class, sorted.
func Unnamed(folder string, files []string, truth []int) (folders []string) {
	for i, file := range files {
		dir := filepath.Dir(file)
		if within, err := filepath.Rel(folder, dir); truth[i] < 0 && err == nil && within != "." {
			folders = append(folders, within)
		}
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

// numberedFolders gives the class of each folder within folder where they are
// named by the classes' numbers. To be sure that they are, there must be no
// other folders, and a 0, without which they might count from 1.
func numberedFolders(folder string, classes int) map[string]int {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // which is a single image
	}
	numbered := map[string]int{}
	var seen []int
	for _, entry := range entries {
		if info, err := os.Stat(filepath.Join(folder, entry.Name())); err != nil || !info.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		class, err := strconv.ParseUint(entry.Name(), 10, 31)
		if err != nil || int(class) >= classes || slices.Contains(seen, int(class)) {
			return nil
		}
		seen = append(seen, int(class))
		numbered[filepath.Join(folder, entry.Name())] = int(class)
	}
	if !slices.Contains(seen, 0) {
		return nil
	}
	return numbered
}

// truthTable is a file of true classes, which has names or, in the order of
// the validation set's numbers from 1, classes alone.
type truthTable struct {
	byPath   map[string]int // by the name as it is written
	byBase   map[string]int // by its last element; -1 where several have the same
	byNumber []int
}

func openTruth(file string, classes []labels.Class) (*truthTable, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := readTruth(f, classes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}

// find looks for an image by its path: the whole of it, then without one
// leading folder after the other.
func (t *truthTable) find(image string) (int, error) {
	base := filepath.Base(image)
	if t.byNumber != nil {
		return t.findNumber(base)
	}
	for name, more := filepath.ToSlash(image), true; more; _, name, more = strings.Cut(name, "/") {
		if class, ok := lookUp(t.byPath, name); ok {
			return class, nil
		}
	}
	class, ok := lookUp(t.byBase, base)
	switch {
	case !ok:
		return 0, fmt.Errorf("no line for %s", base)
	case class < 0:
		return 0, fmt.Errorf("several lines for %s: its path %s ends like none of them", base, image)
	}
	return class, nil
}

// lookUp takes a name with its extension or, as some files have it, without.
func lookUp(classes map[string]int, name string) (class int, ok bool) {
	if class, ok = classes[name]; !ok {
		class, ok = classes[strings.TrimSuffix(name, path.Ext(name))]
	}
	return class, ok
}

func (t *truthTable) findNumber(base string) (int, error) {
	match := validation.FindStringSubmatch(base)
	if match == nil {
		return 0, fmt.Errorf("a file without names is for pictures named like ILSVRC2012_val_00000001.JPEG, which %s is not", base)
	}
	number, err := strconv.Atoi(match[1])
	if err != nil || number < 1 || number > len(t.byNumber) {
		return 0, fmt.Errorf("no line for %s: the file has %d", base, len(t.byNumber))
	}
	return t.byNumber[number-1], nil
}
