package stream

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"time"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/int8"
	"edgeclassify/internal/board"
)

// Classifier says how probable each class is in a frame. Run calls it from one
// goroutine.
type Classifier interface {
	Model() Model
	// Classify writes the probability of each class to probs. An error is the
	// frame's, and others may do better.
	Classify(f *capture.Frame, probs []float64) (classify.Phases, error)
	// Logits are the last frame's.
	Logits() []int32
	// Features are the last frame's; nil of a network that has none, see
	// classify.Model.Features.
	Features() []int16
}

// Options of Run.
type Options struct {
	Every   time.Duration // between two frames; 0 is as fast as can be
	Smooth  time.Duration // after which the past weighs 1/e; 0 is none; not used with Trigger
	Hold    time.Duration // that results must agree for to make an event, see Debouncer; not used with Trigger
	MinProb float64       // from which on a class counts as seen, 0 to 1; see Seen
	Watch   []string      // labels or class ids that make events
	Top     int           // classes in a result; 0 stands for 5

	// Trigger, if not nil, says when to classify a frame; nothing else does.
	Trigger <-chan time.Time
	// Replace, if not nil, gives classifiers that take the place of the one before
	// between two frames. Whoever sends on it, without a buffer, may close the one
	// before once that is done. A classifier without the labels of Watch ends Run.
	Replace <-chan Classifier
	// Board, if not nil, reads temperature and throttling. It is called now and
	// then, and may take its time.
	Board func() board.State
	Log   *slog.Logger // nil is silent
}

const (
	defaultTop    = 5
	maxAge        = time.Second // of a frame when it is taken
	patience      = 2           // frames that may be too old before one is taken as it is
	statusPoll    = 200 * time.Millisecond
	statusRefresh = time.Second
	boardPoll     = 5 * time.Second
	complaints    = 10 * time.Second // between two log lines about bad frames
)

// Run classifies the camera's newest frames and tells the sinks, until ctx ends
// or the camera fails in a way that no retry mends; it returns why.
//
// The camera's status goes to the sinks when it changes and about once a
// second, be there frames or not. A camera that is not streaming gives no
// results: what was smoothed is forgotten, and labels that were seen end.
//
// Sinks are not called any more once ctx has ended, but for one that is called
// just then; Run itself returns when the frame that it is busy with is done.
//
// Run allocates nothing per frame.
func Run(ctx context.Context, cam capture.Camera, c Classifier, o Options, sinks ...Sink) error {
	l, err := newLoop(cam, c, o, sinks)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.feed(ctx)
	}()
	if o.Board != nil {
		go l.heat.watch(ctx, o.Board)
	}
	err = l.run(ctx)
	stop()
	<-ended // the camera is the caller's again
	return err
}

// answer is what the camera gave.
type answer struct {
	frame *capture.Frame
	err   error
}

// loop is the state of Run.
type loop struct {
	Options
	cam        capture.Camera
	classifier Classifier
	sinks      []Sink

	ask    chan struct{} // for a frame
	answer chan answer

	status    capture.Status
	statusAt  time.Time // when the sinks were told
	sequence  uint64    // of the last frame
	captured  time.Time // the last frame
	notBefore time.Time // a frame that was captured earlier is too old
	passed    int       // frames passed over since one was asked for
	bad       badFrames

	view   view
	result Result
	logits []byte // of the result
	heat   heat
}

func newLoop(cam capture.Camera, c Classifier, o Options, sinks []Sink) (*loop, error) {
	switch {
	case o.Smooth < 0 || o.Hold < 0:
		return nil, fmt.Errorf("stream: smoothing for %v, held for %v: want 0 or more", o.Smooth, o.Hold)
	case !(o.MinProb >= 0 && o.MinProb <= 1):
		return nil, fmt.Errorf("stream: least probability %v: want 0 to 1", o.MinProb)
	case o.Every < 0:
		return nil, fmt.Errorf("stream: interval %v: want 0 or more", o.Every)
	case o.Top < 0:
		return nil, fmt.Errorf("stream: %d classes: want 1 or more", o.Top)
	}
	if o.Top == 0 {
		o.Top = defaultTop
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &loop{Options: o, cam: cam, sinks: sinks, ask: make(chan struct{}, 1), answer: make(chan answer, 1)}
	return l, l.use(c)
}

// use makes c the classifier, with nothing seen by it yet.
func (l *loop) use(c Classifier) error {
	m := c.Model()
	v, err := newView(m.Classes, l.Options)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	l.classifier, l.view = c, v
	l.result = Result{Independent: m.Independent, Model: m.SHA256, Probabilities: v.smoothed}
	return nil
}

// replace has c take over from the classifier before.
func (l *loop) replace(c Classifier) error {
	l.view.forget(time.Now(), func(e Event) { l.event(e, nil) })
	if err := l.use(c); err != nil {
		return err
	}
	l.introduce()
	return nil
}

// introduce tells the sinks which model it is.
func (l *loop) introduce() {
	m := l.classifier.Model()
	for _, s := range l.sinks {
		s.Model(m)
	}
}

// feed gets one frame for each that is asked for, so that the loop can tell
// the camera's status while it waits. A frame is the loop's until it asks for
// the next.
func (l *loop) feed(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.ask:
			frame, err := l.cam.Next(ctx)
			l.answer <- answer{frame, err}
		}
	}
}

