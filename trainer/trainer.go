// Package trainer teaches the classifier labels of its own while it runs: it collects
// samples from the camera's frames, trains a head on them in the background, and has
// it take over. It is a stream.Sink, and the live.Teacher of the page.
//
// The sink copies a frame now and then, while a button is held, into memory of its
// own; it is encoded and kept in another goroutine. Training has a system thread of
// the lowest priority, which ends with it, so that the camera goes on.
//
// What runs is a function of the model's file and of the folder: a head that is in use
// runs whenever the model's file is the one that it was taught on, else that model
// itself does. Samples stay when another model comes; their features are computed again
// before the next training.
package trainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"edgeclassify/live"
	"edgeclassify/preprocess"
	"edgeclassify/samples"
	"edgeclassify/stream"
	"edgeclassify/teach"
)

// Models has models run. Its methods may wait for the loop that calls the sink.
type Models interface {
	// Base is the checksum of the model that runs, or that what runs was taught on. It
	// does not wait.
	Base() string
	// Use has a model that was taught on the base take over, or the base itself again.
	Use(path string) error
}

// Options of Open.
type Options struct {
	Store  *samples.Store // the trainer's, which closes it
	Model  string         // the base's file
	Models Models
	ROI    preprocess.ROI    // of frames: what is classified, and is kept of them
	Limits preprocess.Limits // on what decoding a photograph takes
	Tool   string            // program and version, for the provenance of heads
	Log    *slog.Logger      // nil is silent
}

// Trainer is a sink of a stream, and a live.Teacher.
type Trainer struct {
	options Options
	changed chan struct{}
	rebased chan struct{} // another base runs
	stop    context.CancelFunc
	ended   context.Context
	working sync.WaitGroup
	collector

	using sync.Mutex // another head is being put in use

	mu       sync.Mutex
	headBase string // of the head in use, where that could be run, until another comes
	full     string // why no more samples are taken
	training live.Training
	cancel   context.CancelFunc // of training that goes on
}

var (
	_ stream.Sink  = (*Trainer)(nil)
	_ live.Teacher = (*Trainer)(nil)
)

const farewell = 500 * time.Millisecond // for what is being done when the program ends

// Open has the head in use run, if it was taught on the base.
func Open(o Options) *Trainer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	t := &Trainer{options: o, changed: make(chan struct{}, 1), rebased: make(chan struct{}, 1), collector: newCollector()}
	t.ended, t.stop = context.WithCancel(context.Background())
	t.resume()
	t.working.Go(t.keepSamples)
	t.working.Go(t.follow)
	return t
}

// Close cancels training and waits a moment for what is being done. What comes too late
// is as if the program had been killed.
func (t *Trainer) Close() error {
	t.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		t.working.Wait()
	}()
	select {
	case <-done:
		return t.options.Store.Close()
	case <-time.After(farewell):
		return errors.New("trainer: training did not end in time")
	}
}

// follow has the head in use run when the base comes back that it was taught on.
func (t *Trainer) follow() {
	for {
		select {
		case <-t.ended.Done():
			return
		case <-t.rebased:
			t.resume()
		}
	}
}

// resume has the head in use run, if there is one and it was taught on the base.
func (t *Trainer) resume() {
	t.using.Lock()
	defer t.using.Unlock()
	path, ok := t.options.Store.InUse()
	if !ok {
		return
	}
	if err := t.run(path); err != nil {
		t.options.Log.Warn("what was taught does not run, but the model itself", "err", err)
	}
}

// run has a head, or the base, take over.
func (t *Trainer) run(path string) error {
	base := t.options.Models.Base()
	if err := t.options.Models.Use(path); err != nil {
		return err
	}
	t.mu.Lock()
	t.headBase = base
	t.mu.Unlock()
	t.note()
	return nil
}

