// Package samples keeps what a classifier is taught from, in a folder on a board:
// photographs by label, with their features, and the heads that were trained.
//
//	DIR/samples/LABEL/ID.jpg  a photograph; a segment of the file holds its features
//	DIR/heads/N.q8            a model with a trained head
//	DIR/state.json            which head is in use, and which were before
//
// A change is one rename or one removal, synced: whenever the program is killed or
// power is cut, it has happened or it has not, and what a call returned for stays.
// What others keep in these folders is not looked at, nor removed.
package samples

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"edgeclassify/internal/atomicfile"
)

// Options of Open. Zero stands for the usual bound.
type Options struct {
	MaxSamples int          // 1000
	MaxBytes   int64        // of all photographs: 256 MB
	MaxLabels  int          // 100
	Log        *slog.Logger // nil is silent
}

const (
	maxFile  = 16 << 20 // bytes of a photograph
	idDigits = 13       // the milliseconds of a time, until the year 2286
)

// Errors that callers tell apart.
var (
	ErrFull  = errors.New("full")
	ErrNone  = errors.New("there is none")
	ErrTaken = errors.New("there is one already")
)

// Label is a class and its samples.
type Label struct {
	Name  string
	Count int
	IDs   []string // oldest first
}

// Sample is a photograph without its pixels. Features are those of its file: empty, but
// for a group of its own, where they are damaged.
type Sample struct {
	Label, ID string
	Features
}

// Store is such a folder. It is safe for concurrent use; of other programs it has the
// folder alone.
type Store struct {
	dir     string
	options Options
	lock    io.Closer

	training sync.Mutex // of Trained, before mu

	mu     sync.RWMutex
	labels []*label // by name
	last   int64    // the highest id
	bytes  int64
	heads  heads
}

type label struct {
	name    string
	samples []sample // by id
}

type sample struct{ id, bytes int64 }

// Open opens the folder, made if there is none, and removes what a program that was
// killed left half done.
func Open(dir string, o Options) (*Store, error) {
	o.MaxSamples, o.MaxBytes, o.MaxLabels = cmp.Or(o.MaxSamples, 1000), cmp.Or(o.MaxBytes, 256<<20), cmp.Or(o.MaxLabels, 100)
	if o.MaxSamples < 1 || o.MaxBytes < 1 || o.MaxLabels < 1 {
		return nil, fmt.Errorf("samples: at most %d photographs of %d bytes with %d labels: want at least 1", o.MaxSamples, o.MaxBytes, o.MaxLabels)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: dir, options: o}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("samples: %w", err), s.Close())
	}
	return s, nil
}

func (s *Store) open() (err error) {
	for _, dir := range []string{s.samplesDir(), s.headsDir()} {
		if err := makeFolder(dir); err != nil {
			return err
		}
	}
	if s.lock, err = atomicfile.Lock(filepath.Join(s.dir, ".lock")); err != nil {
		return err
	}
	entries, err := os.ReadDir(s.samplesDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.samplesDir(), e.Name())
		name, ok := labelOf(e.Name())
		switch {
		case !e.IsDir():
		case ok:
			if err := s.openLabel(path, name); err != nil {
				return err
			}
		case removed.MatchString(e.Name()):
			s.clear(path)
		}
	}
	slices.SortFunc(s.labels, func(a, b *label) int { return strings.Compare(a.name, b.name) })
	return s.openHeads()
}

// makeFolder makes a folder and those above it, where there are none, to stay.
func makeFolder(dir string) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o750); err != nil {
			return err
		}
	}
	if err := atomicfile.SyncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) { // it may be closed to us
		return err
	}
	return nil
}

// Close gives the folder free.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

func (s *Store) samplesDir() string          { return filepath.Join(s.dir, "samples") }
func (s *Store) labelDir(name string) string { return filepath.Join(s.samplesDir(), folder(name)) }
func (s *Store) path(name string, id int64) string {
	return filepath.Join(s.labelDir(name), fileName(id))
}

var (
	photograph = regexp.MustCompile(`^(\d{13})\.jpg$`)
	halfDone   = regexp.MustCompile(`^\.\d{13}\.jpg\.[0-9a-f]{8}\.tmp$`)
	removed    = regexp.MustCompile(`^\.removed-\d+$`)
)

func fileName(id int64) string { return idText(id) + ".jpg" }
func idText(id int64) string   { return fmt.Sprintf("%0*d", idDigits, id) }

func (s *Store) openLabel(dir, name string) error {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	l := &label{name: name}
	for _, e := range entries {
		if one, ok := ours(e); ok {
			l.samples = append(l.samples, one)
			s.last, s.bytes = max(s.last, one.id), s.bytes+one.bytes
		} else if isHalf(e) {
			s.remove(filepath.Join(dir, e.Name()))
		}
	}
	s.labels = append(s.labels, l)
	return nil
}