func (l *loop) run(ctx context.Context) error {
	poll := time.NewTicker(statusPoll)
	defer poll.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	if l.Trigger != nil {
		due.Stop()
	}
	trigger, next := l.Trigger, time.Now()
	l.introduce()
	l.tell(l.cam.Status())
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
			if ctx.Err() == nil { // else sinks may be closed
				l.tell(l.cam.Status())
			}
		case <-due.C:
			l.want(time.Now().Add(-maxAge))
		case at := <-trigger:
			trigger = nil // one frame at a time
			l.want(at)
		case c := <-l.Replace:
			if err := l.replace(c); err != nil {
				return err
			}
		case a := <-l.answer:
			if a.err != nil {
				return a.err
			}
			if !l.take(ctx, a.frame) {
				l.ask <- struct{}{}
				continue
			}
			if trigger = l.Trigger; trigger == nil {
				next = later(next.Add(l.Every), time.Now())
				due.Reset(time.Until(next))
			}
		}
	}
}

// want asks for a frame that was not captured before that time.
func (l *loop) want(notBefore time.Time) {
	l.notBefore, l.passed = notBefore, 0
	l.ask <- struct{}{}
}

// take classifies a frame unless it has been seen, is too old or is damaged.
// When ctx has ended meanwhile the sinks are not told: they may be closed.
func (l *loop) take(ctx context.Context, f *capture.Frame) bool {
	if l.old(f) {
		return false
	}
	l.sequence, l.captured = f.Sequence, f.Time
	l.tell(l.cam.Status())
	probs, r := l.view.probs, &l.result
	phases, err := l.classifier.Classify(f, probs)
	if err != nil {
		l.bad.log(l.Log, err)
		return false
	}
	if ctx.Err() != nil {
		return true
	}
	r.Time, r.Sequence, r.MS = f.Time, f.Sequence, phases
	r.Dropped = l.status.Dropped
	r.TemperatureC, r.Throttled = l.heat.read()
	l.logits = int8.AppendLogits(l.logits[:0], l.classifier.Logits())
	r.LogitsSHA256 = sha256.Sum256(l.logits)
	r.Features = l.classifier.Features()
	r.Top = l.view.add(f.Time)
	r.AgeMS = ms(time.Since(f.Time))
	for _, s := range l.sinks {
		s.Result(r, f)
	}
	l.view.events(f.Time, func(e Event) { l.event(e, f) })
	return true
}

// old tells whether a frame is the one before, or was captured too long ago: it
// may have waited since before the camera fell silent. A camera whose frames
// are always that old is believed after a few.
func (l *loop) old(f *capture.Frame) bool {
	if !l.captured.IsZero() && (f.Sequence == l.sequence || !f.Time.After(l.captured)) {
		return true
	}
	if f.Time.Before(l.notBefore) && l.passed < patience {
		l.passed++
		return true
	}
	return false
}

// tell passes the camera's status on if it has changed, or to refresh it.
func (l *loop) tell(s capture.Status) {
	changed := s.State != l.status.State || s.Device != l.status.Device || s.Format != l.status.Format ||
		s.Width != l.status.Width || s.Height != l.status.Height || s.Error != l.status.Error
	l.status = s
	if !changed && time.Since(l.statusAt) < statusRefresh {
		return
	}
	l.statusAt = time.Now()
	for _, sink := range l.sinks {
		sink.Status(s)
	}
	if s.State != capture.Streaming {
		l.view.forget(l.statusAt, func(e Event) { l.event(e, nil) })
	}
}

func (l *loop) event(e Event, f *capture.Frame) {
	for _, s := range l.sinks {
		s.Event(e, f)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// badFrames keeps a camera that sends garbage from flooding the log.
type badFrames struct {
	count int // since the last log line
	told  time.Time
}

func (b *badFrames) log(log *slog.Logger, err error) {
	b.count++
	if time.Since(b.told) >= complaints {
		log.Warn("frame not classified", "err", err, "frames", b.count)
		b.count, b.told = 0, time.Now()
	}
}