// note tells that the state is another.
func (t *Trainer) note() { signal(t.changed) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Changed implements live.Teacher.
func (t *Trainer) Changed() <-chan struct{} { return t.changed }

// State implements live.Teacher.
func (t *Trainer) State() live.TeachState {
	kept, inUse := t.options.Store.Heads()
	labels := t.options.Store.Labels()
	_, undo := t.options.Store.Before()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := live.TeachState{
		Labels: make([]live.TeachLabel, 0, len(labels)), Collecting: t.collecting(), Full: t.full, Missing: missing(labels), Training: t.training,
		Trained: newest(kept) != inUse && newest(kept) != 0, InUse: inUse, CanUndo: undo,
	}
	if inUse != 0 && t.headBase != t.options.Models.Base() {
		s.InUse, s.BaseChanged = 0, true
	}
	for _, l := range labels {
		slices.Reverse(l.IDs)
		s.Labels = append(s.Labels, live.TeachLabel{Name: l.Name, Count: l.Count, IDs: l.IDs})
	}
	return s
}

func newest(kept []int) int {
	if len(kept) == 0 {
		return 0
	}
	return kept[len(kept)-1]
}

// missing is what training cannot begin without.
func missing(labels []samples.Label) string {
	var with, without []string
	for _, l := range labels {
		if l.Count > 0 {
			with = append(with, l.Name)
		} else {
			without = append(without, l.Name)
		}
	}
	switch {
	case len(with) >= 2:
		return ""
	case len(without) > 0:
		return "photographs of " + strings.Join(without, ", ")
	}
	return "photographs of at least two labels"
}

// changes notes what a call changed.
func (t *Trainer) changes(err error) error {
	t.note()
	return err
}

// AddLabel implements live.Teacher.
func (t *Trainer) AddLabel(name string) error {
	if err := checkLabel(name); err != nil {
		return err
	}
	return t.changes(t.options.Store.AddLabel(name))
}

// RenameLabel implements live.Teacher.
func (t *Trainer) RenameLabel(from, to string) error {
	if err := checkLabel(to); err != nil {
		return err
	}
	t.end(from)
	return t.changes(t.options.Store.RenameLabel(from, to))
}

func checkLabel(name string) error {
	if strings.EqualFold(name, teach.Unknown) {
		return fmt.Errorf("trainer: label %q is the answer to what was not taught: take another name, or %q for things that are none of the others", name, teach.None)
	}
	return nil
}

// RemoveLabel implements live.Teacher.
func (t *Trainer) RemoveLabel(name string) error {
	t.end(name)
	return t.freed(t.options.Store.RemoveLabel(name))
}

// DeleteSample implements live.Teacher.
func (t *Trainer) DeleteSample(label, id string) error {
	return t.freed(t.options.Store.Delete(label, id))
}

// freed notes that there is room again.
func (t *Trainer) freed(err error) error {
	if err == nil {
		t.setFull(nil)
	}
	return t.changes(err)
}

// setFull notes why no more samples are taken; nil for no reason.
func (t *Trainer) setFull(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full = ""; why != nil {
		t.full = why.Error()
	}
}

// Sample implements live.Teacher.
func (t *Trainer) Sample(label, id string) ([]byte, error) { return t.options.Store.JPEG(label, id) }

// Export implements live.Teacher.
func (t *Trainer) Export(w io.Writer) error { return t.options.Store.Export(w) }

// Use implements live.Teacher.
func (t *Trainer) Use() error {
	t.using.Lock()
	defer t.using.Unlock()
	kept, inUse := t.options.Store.Heads()
	n := newest(kept)
	if n == inUse || n == 0 {
		return errors.New("trainer: nothing was trained that is not in use: train first")
	}
	return t.use(n, func() error { return t.options.Store.Use(n) })
}

// Undo implements live.Teacher.
func (t *Trainer) Undo() error {
	t.using.Lock()
	defer t.using.Unlock()
	n, ok := t.options.Store.Before()
	if !ok {
		return errors.New("trainer: nothing was in use before")
	}
	return t.use(n, t.options.Store.Undo)
}

// use has a head run, 0 for the base, and then keep notes that for the next start.
func (t *Trainer) use(n int, keep func() error) error {
	path := t.options.Model
	if n != 0 {
		path = t.options.Store.Head(n)
	}
	if err := t.run(path); err != nil {
		return err
	}
	if err := t.changes(keep()); err != nil {
		return fmt.Errorf("it runs, but the next start will take the one before: %w", err)
	}
	return nil
}