// ours is the sample that a file in a label's folder is; ok is false for others.
func ours(e fs.DirEntry) (one sample, ok bool) {
	match := photograph.FindStringSubmatch(e.Name())
	if match == nil {
		return one, false
	}
	info, err := e.Info()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return one, false
	}
	id, err := strconv.ParseInt(match[1], 10, 64)
	return sample{id, info.Size()}, err == nil
}

func isHalf(e fs.DirEntry) bool { return e.Type().IsRegular() && halfDone.MatchString(e.Name()) }

// remove removes what was left; if it cannot, it is left again.
func (s *Store) remove(path string) {
	if err := os.Remove(path); err != nil {
		s.options.Log.Warn("a file that was left half done stays", "err", err)
	}
}

// clear removes a folder of a label that was removed, but for what is not ours.
func (s *Store) clear(dir string) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if _, ok := ours(e); ok || isHalf(e) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	if err = errors.Join(err, os.Remove(dir)); err != nil {
		s.options.Log.Warn("a label that was removed leaves files behind", "err", err)
	}
}

// Labels lists the labels by name.
func (s *Store) Labels() []Label {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]Label, len(s.labels))
	for i, l := range s.labels {
		list[i] = Label{l.name, len(l.samples), make([]string, len(l.samples))}
		for j, sample := range l.samples {
			list[i].IDs[j] = idText(sample.id)
		}
	}
	return list
}

// find is the label of that name, and where it is or would be.
func (s *Store) find(name string) (at int, l *label, err error) {
	at, ok := slices.BinarySearchFunc(s.labels, name, func(l *label, name string) int { return strings.Compare(l.name, name) })
	if !ok {
		return at, nil, fmt.Errorf("samples: label %q: %w", name, ErrNone)
	}
	return at, s.labels[at], nil
}

// free tells whether a name can be given to a label that is own, or nil: names that
// differ in case alone are the same to people and to some file systems.
func (s *Store) free(name string, own *label) error {
	if err := checkLabel(name); err != nil {
		return err
	}
	for _, l := range s.labels {
		if l != own && strings.EqualFold(l.name, name) {
			return fmt.Errorf("samples: label %q: %w: %q", name, ErrTaken, l.name)
		}
	}
	return nil
}

// AddLabel adds a label without samples.
func (s *Store) AddLabel(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.free(name, nil); err != nil {
		return err
	}
	if len(s.labels) >= s.options.MaxLabels {
		return fmt.Errorf("samples: %w: there are %d labels: remove one", ErrFull, len(s.labels))
	}
	if err := os.Mkdir(s.labelDir(name), 0o750); err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	at, _, _ := s.find(name)
	s.labels = slices.Insert(s.labels, at, &label{name: name})
	return s.synced(s.samplesDir())
}

// RenameLabel gives a label another name.
func (s *Store) RenameLabel(from, to string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, l, err := s.find(from)
	if err == nil {
		err = s.free(to, l)
	}
	if err != nil || from == to {
		return err
	}
	if err := os.Rename(s.labelDir(from), s.labelDir(to)); err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	s.labels = slices.Delete(s.labels, at, at+1)
	at, _, _ = s.find(to)
	l.name = to
	s.labels = slices.Insert(s.labels, at, l)
	return s.synced(s.samplesDir())
}

// RemoveLabel removes a label with its samples.
func (s *Store) RemoveLabel(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, l, err := s.find(name)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(s.labelDir(name))
	if err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	for _, e := range entries {
		if _, ok := ours(e); !ok && !isHalf(e) {
			return fmt.Errorf("samples: label %q: its folder %s holds %q, which is no photograph of ours: move it away first", name, s.labelDir(name), e.Name())
		}
	}
	gone := filepath.Join(s.samplesDir(), fmt.Sprintf(".removed-%d", time.Now().UnixNano()))
	if err := os.Rename(s.labelDir(name), gone); err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	s.labels = slices.Delete(s.labels, at, at+1)
	for _, sample := range l.samples {
		s.bytes -= sample.bytes
	}
	l.samples = nil
	err = s.synced(s.samplesDir())
	s.clear(gone)
	return err
}

func (s *Store) synced(dir string) error {
	if err := atomicfile.SyncDir(dir); err != nil {
		return fmt.Errorf("samples: it is done, but might not outlive a power cut: %w", err)
	}
	return nil
}

