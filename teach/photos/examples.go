package photos

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/internal/images"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
	"edgeclassify/samples"
	"edgeclassify/teach"
)

// Options are how photographs are looked at.
type Options struct {
	Threads int
	// Multi takes a photograph that is in the folders of several classes for one of all
	// of them; otherwise that is an error.
	Multi    bool
	Progress func(done, total int) // may be nil
}

// Examples are what a network sees in photographs.
type Examples struct {
	teach.Set
	Images   int      // photographs that could be read, each counted once
	Hash     string   // of their pixels
	SelfTest []int16  // features of teach.SelfTestImage
	Warnings []string // what was left out, and why
}

// Examples runs a network on all photographs, on as many at a time as there are
// threads. The result does not depend on how many. Files that cannot be read, and
// those with the pixels of another one, are left out. It is an error if that is more
// than half of a class.
func (f *Folder) Examples(ctx context.Context, m *q8.Model, o Options) (*Examples, error) {
	if _, ok := m.Features(); !ok {
		return nil, fmt.Errorf("photos: %w", noFeatures(m))
	}
	plan, err := runtime.Compile(m.Network, runtime.Options{Threads: 1})
	if err != nil {
		return nil, err
	}
	viewers := make([]*viewer, max(1, min(o.Threads, len(f.Files))))
	for i := range viewers {
		if viewers[i], err = newViewer(f, m, plan); err != nil {
			return nil, err
		}
		defer viewers[i].session.Close()
	}
	seen := make([]view, len(f.Files))
	err = dataset.Each(ctx, len(viewers), len(seen), o.Progress, func(worker, i int) error {
		seen[i] = viewers[worker].look(f.Files[i].Path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := &collector{folder: f, multi: o.Multi, seen: seen, first: map[[sha256.Size]byte]int{}, bursts: map[int64]int{}, lost: make([]int, len(f.Labels))}
	if _, err := viewers[0].session.Run(teach.SelfTestImage(m.Network)); err != nil {
		return nil, err
	}
	c.SelfTest = slices.Clone(viewers[0].session.Features())
	examples, err := c.collect()
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	return examples, nil
}

// noFeatures says why a network cannot be taught.
func noFeatures(m *q8.Model) error {
	last := &m.Layers[len(m.Layers)-1]
	before := m.Topology().Names(last.Inputs)[0]
	return fmt.Errorf("network %s cannot be taught: its classifier %s reads all of %s, %v, instead of one value for each channel: "+
		"take a network with a global average pool before its last layer, such as a ResNet, MobileNet or EfficientNet",
		m.Name, last.Name, before, m.Tensor(last.Inputs[0]).Shape)
}

// view is what became of a file.
type view struct {
	features []int16
	hash     [sha256.Size]byte // of the pixels that the network saw
	burst    int64             // that a board took it in; 0 for none
	err      error
}

// viewer runs the network for one goroutine.
type viewer struct {
	folder  *Folder
	session *runtime.Session
	resizer *preprocess.Resizer
	rgb     []uint8
}

func newViewer(f *Folder, m *q8.Model, plan *runtime.Plan) (*viewer, error) {
	resizer, err := preprocess.NewResizer(m.Preprocess)
	if err != nil {
		return nil, err
	}
	return &viewer{f, plan.NewSession(), resizer, make([]uint8, m.Input.Shape.Elements())}, nil
}

func (v *viewer) look(name string) (seen view) {
	file, err := v.folder.read(name)
	if err != nil {
		return view{err: err}
	}
	p, err := preprocess.Decode(file)
	if err == nil {
		err = v.resizer.Resize(v.rgb, p)
	}
	if err == nil {
		_, err = v.session.Run(v.rgb)
	}
	if err != nil {
		return view{err: err}
	}
	seen = view{features: slices.Clone(v.session.Features()), hash: sha256.Sum256(v.rgb)}
	seen.burst, _ = samples.GroupOf(file)
	return seen
}

// collector makes examples of views.
type collector struct {
	folder *Folder
	multi  bool
	seen   []view // of each file

	first     map[[sha256.Size]byte]int // the sample that pixels became
	bursts    map[int64]int             // the groups of their samples
	lost      []int                     // files that cannot be read, by class
	hashes    dataset.Hashes
	conflicts []error
	Examples
}

func (c *collector) collect() (*Examples, error) {
	c.Labels = c.folder.Labels
	if last := len(c.Labels) - 1; c.multi && c.none(last) { // independent classes need none for that
		c.Labels = c.Labels[:last]
	}
	if stray := c.folder.Stray; len(stray) > 0 {
		c.warn("left out: %d files that are in no class's folder, such as %s", len(stray), stray[0])
	}
	for i, file := range c.folder.Files {
		seen := &c.seen[i]
		first, again := c.first[seen.hash]
		switch {
		case seen.err != nil:
			c.lost[file.Class]++
			c.warn("left out: %s: %v", file.Path, seen.err)
		case again:
			c.repeat(&c.Samples[first], file)
		default:
			c.first[seen.hash] = len(c.Samples)
			c.Samples = append(c.Samples, teach.Sample{Features: seen.features, Classes: c.classes(file), Group: c.group(i), Name: file.Path})
			c.hashes = append(c.hashes, seen.hash[:])
		}
	}
	c.Images, c.Hash = c.hashes.Sum()
	return &c.Examples, errors.Join(append(c.fewConflicts(), c.tooMany())...)
}

func (c *collector) none(class int) bool { return c.folder.Labels[class] == teach.None }

// classes are those of a file: none of independent ones for what shows none.
func (c *collector) classes(file File) []int {
	if c.multi && c.none(file.Class) {
		return nil
	}
	return []int{file.Class}
}

// group is that of a file: those of one burst, which show much the same, stay together.
func (c *collector) group(file int) int {
	burst := c.seen[file].burst
	if burst == 0 {
		return file
	}
	if _, ok := c.bursts[burst]; !ok {
		c.bursts[burst] = file
	}
	return c.bursts[burst]
}

// repeat is told of a file with the pixels of a sample.
func (c *collector) repeat(s *teach.Sample, file File) {
	classes := c.classes(file)
	switch {
	case len(classes) == 0 && len(s.Classes) == 0, slices.Contains(s.Classes, file.Class):
		c.warn("left out: %s: the same picture as %s", file.Path, s.Name)
	case c.multi && len(classes) > 0 && len(s.Classes) > 0:
		s.Classes = append(s.Classes, file.Class)
	case c.multi:
		c.conflicts = append(c.conflicts, fmt.Errorf("%s and %s are the same picture, of a class and of %s: remove one of them", s.Name, file.Path, teach.None))
	default:
		c.conflicts = append(c.conflicts, fmt.Errorf("%s and %s are the same picture in two classes: remove the wrong one; "+
			"-multi is for pictures that show several classes at once", s.Name, file.Path))
	}
}

// fewConflicts are some of many.
func (c *collector) fewConflicts() []error {
	const shown = 5
	if more := len(c.conflicts) - shown; more > 0 {
		return append(c.conflicts[:shown:shown], fmt.Errorf("and %d more pictures are in two classes", more))
	}
	return c.conflicts
}

// tooMany is an error if more than half of a class is lost.
func (c *collector) tooMany() error {
	files := make([]int, len(c.folder.Labels))
	for _, file := range c.folder.Files {
		files[file.Class]++
	}
	var errs []error
	for class, lost := range c.lost {
		if 2*lost > files[class] {
			i := slices.IndexFunc(c.folder.Files, func(f File) bool { return f.Class == class })
			for c.seen[i].err == nil {
				i++
			}
			errs = append(errs, fmt.Errorf("%d of the %d files of class %q cannot be read, such as %s: %w",
				lost, files[class], c.folder.Labels[class], c.folder.Files[i].Path, c.seen[i].err))
		}
	}
	return errors.Join(errs...)
}

func (c *collector) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// Thumbnail is a small JPEG file of what a network sees of the photograph of a path.
func (f *Folder) Thumbnail(file string, s preprocess.Spec) ([]byte, error) {
	content, err := f.read(file)
	if err != nil {
		return nil, err
	}
	p, err := preprocess.Decode(content)
	if err != nil {
		return nil, err
	}
	r, err := preprocess.NewResizer(s)
	if err != nil {
		return nil, err
	}
	rgb := make([]uint8, s.Input().Elements())
	if err := r.Resize(rgb, p); err != nil {
		return nil, err
	}
	return images.Thumbnail(rgb, s.Input())
}
