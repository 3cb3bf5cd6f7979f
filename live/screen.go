package live

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"edgeclassify/capture"
)

const (
	interval = 100 * time.Millisecond // between two pictures at least
	effort   = 16                     // of the time, one part in so many is spent on encoding
	idle     = time.Second            // between two pictures at most, and two copies that nobody waits for
)

// picture is a JPEG file. It is shared, and not written to.
type picture struct {
	jpeg     []byte
	sequence uint64
	time     time.Time // of capture
}

// screen turns frames into pictures while somebody watches.
//
// The sink copies a frame at most once an interval, or once a second while
// nobody watches, so that the first viewer need not wait. It shares nothing
// with the encoder but two frames, which they exchange under a short lock.
type screen struct {
	viewers *fanout[*picture]
	log     *slog.Logger
	wake    chan struct{}

	mu    sync.Mutex
	copy  capture.Frame // with Data of its own
	taken bool          // the encoder has had the copy
	at    time.Time     // of copying
	next  time.Time     // when to copy again
	last  *picture
}

func newScreen(log *slog.Logger) *screen {
	return &screen{
		viewers: newFanout[*picture](1, maxViewers, viewersEach), log: log,
		wake: make(chan struct{}, 1), taken: true,
	}
}

// show copies the frame if it is time for one.
func (s *screen) show(f *capture.Frame, now time.Time) {
	watched := s.viewers.count() > 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if watched && now.Before(s.next) || !watched && now.Sub(s.at) < idle {
		return
	}
	data := append(s.copy.Data[:0], f.Data...)
	s.copy, s.taken, s.at = *f, false, now
	s.copy.Data = data
	s.next = now.Add(interval)
	if watched {
		s.encode()
	}
}

// encode wakes the encoder.
func (s *screen) encode() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// join returns the box of a viewer, which gets the newest picture at once.
func (s *screen) join(from netip.Prefix) (chan *picture, error) {
	box, err := s.viewers.join(from)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	last, behind := s.last, !s.taken
	s.mu.Unlock()
	if behind {
		s.encode()
	} else if last != nil {
		s.viewers.offer(box, last)
	}
	return box, nil
}

// run encodes pictures until ctx ends.
func (s *screen) run(ctx context.Context) {
	var e capture.Encoder
	var frame capture.Frame
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		if !s.take(&frame) {
			continue
		}
		start := time.Now()
		file, err := e.JPEG(&frame)
		if err != nil {
			s.log.Debug("picture not shown", "err", err)
			continue
		}
		p := &picture{bytes.Clone(file), frame.Sequence, frame.Time}
		s.keep(p, start.Add(rest(time.Since(start))))
		s.viewers.send(p)
	}
}

// rest is the time between two pictures if encoding takes that long. A picture
// a second is shown even where the machine is so busy that it takes very long.
func rest(encoding time.Duration) time.Duration {
	return min(max(interval, effort*encoding), idle)
}

// take exchanges the encoder's frame for the newest, if it has not had it.
func (s *screen) take(f *capture.Frame) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken {
		return false
	}
	*f, s.copy = s.copy, *f
	s.taken = true
	return true
}

func (s *screen) keep(p *picture, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = p
	if next.After(s.next) {
		s.next = next
	}
}
