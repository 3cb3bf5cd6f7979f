package stream

import (
	"time"

	"edgeclassify/classify"
	"edgeclassify/labels"
)

// Debounce is the results in a row that make an event, but with a trigger: then
// each picture stands for itself.
const Debounce = 3

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

// view is what is seen, smoothed over time. It allocates when it is made and
// not afterwards.
type view struct {
	classes  []labels.Class
	weight   float64   // of the past
	minProb  float64   // of watched labels
	debounce int       // results in a row that make an event
	probs    []float64 // of the last frame
	smoothed []float64
	empty    bool // nothing has been smoothed
	top      []classify.Prediction
	watches  []watch
}

func newView(classes []labels.Class, o Options) (view, error) {
	v := view{
		classes: classes, weight: o.Smooth, minProb: o.MinProb, debounce: Debounce,
		probs: make([]float64, len(classes)), smoothed: make([]float64, len(classes)),
		empty: true, top: make([]classify.Prediction, min(o.Top, len(classes))),
	}
	if o.Trigger != nil { // each picture stands for itself
		v.weight, v.debounce = 0, 1
	}
	for _, name := range o.Watch {
		found, err := labels.Find(classes, name)
		if err != nil {
			return v, err
		}
		v.watches = append(v.watches, watch{label: classes[found[0]].Name, classes: found})
	}
	return v, nil
}

// add smooths probs into the view, exponentially, and returns the most
// probable classes. They are the view's until the next call.
func (v *view) add() []classify.Prediction {
	past := v.weight
	if v.empty {
		past, v.empty = 0, false
	}
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
		if w.turn(Seen(w.seen, prob, v.minProb), v.debounce) {
			tell(w.event(now, prob))
		}
	}
}

// forget is for when there is nothing to see any more.
func (v *view) forget(now time.Time, tell func(Event)) {
	v.empty = true
	for i := range v.watches {
		if v.watches[i].turn(false, 1) {
			tell(v.watches[i].event(now, 0))
		}
	}
}

// watch is a label that makes events. The few labels that several classes
// share have the sum of their probabilities, up to 1.
type watch struct {
	label   string
	classes []int
	seen    bool
	count   int // results in a row that say otherwise
}

// turn takes note of whether the label is seen, and tells whether that has
// turned: enough times in a row.
func (w *watch) turn(seen bool, enough int) bool {
	if seen == w.seen {
		w.count = 0
		return false
	}
	if w.count++; w.count < enough {
		return false
	}
	w.seen, w.count = seen, 0
	return true
}

func (w *watch) event(now time.Time, prob float64) Event {
	kind := End
	if w.seen {
		kind = Start
	}
	return Event{Time: now, Label: w.label, Kind: kind, Prob: prob}
}
