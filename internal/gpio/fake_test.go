package gpio

import (
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// fakeSystem holds chips by path.
type fakeSystem map[string]*fakeChip

func (s fakeSystem) chips() []string {
	var paths []string
	for path := range s {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func (s fakeSystem) open(path string) (chip, error) {
	c := s[path]
	switch {
	case c == nil:
		return nil, &os.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case c.locked:
		return nil, &os.PathError{Op: "open", Path: path, Err: syscall.EACCES}
	}
	c.opened++
	return c, nil
}

// fakeChip keeps what it was asked for, and gives lines as a kernel would.
type fakeChip struct {
	label    string
	locked   bool
	consumer string               // of all lines, unless empty
	refuse   func(c config) error // what the kernel refuses
	requests []config
	last     *fakeLine
	opened   int
}

func (c *fakeChip) info() chipInfo  { return chipInfo{label: c.label, lines: 54} }
func (c *fakeChip) user(int) string { return c.consumer }
func (c *fakeChip) Close() error    { c.opened--; return nil }

func (c *fakeChip) request(number int, want config) (line, error) {
	c.requests = append(c.requests, want)
	if c.consumer != "" || c.last != nil && !c.last.isClosed() {
		return nil, syscall.EBUSY
	}
	if c.refuse != nil {
		if err := c.refuse(want); err != nil {
			return nil, err
		}
	}
	c.last = &fakeLine{number: number, level: want.level, edges: make(chan gpio.Level, 16), closed: make(chan struct{})}
	return c.last, nil
}

// fakeLine tells of edges that a test sends.
type fakeLine struct {
	number int
	edges  chan gpio.Level
	closed chan struct{}

	mu    sync.Mutex
	level gpio.Level
	sets  []gpio.Level
}

func (l *fakeLine) edge(level gpio.Level) {
	l.mu.Lock()
	l.level = level
	l.mu.Unlock()
	select {
	case l.edges <- level:
	default: // the kernel drops edges that nobody reads, too
	}
}

func (l *fakeLine) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

func (l *fakeLine) value() (gpio.Level, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed() {
		return gpio.Low, os.ErrClosed
	}
	return l.level, nil
}

func (l *fakeLine) set(level gpio.Level) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level = level
	l.sets = append(l.sets, level)
	return nil
}

func (l *fakeLine) wait(deadline time.Time) error {
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		timeout = time.After(time.Until(deadline))
	}
	select {
	case <-l.closed:
		return os.ErrClosed
	case <-l.edges:
		return nil
	case <-timeout:
		return os.ErrDeadlineExceeded
	}
}

func (l *fakeLine) Close() error {
	close(l.closed)
	return nil
}
