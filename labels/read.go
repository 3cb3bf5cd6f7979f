package labels

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	maxFile    = 4 << 20 // bytes; the labels of ImageNet-22k take one
	maxClasses = 1 << 18
	maxName    = 256 // characters
)

// Read returns the classes that a file names, see Parse, or that the folders in a
// folder name: in the order of their names' code points, which is that of
// torchvision's ImageFolder and of Keras. Hidden and empty folders are left out;
// where a folder is split into train, val or test, the classes are those inside.
func Read(path string) ([]Class, error) {
	classes, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("labels: %s: %w", path, err)
	}
	return classes, nil
}

func read(path string) ([]Class, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, reason(err)
	case info.IsDir():
		return readFolder(path)
	case !info.Mode().IsRegular():
		return nil, errors.New("neither a file nor a folder")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%d bytes are too many for a list of labels", info.Size())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, reason(err)
	}
	return parse(data)
}

// reason is err without the path, which the caller names.
func reason(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// splits are the names of a data set's parts.
var splits = []string{"train", "training", "val", "valid", "validation", "test"}

func readFolder(path string) ([]Class, error) {
	names, err := folders(path)
	if err != nil {
		return nil, reason(err)
	}
	for _, split := range splits {
		if !slices.Contains(names, split) { // or a class of railways, which holds pictures
			continue
		}
		if inside, err := folders(filepath.Join(path, split)); err == nil && len(inside) > 0 {
			names = inside
			break
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no folders with pictures in it: want one for each class")
	}
	list := make([]entry, len(names))
	for i, name := range names {
		list[i] = entry{where: fmt.Sprintf("folder %q", name), index: none, name: name}
	}
	return order(list)
}

// folders are the names of the folders in a folder that hold something, symbolic
// links followed, in the order of their bytes, which is that of code points.
func folders(path string) (names []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.Type().IsRegular() {
			continue
		}
		if holdsSomething(filepath.Join(path, e.Name())) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func holdsSomething(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	inside, _ := f.Readdirnames(1)
	return len(inside) > 0
}

// Parse returns the classes that a file names, which is one of
//
//   - text: a name on each line. Where all lines begin with a number from 0 or 1
//     on ("0 cat", "0: cat", "0,cat"), it is the class' place; a WordNet id
//     ("n01440764 tench") is its ID;
//   - a JSON list of names or of objects with name and, if known, id;
//   - a JSON object of places to names, or of names to places: id2label,
//     class_to_idx, class_indices, Keras' imagenet_class_index.json;
//   - a JSON object that has one of these: a config.json of timm or of Hugging
//     Face's transformers, Teachable Machine's metadata.json.
//
// Classes without an id have their place as ID. Names are printable: spaces of
// all kinds become one space, other control characters are errors.
func Parse(data []byte) ([]Class, error) {
	classes, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	return classes, nil
}

func parse(data []byte) ([]Class, error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, errors.New("it is UTF-16: save it as UTF-8")
	}
	data = bytes.TrimRightFunc(bytes.TrimPrefix(data, []byte("\ufeff")), unicode.IsSpace)
	if len(data) > maxFile {
		return nil, fmt.Errorf("%d bytes are too many for labels", len(data))
	}
	switch start := bytes.TrimSpace(data); {
	case len(data) == 0:
		return nil, errors.New("it is empty")
	case start[0] == '[' || start[0] == '{':
		return parseJSON(start)
	}
	return parseText(string(data))
}

// none stands for the place in the list.
const none = math.MinInt

// entry is a class as a file says it.
type entry struct {
	where    string // in the file
	index    int
	id, name string
}

var numbered = regexp.MustCompile(`^(\d{1,7})(?:\s*[:,;]\s*|\s+)(\S.*)$`)

func parseText(text string) ([]Class, error) {
	if n := strings.Count(text, "\n"); n >= maxClasses {
		return nil, tooMany(n + 1)
	}
	var list []entry
	for line := range strings.Lines(text) {
		e := entry{where: fmt.Sprintf("line %d", len(list)+1), index: none, name: strings.TrimSpace(line)}
		if e.name == "" {
			return nil, fmt.Errorf("%s is empty", e.where)
		}
		list = append(list, e)
	}
	return order(places(list))
}

func tooMany(n int) error {
	return fmt.Errorf("%d labels are too many: at most %d", n, maxClasses)
}

// places takes the numbers in front of the names for places, if they are ones:
// all have one, and they begin at 0; or they go from 1 to the last. Names such as
// "1 euro, 2 euro, 5 euro" stay as they are.
func places(list []entry) []entry {
	indexed, first := slices.Clone(list), len(list)+1
	for i := range indexed {
		e := &indexed[i]
		m := numbered.FindStringSubmatch(e.name)
		if m == nil {
			return list
		}
		e.index, _ = strconv.Atoi(m[1]) // seven digits
		e.name = m[2]
		first = min(first, e.index)
	}
	if first == 0 {
		return indexed
	}
	for i := range indexed {
		e := &indexed[i]
		if e.index--; e.index != i || i > 0 && e.name == indexed[0].name {
			return list
		}
	}
	return indexed
}

// order puts classes in their places: each has one, from 0 on, or none has.
func order(list []entry) ([]Class, error) {
	classes, from := make([]Class, len(list)), make([]string, len(list))
	ids, names := make(map[string]string, len(list)), sync.OnceValue(imageNetNames)
	for i, e := range list {
		at := e.index
		if at == none {
			at = i
		}
		switch {
		case (e.index == none) != (list[0].index == none):
			return nil, fmt.Errorf("%s: some classes have a number and some have none", e.where)
		case at < 0 || at >= len(list):
			return nil, fmt.Errorf("%s: class %d of %d: classes are numbered from 0 on without holes", e.where, at, len(list))
		case from[at] != "":
			return nil, fmt.Errorf("%s and %s are both class %d", from[at], e.where, at)
		}
		c, err := e.class(at, names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.where, err)
		}
		if other := ids[c.ID]; other != "" {
			return nil, fmt.Errorf("%s and %s have the same id %q", other, e.where, c.ID)
		}
		classes[at], from[at], ids[c.ID] = c, e.where, e.where
	}
	return withImageNetIDs(classes), nil
}

var wordNet = regexp.MustCompile(`^(n\d{8})(?:$|[\s:,;_-]+(.*)$)`)

// class is the class in that place; names are those of known ids.
func (e *entry) class(at int, names func() map[string]string) (c Class, err error) {
	c = Class{ID: e.id}
	if c.Name, err = printable(e.name); err != nil {
		return c, err
	}
	if c.ID, err = printable(c.ID); err != nil {
		return c, err
	}
	if m := wordNet.FindStringSubmatch(c.Name); m != nil && (c.ID == "" || c.ID == m[1]) {
		c = Class{ID: m[1], Name: m[2]}
	}
	if wordNet.MatchString(c.ID) {
		if c.Name = strings.ReplaceAll(c.Name, "_", " "); c.Name == "" {
			c.Name = cmp.Or(names()[c.ID], c.ID)
		}
	}
	if c.Name == "" {
		return c, errors.New("the name is empty")
	}
	if c.ID == "" {
		c.ID = strconv.Itoa(at)
	}
	return c, nil
}

func imageNetNames() map[string]string {
	names := make(map[string]string)
	for _, c := range ImageNet() {
		names[c.ID] = c.Name
	}
	return names
}

// printable is s with single spaces, if that is fit to be printed.
func printable(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("not UTF-8")
	}
	s = strings.Join(strings.Fields(s), " ")
	return s, check(s)
}

