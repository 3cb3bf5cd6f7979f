package fleet

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"edgeclassify/capture"
	"edgeclassify/labels"
	"edgeclassify/stream"
)

const (
	maxEvents = 64   // that wait for the broker before the oldest is lost
	maxFormer = 1024 // labels of earlier watch lists that are cleared over one connection
	maxReason = 500  // bytes of an error that is told
)

// mailbox is what the loop has left for the connection. Nothing in it grows:
// of results and pictures it holds the newest, of events the newest few.
type mailbox struct {
	results, snapshots time.Duration // least time between two
	watch              []string      // names or ids

	wake chan struct{} // holds a token where there is something to take

	mu       sync.Mutex
	result   latest[stream.Result]
	frame    latest[capture.Frame]
	status   latest[capture.Status]
	events   []stream.Event
	model    latest[modelState]
	watched  []latest[stream.Event] // the last of each watched label
	former   []string               // slugs of labels that are watched no more
	cleared  int                    // of former
	rate     rate
	class    int // of the last result left
	resultAt time.Time
	frameAt  time.Time
}

// latest is the newest of its kind, if nobody has taken it yet.
type latest[T any] struct {
	value T
	full  bool
}

// swap takes the value and leaves the memory of the one taken before.
func (l *latest[T]) swap(mine *T) bool {
	if !l.full {
		return false
	}
	l.value, *mine, l.full = *mine, l.value, false
	return true
}

// rate counts results, for the diagnostics.
type rate struct {
	count int
	since time.Time
	last  stream.Result // without Top
}

func newMailbox(results, snapshots time.Duration, watch ...string) *mailbox {
	return &mailbox{results: results, snapshots: snapshots, watch: watch, wake: make(chan struct{}, 1), rate: rate{since: time.Now()}, class: -1}
}

func (b *mailbox) notify() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Result implements stream.Sink.
func (b *mailbox) Result(r *stream.Result, f *capture.Frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.rate.add(r)
	class := -1
	if best, ok := r.Best(); ok {
		class = best.Class
	}
	if class != b.class || now.Sub(b.resultAt) >= b.results {
		copyResult(&b.result.value, r)
		b.result.full, b.class, b.resultAt = true, class, now
		b.notify()
	}
	if b.snapshots > 0 && now.Sub(b.frameAt) >= b.snapshots {
		copyFrame(&b.frame.value, f)
		b.frame.full, b.frameAt = true, now
		b.notify()
	}
}

// Model implements stream.Sink.
func (b *mailbox) Model(m stream.Model) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.model.value
	s.State, s.Model, s.SHA256, s.Kernel = cmp.Or(s.State, idle), m.Name, m.SHA256, m.Kernel
	b.model.full, b.watched = true, nil
	for _, name := range b.watch {
		found, err := labels.Find(m.Classes, name)
		if err != nil {
			continue // another model's: Run tells
		}
		e := stream.Event{Time: time.Now(), Label: m.Classes[found[0]].Name, Kind: stream.End}
		if b.sight(e.Label) == nil {
			b.watched = append(b.watched, latest[stream.Event]{value: e, full: true})
		}
	}
	b.notify()
}

// Event implements stream.Sink.
func (b *mailbox) Event(e stream.Event, _ *capture.Frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == maxEvents {
		b.events = slices.Delete(b.events, 0, 1)
	}
	b.events = append(b.events, e)
	if last := b.sight(e.Label); last != nil {
		*last = latest[stream.Event]{value: e, full: true}
	}
	b.notify()
}

// sight is the last event of a watched label, nil of another. The lock is held.
func (b *mailbox) sight(label string) *latest[stream.Event] {
	for i := range b.watched {
		if b.watched[i].value.Label == label {
			return &b.watched[i]
		}
	}
	return nil
}

