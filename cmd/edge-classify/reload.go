package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"edgeclassify/classify"
	"edgeclassify/labels"
	"edgeclassify/q8"
	"edgeclassify/stream"
)

const (
	modelPoll = time.Second      // between two looks at the model's file
	copyTime  = 10 * time.Second // that a file which cannot be used stays as it is before it is complained of
)

// reloader takes up another model while the camera runs: what -model's file becomes,
// and what is taught on that.
type reloader struct {
	options options
	out     *outputs        // whose sinks may refuse a model
	ended   <-chan struct{} // the loop; nil before it begins
	log     *slog.Logger
	// replace has no buffer: the loop has what was sent, and has let go of the model
	// before.
	replace chan stream.Classifier

	mu    sync.Mutex
	model *classify.Model // that runs
	base  atomic.Value    // see Base
}

func newReloader(o options, m *classify.Model, log *slog.Logger) *reloader {
	r := &reloader{options: o, log: log, model: m, replace: make(chan stream.Classifier), out: &outputs{}}
	r.base.Store(m.File().SHA256)
	return r
}

// Base is the checksum of the model that runs, or that what runs was taught on. It is
// right from when sinks are told of a model until they are told of the next.
func (r *reloader) Base() string { return r.base.Load().(string) }

// Load has the model in a file take over between two frames. It is checked beside
// the one that runs, which goes on where Load fails. What was taught on the same model
// goes on, too.
func (r *reloader) Load(path string) error {
	return r.load(path, func(f *q8.File) (base string, again bool, err error) {
		return f.SHA256, f.SHA256 == r.Base(), nil
	})
}

// Use has what was taught on the model take over, or the model itself again, as Load
// does.
func (r *reloader) Use(path string) error {
	return r.load(path, func(f *q8.File) (base string, again bool, err error) {
		if base = r.Base(); f.SHA256 != base && f.Provenance.Base != base {
			return "", false, fmt.Errorf("%s: it was taught on another model than the one in use: train again", path)
		}
		return base, f.SHA256 == r.model.File().SHA256, nil
	})
}

// load has a model take over unless it is the one in use again. fits tells that, and
// the model's base.
func (r *reloader) load(path string, fits func(*q8.File) (base string, again bool, err error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	start, e := time.Now(), r.options.engine
	e.model = path
	m, err := e.open(classify.Options{Top: r.options.top})
	if err != nil {
		return err
	}
	base, again, err := fits(m.File())
	if err != nil {
		m.Close()
		return err
	}
	if again {
		r.log.Info("the model is the one that runs", "file", path)
		return m.Close()
	}
	if err := r.check(m); err != nil {
		m.Close()
		return fmt.Errorf("%s: %w", path, err)
	}
	r.base.Store(base)
	if r.ended != nil {
		select {
		case r.replace <- stream.NewClassifier(m, r.options.roi):
		case <-r.ended:
			m.Close()
			return errors.New("the program is about to end")
		}
	}
	r.log.Info("another model runs", "file", path, "name", m.File().Name, "sha256", m.File().SHA256, "took", time.Since(start).Round(time.Millisecond))
	err = r.model.Close()
	r.model = m
	debug.FreeOSMemory() // the system has none to spare for two models
	return err
}

// check tells why a model cannot take over.
func (r *reloader) check(m *classify.Model) error {
	if err := findAll(m.Classes(), r.options.watch); err != nil {
		return err
	}
	for _, s := range r.out.sinks {
		if s, ok := s.(interface{ Fits([]labels.Class) error }); ok {
			if err := s.Fits(m.Classes()); err != nil {
				return err
			}
		}
	}
	return cmp.Or(r.options.features.fits(m), selfTest(m))
}

func findAll(classes []labels.Class, watch []string) error {
	for _, name := range watch {
		if _, err := labels.Find(classes, name); err != nil {
			return fmt.Errorf("-watch: %w", err)
		}
	}
	return nil
}

// close closes the model unless another is being opened: then it is left to the
// system.
func (r *reloader) close() {
	if r.mu.TryLock() {
		defer r.mu.Unlock()
		r.model.Close()
	}
}

// hangups tells of SIGHUP; of none at a terminal, where it ends the program, with the
// terminal.
func hangups(stdin io.Reader) chan os.Signal {
	if f, ok := stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return nil
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return hangup
}

// follow takes up what the model's file becomes, and reads it again at a hangup, until
// ctx ends. taken is the file as it was before it was read.
func (r *reloader) follow(ctx context.Context, taken os.FileInfo, hangup chan os.Signal) {
	defer signal.Stop(hangup)
	tick := time.NewTicker(modelPoll)
	defer tick.Stop()
	f := following{taken: taken}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			f.read(r, true)
		case <-tick.C:
			f.look(r)
		}
	}
}

// following is what is known of the model's file.
type following struct {
	taken os.FileInfo // as it is in use, or was complained of
	last  os.FileInfo // when last looked at
	since time.Time   // when it was first seen like this
	tried bool        // like this
}

// look reads the file once it stands still for a poll, and once more where it might
// be half a copy whose other half is late.
func (f *following) look(r *reloader) {
	info, err := os.Stat(r.options.model)
	if err != nil || same(info, f.taken) {
		return // while it is replaced there may be none
	}
	if !same(info, f.last) {
		f.last, f.since, f.tried = info, time.Now(), false
		return
	}
	if late := time.Since(f.since) >= copyTime; late || !f.tried {
		f.read(r, late)
	}
}

// read reads the file, and complains of it or leaves that to a later attempt.
func (f *following) read(r *reloader, complain bool) {
	info, err := os.Stat(r.options.model)
	if err == nil {
		err = r.Load(r.options.model)
	}
	if f.tried = true; err == nil || complain {
		f.taken = info
	}
	if err != nil && complain {
		r.log.Warn("model not taken up: the one before goes on", "err", err)
	}
}

// same tells whether a file has not been written to or replaced.
func same(a, b os.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
