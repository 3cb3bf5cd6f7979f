package fleet

import (
	"slices"
	"sync"
	"time"

	"edgeclassify/capture"
	"edgeclassify/stream"
)

// maxEvents is how many events wait for the broker before the oldest is lost.
const maxEvents = 64

// mailbox is what the loop has left for the connection. Nothing in it grows:
// of results and pictures it holds the newest, of events the newest few.
type mailbox struct {
	results, snapshots time.Duration // least time between two

	wake chan struct{} // holds a token where there is something to take

	mu       sync.Mutex
	result   latest[stream.Result]
	frame    latest[capture.Frame]
	status   latest[capture.Status]
	events   []stream.Event
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

func newMailbox(results, snapshots time.Duration) *mailbox {
	return &mailbox{results: results, snapshots: snapshots, wake: make(chan struct{}, 1), rate: rate{since: time.Now()}, class: -1}
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
func (b *mailbox) Model(stream.Model) {}

// Event implements stream.Sink.
func (b *mailbox) Event(e stream.Event, _ *capture.Frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.events) == maxEvents {
		b.events = slices.Delete(b.events, 0, 1)
	}
	b.events = append(b.events, e)
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
