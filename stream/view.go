package stream

import (
	"math"
	"time"

	"edgeclassify/classify"
	"edgeclassify/labels"
)

// release is the part of the least probability below which what was seen is
// gone.
const release = 0.8

// Seen tells whether a class is in view: from probability least on, and then
// until it is below 0.8 times least. before is what the last answer was. The
// two thresholds keep a probability that hovers about one from flickering.
func Seen(before bool, prob, least float64) bool {
	if before {
		least *= release
	}
	return prob >= least
}

// Debouncer holds what is seen against flickers: it turns with a result that
// nothing has contradicted for some time. So at 30 results a second one alone does
// not turn it, and at one in 5 seconds it does.
type Debouncer struct {
	Seen bool
	hold time.Duration
	told time.Time // when a result, or Forget, last agreed with Seen
}

// NewDebouncer makes one that has seen nothing up to now.
func NewDebouncer(hold time.Duration) Debouncer { return Debouncer{hold: hold, told: time.Now()} }

// Turn takes note of whether a result shows it, and tells whether Seen has turned.
func (d *Debouncer) Turn(seen bool) bool {
	now := time.Now() // and not the frame's: a camera's clock may be off
	turned := seen != d.Seen
	if turned && now.Sub(d.told) < d.hold {
		return false
	}
	d.Seen, d.told = seen, now
	return turned
}

// Forget is for when there is nothing to see any more. It tells whether Seen has
// turned.
func (d *Debouncer) Forget() bool {
	was := d.Seen
	d.Seen, d.told = false, time.Now()
	return was
}

// view is what is seen, smoothed over time. It allocates when it is made and
// not afterwards.
type view struct {
	classes  []labels.Class
	tau      time.Duration // after which the past weighs 1/e; 0 is no smoothing
	minProb  float64       // of watched labels
	probs    []float64     // of the last frame
	smoothed []float64
	captured time.Time // the last frame smoothed; zero where there is none
	top      []classify.Prediction
	watches  []watch
}

func newView(classes []labels.Class, o Options) (view, error) {
	v := view{
		classes: classes, tau: o.Smooth, minProb: o.MinProb,
		probs: make([]float64, len(classes)), smoothed: make([]float64, len(classes)),
		top: make([]classify.Prediction, min(o.Top, len(classes))),
	}
	if o.Trigger != nil { // each picture stands for itself
		v.tau, o.Hold = 0, 0
	}
	for _, name := range o.Watch {
		found, err := labels.Find(classes, name)
		if err != nil {
			return v, err
		}
		v.watches = append(v.watches, watch{label: classes[found[0]].Name, classes: found, Debouncer: NewDebouncer(o.Hold)})
	}
	return v, nil
}

// add smooths probs of a frame captured at that time into the view, exponentially
// by the time since the frame before, and returns the most probable classes. They
// are the view's until the next call.
func (v *view) add(captured time.Time) []classify.Prediction {
	past := 0.0
	if v.tau > 0 && !v.captured.IsZero() {
		past = math.Exp(-float64(captured.Sub(v.captured)) / float64(v.tau))
	}
	v.captured = captured
	for i, p := range v.probs {
		v.smoothed[i] = float64(past*v.smoothed[i]) + float64((1-past)*p)
	}
	return classify.Rank(v.top, v.classes, v.smoothed)
}

// events tells of watched labels that have come into view or left it.
func (v *view) events(now time.Time, tell func(Event)) {
	for i := range v.watches {
		w := &v.watches[i]
		prob := 0.0
		for _, class := range w.classes {
			prob += v.smoothed[class]
		}
		prob = min(prob, 1) // independent classes may be all there
		if w.Turn(Seen(w.Seen, prob, v.minProb)) {
			tell(w.event(now, prob))
		}
	}
}

// forget is for when there is nothing to see any more.
func (v *view) forget(now time.Time, tell func(Event)) {
	v.captured = time.Time{}
	for i := range v.watches {
		if v.watches[i].Forget() {
			tell(v.watches[i].event(now, 0))
		}
	}
}

// watch is a label that makes events. The few labels that several classes
// share have the sum of their probabilities, up to 1.
type watch struct {
	Debouncer
	label   string
	classes []int
}

func (w *watch) event(now time.Time, prob float64) Event {
	kind := End
	if w.Seen {
		kind = Start
	}
	return Event{Time: now, Label: w.label, Kind: kind, Prob: prob}
}