func check(s string) error {
	if n := utf8.RuneCountInString(s); n > maxName {
		return fmt.Errorf("%d characters are too many for a name", n)
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf) && r != joiner && r != nonJoiner {
			return fmt.Errorf("%q has the control character %U", s, r)
		}
	}
	return nil
}

// Control characters that emoji and some scripts need.
const joiner, nonJoiner = '\u200d', '\u200c'

// Check finds classes that are not fit to be printed: control characters in their
// names, or too many characters.
func Check(classes []Class) error {
	for i, c := range classes {
		for _, text := range []string{c.ID, c.Name} {
			if err := check(text); err != nil {
				return fmt.Errorf("labels: class %d: %w", i, err)
			}
		}
	}
	return nil
}

// withImageNetIDs gives ImageNet's classes their WordNet ids, where they stand in
// its order with a name of their synset each, as in Hugging Face's id2label.
func withImageNetIDs(classes []Class) []Class {
	if len(classes) != imageNetClasses {
		return classes
	}
	known, same := ImageNet(), 0
	for i, c := range classes {
		name, _, _ := strings.Cut(c.Name, ",")
		if c.ID == strconv.Itoa(i) && equalFold(name, known[i].Name) {
			same++
		}
	}
	if same < len(known)/2 {
		return classes
	}
	for i := range classes {
		classes[i].ID = known[i].ID
	}
	return classes
}

// equalFold compares names as people write them: in any case, with spaces,
// underscores or hyphens.
func equalFold(a, b string) bool { return fold(a) == fold(b) }

func fold(name string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(name, func(r rune) bool {
		return r == '_' || r == '-' || unicode.IsSpace(r)
	}), " "))
}
