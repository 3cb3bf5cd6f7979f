// Package events does something about each event of a stream: it keeps its picture
// in a folder, bounded in number and bytes, and runs a program.
//
// The sink copies what it needs and returns; folder and program have a goroutine
// each. What comes while too much waits is lost, which is logged.
package events

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/stream"
)

// Options of Open.
type Options struct {
	Dir       string        // keeps pictures; "" keeps none
	MaxEvents int           // in Dir, at least 1
	MaxBytes  int64         // in Dir
	Command   []string      // to run, with its arguments; nil runs none
	Timeout   time.Duration // for a run of it
	Log       *slog.Logger  // nil is silent
}

// Record is an event as it is kept, and handed to programs, as JSON.
type Record struct {
	stream.Event
	Camera string `json:"camera"` // capture.Status.Device
	// Of the result that made the event; without Top where there was none, since the
	// camera or the model went.
	Top          []classify.Prediction `json:"top,omitempty"`
	Sequence     uint64                `json:"sequence"`
	AgeMS        float64               `json:"age_ms"`
	Model        string                `json:"model"`
	ModelName    string                `json:"model_name"`
	LogitsSHA256 stream.Digest         `json:"logits_sha256,omitzero"`
	// Picture is the path of the JPEG file that is kept, where there is one: only its
	// name in the file beside it.
	Picture string `json:"picture,omitempty"`
}

// Events is a sink of a stream.
type Events struct {
	keep  *worker[task]
	run   *worker[Record]
	last  Record // of the last result
	ended []<-chan struct{}
	stop  context.CancelFunc
}

var _ stream.Sink = (*Events)(nil)

// task is an event to be kept.
type task struct {
	record Record
	frame  *capture.Frame // nil where there is none
}

const (
	waitingPictures = 8 // each a frame
	waitingRuns     = 64
	farewell        = 500 * time.Millisecond // for what is being done when the program ends
)

// Open makes ready what the options ask for. Dir is made if there is none, and must
// be writable.
func Open(o Options) (*Events, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dir == "" && len(o.Command) == 0 {
		return nil, errors.New("events: neither a folder nor a program is given")
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Events{stop: stop}
	if len(o.Command) > 0 {
		r, err := newRunner(o)
		if err != nil {
			stop()
			return nil, err
		}
		e.run = startWorker(ctx, "event program", waitingRuns, o.Log, r.run)
		e.ended = append(e.ended, e.run.ended)
	}
	if o.Dir != "" {
		a, err := openAlbum(o)
		if err != nil {
			stop()
			return nil, err
		}
		e.keep = startWorker(ctx, "event folder", waitingPictures, o.Log, func(_ context.Context, t task) error {
			err := a.keep(&t)
			if e.run != nil { // also without a picture
				e.run.put(t.record)
			}
			return err
		})
		e.ended = append(e.ended, e.keep.ended)
	}
	return e, nil
}

// Model implements stream.Sink.
func (e *Events) Model(m stream.Model) { e.last.Model, e.last.ModelName = m.SHA256, m.Name }

// Result implements stream.Sink.
func (e *Events) Result(r *stream.Result, _ *capture.Frame) {
	e.last.Top = append(e.last.Top[:0], r.Top...)
	e.last.Sequence, e.last.AgeMS, e.last.LogitsSHA256 = r.Sequence, r.AgeMS, r.LogitsSHA256
}

// Status implements stream.Sink.
func (e *Events) Status(s capture.Status) { e.last.Camera = s.Device }

// Event implements stream.Sink.
func (e *Events) Event(event stream.Event, f *capture.Frame) {
	r := e.last
	r.Event, r.Top = event, slices.Clone(r.Top)
	if f == nil {
		r = Record{Event: event, Camera: r.Camera, Model: r.Model, ModelName: r.ModelName}
	}
	if e.keep == nil {
		e.run.put(r)
		return
	}
	t := task{record: r}
	if f != nil {
		frame := *f
		frame.Data = slices.Clone(f.Data)
		t.frame = &frame
	}
	e.keep.put(t)
}

// Close keeps the pictures that wait, and kills the program that runs, within half a
// second.
func (e *Events) Close() error {
	e.stop()
	patience := time.After(farewell)
	for _, ended := range e.ended {
		select {
		case <-ended:
		case <-patience:
			return errors.New("events: not all were kept in time")
		}
	}
	return nil
}

// worker does one thing after the other in a goroutine of its own.
type worker[T any] struct {
	waiting chan T
	ended   chan struct{}
	trouble trouble
}

// startWorker has do done until ctx ends, and then what waits still.
func startWorker[T any](ctx context.Context, name string, room int, log *slog.Logger, do func(context.Context, T) error) *worker[T] {
	w := &worker[T]{waiting: make(chan T, room), ended: make(chan struct{}), trouble: trouble{name: name, log: log}}
	go func() {
		defer close(w.ended)
		trouble := trouble{name: name, log: log}
		for ctx.Err() == nil || len(w.waiting) > 0 {
			select {
			case v := <-w.waiting:
				trouble.note(do(ctx, v))
			case <-ctx.Done():
			}
		}
	}()
	return w
}

var errBusy = errors.New("it is too slow: too many events wait for it")

// put hands v over without waiting. It must not be called from two goroutines at the
// same time.
func (w *worker[T]) put(v T) {
	select {
	case w.waiting <- v:
		w.trouble.note(nil)
	default:
		w.trouble.note(errBusy)
	}
}

// complainAgain is when trouble that goes on is logged once more.
const complainAgain = 10 * time.Minute

// trouble logs what fails: the first time, now and then, and when it has passed.
type trouble struct {
	name   string
	log    *slog.Logger
	failed int // events in a row
	told   time.Time
}

func (t *trouble) note(err error) {
	switch {
	case errors.Is(err, context.Canceled):
	case err == nil && t.failed > 0:
		t.log.Info(t.name+" works again", "lost", t.failed)
		t.failed = 0
	case err != nil:
		if t.failed++; t.failed == 1 || time.Since(t.told) >= complainAgain {
			t.log.Warn(t.name+" fails", "err", err, "events", t.failed)
			t.told = time.Now()
		}
	}
}
