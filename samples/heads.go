package samples

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

const maxHeads = 3 // kept

// heads are the trained heads. Number 0 stands for the base model.
type heads struct {
	kept []int // rising
	used []int // in use one after the other; the last one is
}

// state is the content of state.json.
type state struct {
	Used []int `json:"used"`
}

var (
	halfState = regexp.MustCompile(`^\.state\.json\.[0-9a-f]{8}\.tmp$`)
	headFile  = regexp.MustCompile(`^([1-9]\d{0,8})\.q8$`)
	halfHead  = regexp.MustCompile(`^\.+[1-9]\d{0,8}\.q8\.`)
)

func (s *Store) headsDir() string      { return filepath.Join(s.dir, "heads") }
func (s *Store) headPath(n int) string { return filepath.Join(s.headsDir(), strconv.Itoa(n)+".q8") }
func (s *Store) statePath() string     { return filepath.Join(s.dir, "state.json") }
func (h *heads) inUse() int            { return last(h.used) }
func (h *heads) has(n int) bool        { return n == 0 || slices.Contains(h.kept, n) }
func last(list []int) int {
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1]
}

func (s *Store) openHeads() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && halfState.MatchString(e.Name()) {
			s.remove(filepath.Join(s.dir, e.Name()))
		}
	}
	entries, err = os.ReadDir(s.headsDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if match := headFile.FindStringSubmatch(e.Name()); match != nil {
			n, _ := strconv.Atoi(match[1])
			s.heads.kept = append(s.heads.kept, n)
		} else if halfHead.MatchString(e.Name()) {
			s.remove(filepath.Join(s.headsDir(), e.Name()))
		}
	}
	slices.Sort(s.heads.kept)
	s.heads.used = s.readState()
	if err := s.prune(); err != nil { // what was left half done; it can wait
		s.options.Log.Warn("more heads are kept than wanted", "err", err)
	}
	return nil
}

// readState is which heads were in use. A state that makes no sense, which no power
// cut leaves, is none: the base model is in use.
func (s *Store) readState() []int {
	text, err := readAll(openFile(s.statePath()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var was state
	if err == nil {
		err = json.Unmarshal(text, &was)
	}
	if err != nil {
		s.options.Log.Warn("which head is in use cannot be read: it is the base model", "file", s.statePath(), "err", err)
		return nil
	}
	used := slices.DeleteFunc(slices.Clone(was.Used), func(n int) bool { return !s.heads.has(n) })
	if last(used) != last(was.Used) {
		s.options.Log.Warn("the head that was in use is gone", "file", s.headPath(last(was.Used)))
	}
	return used
}

// use makes used the heads in use, in the file and then here.
func (s *Store) use(used []int) error {
	used = slices.Compact(used)
	text, err := json.Marshal(state{used})
	if err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	if err := write(s.statePath(), append(text, '\n')); err != nil {
		return err
	}
	s.heads.used = used
	return nil
}

// Trained keeps one more head, which write writes to a path, and returns its number.
// It is not in use yet. Of those kept before, the oldest go.
func (s *Store) Trained(write func(path string) error) (n int, err error) {
	s.training.Lock()
	defer s.training.Unlock()
	kept, _ := s.Heads()
	n = last(kept) + 1
	path := s.headPath(n)
	half := filepath.Join(s.headsDir(), "."+filepath.Base(path)+".tmp")
	defer os.Remove(half) // if something fails
	if err := write(half); err != nil {
		return 0, fmt.Errorf("samples: head %d: %w", n, err)
	}
	if err := syncFile(half); err != nil {
		return 0, fmt.Errorf("samples: head %d: %w", n, err)
	}
	s.mu.Lock() // not while it is written, which takes long
	defer s.mu.Unlock()
	if err := os.Rename(half, path); err != nil {
		return 0, fmt.Errorf("samples: head %d: %w", n, err)
	}
	s.heads.kept = append(s.heads.kept, n)
	return n, errors.Join(s.synced(s.headsDir()), s.prune())
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// prune removes the oldest heads but for the one in use. That none can be used any
// more is known before it is removed.
func (s *Store) prune() error {
	if len(s.heads.kept) <= maxHeads {
		return nil
	}
	for len(s.heads.kept) > maxHeads {
		at := 0
		if s.heads.kept[at] == s.heads.inUse() {
			at++
		}
		n := s.heads.kept[at]
		if slices.Contains(s.heads.used, n) {
			if err := s.use(slices.DeleteFunc(slices.Clone(s.heads.used), func(m int) bool { return m == n })); err != nil {
				return err
			}
		}
		if err := os.Remove(s.headPath(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("samples: %w", err)
		}
		s.heads.kept = slices.Delete(s.heads.kept, at, at+1)
	}
	return s.synced(s.headsDir())
}

// Heads lists the numbers of the heads that are kept, and the one in use: 0 is the
// base model.
func (s *Store) Heads() (kept []int, inUse int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.heads.kept), s.heads.inUse()
}

// InUse is the file of the head in use; not ok for the base model.
func (s *Store) InUse() (path string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.heads.inUse()
	return s.headPath(n), n != 0
}

// Head is the file of a head.
func (s *Store) Head(n int) string { return s.headPath(n) }

// Use puts a head in use; 0 is the base model.
func (s *Store) Use(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.heads.has(n) {
		return fmt.Errorf("samples: head %d: %w: kept are %d", n, ErrNone, s.heads.kept)
	}
	used := s.heads.used
	if len(used) == 0 {
		used = []int{0}
	}
	const most = 16 // that can be undone
	used = append(slices.Clone(used), n)
	return s.use(used[max(0, len(used)-most):])
}

// Before is the head that Undo puts in use, or 0; not ok where none was in use before.
func (s *Store) Before() (n int, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := len(s.heads.used) - 2
	if at < 0 {
		return 0, false
	}
	return s.heads.used[at], true
}

// Undo puts that in use which was before.
func (s *Store) Undo() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heads.used) < 2 {
		return fmt.Errorf("samples: nothing was in use before: %w", ErrNone)
	}
	return s.use(slices.Clone(s.heads.used[:len(s.heads.used)-1]))
}