// update takes note of how a change of the model goes on.
func (b *mailbox) update(state, wanted string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.model.value
	s.State, s.Wanted, s.Error = state, wanted, ""
	if err != nil {
		s.Error = err.Error()
		s.Error = s.Error[:min(len(s.Error), maxReason)]
	}
	b.model.full = b.known()
	b.notify()
}

// known tells whether the loop has begun. The lock is held.
func (b *mailbox) known() bool { return b.model.value.Kernel != "" }

// heard takes note of a label that has been published once. If it is watched no
// more, that is to be undone.
func (b *mailbox) heard(slug string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	watched := slices.ContainsFunc(b.watched, func(e latest[stream.Event]) bool { return slugOf(e.value.Label) == slug })
	if !watched && len(b.former) < maxFormer {
		b.former = append(b.former, slug)
		b.notify()
	}
}

// again makes everything that stays true be taken once more, for another broker.
func (b *mailbox) again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.model.full, b.former, b.cleared = b.known(), nil, 0
	for i := range b.watched {
		b.watched[i].full = true
	}
	b.notify()
}

// Status implements stream.Sink. Only changes are worth a message of their own;
// the counts go with the diagnostics.
func (b *mailbox) Status(s capture.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := &b.status.value; s.State != old.State || s.Since != old.Since || s.Device != old.Device {
		b.status.full = true
		b.notify()
	}
	b.status.value = s
}

func (b *mailbox) takeResult(mine *stream.Result) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.result.swap(mine)
}

func (b *mailbox) takeFrame(mine *capture.Frame) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.frame.swap(mine)
}

// takeStatus takes the camera's state if it has changed, or again.
func (b *mailbox) takeStatus(again bool) (s capture.Status, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok = b.status.full || again && b.status.value.State != ""
	b.status.full = false
	return b.status.value, ok
}

// takeModel takes the model's state if it has changed, and gives the labels that
// are watched.
func (b *mailbox) takeModel() (s modelState, watched []string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.model.full {
		return s, nil, false
	}
	b.model.full = false
	for _, e := range b.watched {
		watched = append(watched, e.value.Label)
	}
	return b.model.value, watched, true
}

// takeWatched takes the last event of a watched label that has had one.
func (b *mailbox) takeWatched() (e stream.Event, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.watched {
		if b.watched[i].full {
			b.watched[i].full = false
			return b.watched[i].value, true
		}
	}
	return e, false
}

// takeFormer takes the slug of a label that is watched no more.
func (b *mailbox) takeFormer() (slug string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cleared == len(b.former) {
		return "", false
	}
	b.cleared++
	return b.former[b.cleared-1], true
}

// takeEvent takes the oldest event.
func (b *mailbox) takeEvent() (e stream.Event, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == 0 {
		return e, false
	}
	e = b.events[0]
	b.events = slices.Delete(b.events, 0, 1)
	return e, true
}

// takeRate gives the results per second since the last call and the last
// result; ok is false where there was none.
func (b *mailbox) takeRate() (perSecond float64, last stream.Result, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	perSecond = float64(b.rate.count) / now.Sub(b.rate.since).Seconds()
	ok = !b.rate.last.Time.IsZero()
	last = b.rate.last
	last.Throttled = slices.Clone(last.Throttled)
	b.rate.count, b.rate.since = 0, now
	return perSecond, last, ok
}

func (r *rate) add(s *stream.Result) {
	r.count++
	throttled := append(r.last.Throttled[:0], s.Throttled...)
	r.last = *s
	r.last.Top, r.last.Throttled, r.last.Probabilities = nil, throttled, nil
}

// copyResult copies into the memory that to has.
func copyResult(to, from *stream.Result) {
	top, throttled := append(to.Top[:0], from.Top...), append(to.Throttled[:0], from.Throttled...)
	*to = *from
	to.Top, to.Throttled, to.Probabilities = top, throttled, nil
}

// copyFrame copies into the memory that to has.
func copyFrame(to, from *capture.Frame) {
	data := append(to.Data[:0], from.Data...)
	*to = *from
	to.Data = data
}
