package trainer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"edgeclassify/capture"
	"edgeclassify/samples"
	"edgeclassify/stream"
)

const sampleEvery = 200 * time.Millisecond // between two samples at least

// collector takes samples from frames. It shares nothing with the goroutine that keeps
// them but two samples, which they exchange under a short lock.
type collector struct {
	wake chan struct{} // a sample waits

	lock   sync.Mutex
	label  string // that samples are taken of; "" for none
	burst  int64  // numbers what is taken without a pause
	next   time.Time
	base   string // see Models.Base
	fits   bool   // frames have features of the base
	waits  bool
	sample sample // that waits, or memory for the next
}

// sample is a frame and its features, with memory of their own.
type sample struct {
	label    string
	frame    capture.Frame
	features samples.Features
}

func newCollector() collector { return collector{wake: make(chan struct{}, 1)} }

// Collect implements live.Teacher.
func (t *Trainer) Collect(label string, on bool) error {
	if !on {
		t.end(label)
		return nil
	}
	if !slices.ContainsFunc(t.options.Store.Labels(), func(l samples.Label) bool { return l.Name == label }) {
		return fmt.Errorf("trainer: label %q: add it first", label)
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if !t.fits {
		return errors.New("trainer: there are no frames, or the model that runs has no features of them")
	}
	if t.label == label {
		return nil
	}
	t.label, t.burst = label, time.Now().UnixMilli()
	t.note()
	return nil
}

// end ends collecting of a label, or of whichever it is for "".
func (t *Trainer) end(label string) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.label != "" && (label == "" || label == t.label) {
		t.label = ""
		t.note()
	}
}

func (c *collector) collecting() string {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.label
}

// Model implements stream.Sink.
func (t *Trainer) Model(m stream.Model) {
	base := t.options.Models.Base()
	t.lock.Lock()
	another := t.base != "" && t.base != base
	t.base, t.fits = base, m.FeatureScale != 0 && (m.SHA256 == base || m.Base == base)
	t.lock.Unlock()
	if another {
		t.mu.Lock()
		t.headBase = ""
		t.mu.Unlock()
		signal(t.rebased)
	}
	t.note()
}

// Result implements stream.Sink.
func (t *Trainer) Result(r *stream.Result, f *capture.Frame) {
	now := time.Now()
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.label == "" || t.waits || now.Before(t.next) || !t.fits || len(r.Features) == 0 {
		return
	}
	t.next, t.waits = now.Add(sampleEvery), true
	t.sample.copy(f, r.Features)
	t.sample.label, t.sample.features.Base, t.sample.features.Group = t.label, t.base, t.burst
	signal(t.wake)
}

func (s *sample) copy(f *capture.Frame, features []int16) {
	data := append(s.frame.Data[:0], f.Data...)
	s.frame = *f
	s.frame.Data = data
	s.features.Values = append(s.features.Values[:0], features...)
}

// Event implements stream.Sink.
func (t *Trainer) Event(stream.Event, *capture.Frame) {}

// Status implements stream.Sink. Nothing is collected blindly once a camera comes back.
func (t *Trainer) Status(s capture.Status) {
	if s.State != capture.Streaming {
		t.end("")
	}
}

// keepSamples keeps what the sink copied, until the program ends.
func (t *Trainer) keepSamples() {
	e := capture.Encoder{ROI: t.options.ROI}
	var s sample
	for {
		select {
		case <-t.ended.Done():
			return
		case <-t.wake:
		}
		t.lock.Lock()
		s, t.sample, t.waits = t.sample, s, false
		t.lock.Unlock()
		t.keep(&e, &s)
	}
}

func (t *Trainer) keep(e *capture.Encoder, s *sample) {
	file, err := e.JPEG(&s.frame)
	if err == nil {
		_, err = t.options.Store.Add(s.label, file, &s.features)
	}
	if err != nil && !errors.Is(err, samples.ErrNone) { // its label is gone
		t.end("")
		t.options.Log.Warn("no more samples are taken", "err", err)
		t.setFull(err)
	} else {
		t.setFull(nil)
	}
	t.note()
}