// Add keeps a photograph, a JPEG file, with its features.
func (s *Store) Add(name string, jpeg []byte, f *Features) (id string, err error) {
	file, err := withFeatures(jpeg, f)
	if err != nil {
		return "", fmt.Errorf("samples: label %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, l, err := s.find(name)
	if err == nil {
		err = s.fits(int64(len(file)))
	}
	if err != nil {
		return "", err
	}
	one := sample{max(s.last+1, time.Now().UnixMilli()), int64(len(file))}
	if id = idText(one.id); len(id) > idDigits {
		return "", fmt.Errorf("samples: no number is left behind %s: rename that file", fileName(s.last))
	}
	s.last = one.id // also where it fails: its file may be there
	if err := write(s.path(name, one.id), file); err != nil {
		return "", err
	}
	l.samples = append(l.samples, one)
	s.bytes += one.bytes
	return id, nil
}

func write(path string, content []byte) error {
	err := atomicfile.Write(path, 0o640, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	return nil
}

// fits tells whether one more photograph of that size may be kept.
func (s *Store) fits(size int64) error {
	count := 0
	for _, l := range s.labels {
		count += len(l.samples)
	}
	switch {
	case size > maxFile:
		return fmt.Errorf("samples: a photograph of %d bytes: want at most %d: take smaller pictures", size, maxFile)
	case count >= s.options.MaxSamples:
		return fmt.Errorf("samples: %w: there are %d photographs: delete some", ErrFull, count)
	case s.bytes+size > s.options.MaxBytes:
		return fmt.Errorf("samples: %w: %d photographs take %d of %d bytes: delete some", ErrFull, count, s.bytes, s.options.MaxBytes)
	}
	return nil
}

// sample finds a sample. Nothing but an id that was given out finds one.
func (s *Store) sample(name, id string) (l *label, at int, err error) {
	_, l, err = s.find(name)
	if err != nil {
		return nil, 0, err
	}
	number, err := strconv.ParseInt(id, 10, 64)
	at, ok := l.index(number)
	if err != nil || !ok || idText(number) != id {
		return nil, 0, fmt.Errorf("samples: label %q: photograph %q: %w", name, id, ErrNone)
	}
	return l, at, nil
}

func (l *label) index(id int64) (at int, ok bool) {
	return slices.BinarySearchFunc(l.samples, id, func(s sample, id int64) int { return cmp.Compare(s.id, id) })
}

// JPEG is a photograph's file.
func (s *Store) JPEG(name, id string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, at, err := s.sample(name, id)
	if err != nil {
		return nil, err
	}
	return readAll(openFile(s.path(name, l.samples[at].id)))
}

// readAll reads a file that was opened, and closes it.
func readAll(f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	return file, nil
}

// openFile opens a file, if it is one still, of a size that ours may have.
func openFile(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = fmt.Errorf("%s is no file of ours: remove it", path)
	}
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	return f, nil
}

// SetFeatures replaces a photograph's features.
func (s *Store) SetFeatures(name, id string, f *Features) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, at, err := s.sample(name, id)
	if err != nil {
		return err
	}
	path := s.path(name, l.samples[at].id)
	old, err := readAll(openFile(path))
	if err != nil {
		return err
	}
	file, err := withFeatures(old, f)
	if err != nil {
		return fmt.Errorf("samples: %s: %w", path, err)
	}
	if err := write(path, file); err != nil {
		return err
	}
	s.bytes += int64(len(file)) - l.samples[at].bytes
	l.samples[at].bytes = int64(len(file))
	return nil
}

// Delete removes a photograph.
func (s *Store) Delete(name, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, at, err := s.sample(name, id)
	if err != nil {
		return err
	}
	if err := os.Remove(s.path(name, l.samples[at].id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("samples: %w", err)
	}
	s.bytes -= l.samples[at].bytes
	l.samples = slices.Delete(l.samples, at, at+1)
	return s.synced(s.labelDir(name))
}

// Each calls do with the samples that there are when it is called, by label and id,
// but for those deleted meanwhile. Of a file it reads no more than the features, into
// memory that the next sample uses again. It ends with do's first error.
func (s *Store) Each(do func(*Sample) error) error {
	var one Sample
	reader, scratch := bufio.NewReader(nil), make([]byte, maxSegment)
	for _, v := range s.view() {
		f, err := s.openView(v)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			reader.Reset(f)
			err = one.read(reader, scratch)
			f.Close()
		}
		if err != nil {
			one.Features = Features{Group: v.id, Values: one.Values[:0]}
		}
		one.Label, one.ID = v.name, idText(v.id)
		if err := do(&one); err != nil {
			return err
		}
	}
	return nil
}

// view is a sample as it was at some time.
type view struct {
	label *label
	name  string // of the label then
	id    int64
}

func (s *Store) view() (list []view) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.labels {
		for _, sample := range l.samples {
			list = append(list, view{l, l.name, sample.id})
		}
	}
	return list
}

// openView opens a sample's file, whatever its label is called by now. That of a
// sample which is deleted does not exist.
func (s *Store) openView(v view) (*os.File, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := v.label.index(v.id); !ok {
		return nil, fs.ErrNotExist
	}
	return openFile(s.path(v.label.name, v.id))
}
