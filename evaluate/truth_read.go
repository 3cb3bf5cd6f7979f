package evaluate

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"edgeclassify/labels"
)

// The WordNet ids of ILSVRC 2012 in the order of the development kit, which
// numbers them from 1: meta.mat in the kit of 2012, map_clsloc.txt in later ones.
//
//go:embed truth_ilsvrc.txt
var developmentKit string

var (
	// An image's name, which may contain spaces if it ends in an extension, and
	// its class.
	namedLine = regexp.MustCompile(`(?i)^(.*?\.(?:jpe?g|png)|[^\s,]+)[\s,]+(.+)$`)
	// An id and boxes, each but the first behind the id again, as in Kaggle's
	// LOC_val_solution.csv.
	boxes = regexp.MustCompile(`^(n\d{8}) [n\d ]+$`)
)

// bareClass is a line that has nothing but a class.
type bareClass struct {
	line   int
	word   string
	number int // that word is, if all are numbers
}

// truthReader collects what the lines of a file of true classes say.
type truthReader struct {
	classes []labels.Class
	known   map[string]int // classes by the words that were met
	table   truthTable
	bare    []bareClass
}

// readTruth reads true classes. A line holds an image's name, which may begin
// with folders, then space, tab or comma, then the class: its number from 0,
// its id or its label. So do Caffe's val.txt and Kaggle's LOC_val_solution.csv.
// Or every line holds nothing but a class, of the validation set's images in
// order, as in the development kit's ground truth. Blank lines and those that
// begin with # are skipped. Errors give the line's number.
func readTruth(r io.Reader, classes []labels.Class) (*truthTable, error) {
	t := truthReader{classes: classes, known: map[string]int{}}
	t.table.byPath, t.table.byBase = map[string]int{}, map[string]int{}
	scanner := bufio.NewScanner(r)
	number := 1
	for ; scanner.Scan(); number++ {
		line := strings.TrimSpace(strings.TrimPrefix(scanner.Text(), "\ufeff")) // some editors' byte order mark
		if line == "" || line[0] == '#' || line == "ImageId,PredictionString" {
			continue
		}
		if err := t.add(number, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number, err)
	}
	if len(t.bare) == 0 && len(t.table.byPath) == 0 {
		return nil, errors.New("the file has no classes")
	}
	return &t.table, t.resolveBare()
}

func (t *truthReader) add(number int, line string) error {
	match := namedLine.FindStringSubmatch(line)
	if match == nil {
		t.bare = append(t.bare, bareClass{line: number, word: line})
	} else if err := t.name(match[1], match[2]); err != nil {
		return fmt.Errorf("%q: %w", match[1], err)
	}
	if len(t.bare) > 0 && len(t.table.byPath) > 0 {
		return fmt.Errorf("%q: want a picture's name and a class on all lines, or a class alone on all", line)
	}
	return nil
}

func (t *truthReader) name(name, word string) error {
	class, err := t.class(word)
	if err != nil {
		return err
	}
	name = path.Clean(filepath.ToSlash(name))
	if _, taken := t.table.byPath[name]; taken {
		return errors.New("it appears twice")
	}
	t.table.byPath[name] = class
	base := path.Base(name)
	if _, taken := t.table.byBase[base]; taken {
		class = -1
	}
	t.table.byBase[base] = class
	return nil
}

// resolveBare finds the classes of a file without names.
func (t *truthReader) resolveBare() error {
	kit, err := t.numbering()
	if err != nil {
		return err
	}
	for _, b := range t.bare {
		word := b.word
		if kit != nil {
			word = kit[b.number-1]
		}
		class, err := t.class(word)
		if err != nil {
			return fmt.Errorf("line %d: %w", b.line, err)
		}
		t.table.byNumber = append(t.table.byNumber, class)
	}
	return nil
}

// numbering returns the ids that bare numbers stand for, if it is for the
// development kit's: nil where the numbers count the model's classes, or there
// are ids. Both numberings are in use and only the ends tell them apart: 0 is
// in the one, 1000 in the other.
func (t *truthReader) numbering() (kit []string, err error) {
	smallest, largest := math.MaxInt, math.MinInt
	for i := range t.bare {
		b := &t.bare[i]
		if b.number, err = strconv.Atoi(b.word); err != nil {
			return nil, nil
		}
		smallest, largest = min(smallest, b.number), max(largest, b.number)
	}
	kit = strings.Fields(developmentKit)
	switch {
	case smallest <= 0 || len(t.bare) == 0:
		return nil, nil
	case largest != len(kit):
		return nil, fmt.Errorf("numbers alone, from %d to %d, may count classes from 0 or be the ILSVRC development kit's from 1: "+
			"take a whole ground truth file, which has a 0 or a %d, or lines of file name and class", smallest, largest, len(kit))
	}
	return kit, nil
}

// class finds the class with that number, id or label.
func (t *truthReader) class(word string) (int, error) {
	if class, ok := t.known[word]; ok {
		return class, nil
	}
	class, err := t.find(word)
	if err == nil {
		t.known[word] = class
	}
	return class, err
}

func (t *truthReader) find(word string) (int, error) {
	if number, err := strconv.Atoi(word); err == nil {
		if number < 0 || number >= len(t.classes) {
			return 0, fmt.Errorf("class %d: want 0 to %d", number, len(t.classes)-1)
		}
		return number, nil
	}
	if match := boxes.FindStringSubmatch(word); match != nil {
		word = match[1]
	}
	found, err := labels.Find(t.classes, word)
	if err != nil {
		return 0, err
	}
	if len(found) > 1 {
		return 0, fmt.Errorf("classes %d are all named %q: give the class's id or number", found, word)
	}
	return found[0], nil
}
