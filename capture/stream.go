package capture

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"edgeclassify/internal/v4l2"
)

const (
	// The driver needs two buffers to fill; the newest frame, the one lent to
	// the caller of Next and the one being looked at take three.
	wantBuffers = 5
	minBuffers  = 3

	firstPatience = 5 * time.Second // for the first frame: sensors take time to start
	minPatience   = 2 * time.Second // for others
)

// patience returns how long the next frame may take.
func patience(interval time.Duration) time.Duration {
	return max(minPatience, 10*interval)
}

// errDriver is about frames that the driver itself calls damaged, or cuts off.
var errDriver = errors.New("its driver tells of damaged frames")

// stalled is the failure of a session without good frames. damage, if not nil,
// is why the last bad one was.
func stalled(patience time.Duration, damage error) error {
	if damage != nil {
		return fmt.Errorf("%w for %v, but damaged ones: %w", errStalled, patience, damage)
	}
	return fmt.Errorf("%w for %v", errStalled, patience)
}

// stream is a session of a V4L2 camera.
type stream struct {
	dev      device
	layout   Frame
	patience time.Duration
	deadline time.Time // of the next good frame
	damage   error     // of the last damaged frame

	started  bool
	driver   uint32 // the driver's last sequence number
	sequence uint64 // ours, from 0 on

	mu      sync.Mutex // guards what follows and the device against close
	buffers []*buffer
	out     map[*buffer]bool // whether it is in use outside of the driver
	broken  error            // why a buffer could not be given back
	closed  bool
}

// startStream takes over d, and closes it on failure.
func startStream(d device, a agreement) (*stream, error) {
	s := &stream{dev: d, layout: a.layout, out: map[*buffer]bool{},
		patience: patience(seconds(a.interval))}
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	s.deadline = time.Now().Add(max(firstPatience, s.patience))
	return s, nil
}

func seconds(f v4l2.Fraction) time.Duration {
	if f.Denominator == 0 {
		return 0
	}
	return time.Duration(f.Numerator) * time.Second / time.Duration(f.Denominator)
}

func (s *stream) start() error {
	maps, err := s.dev.Map(wantBuffers)
	if err != nil {
		return err
	}
	for i, m := range maps {
		s.buffers = append(s.buffers, &buffer{index: i, memory: m})
	}
	if len(maps) < minBuffers {
		return fmt.Errorf("its driver has %d buffers: need %d", len(maps), minBuffers)
	}
	for i := range maps {
		if err := s.dev.Queue(i); err != nil {
			return err
		}
	}
	return s.dev.Start()
}

func (s *stream) next() (arrival, error) {
	for {
		wait := s.dev.Wait(time.Until(s.deadline))
		switch {
		case errors.Is(wait, v4l2.ErrInterrupted):
			return arrival{}, errors.Join(s.failure(), wait)
		case errors.Is(wait, v4l2.ErrTimeout):
			return arrival{}, stalled(s.patience, s.damage)
		case wait != nil && !errors.Is(wait, v4l2.ErrStopped):
			return arrival{}, wait
		}
		a, err := s.drain() // which says why, where the driver has stopped
		switch {
		case err != nil || a != (arrival{}):
			return a, err
		case wait != nil:
			return arrival{}, wait
		}
	}
}

// failure returns why a buffer could not be given back.
func (s *stream) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// drain takes all filled buffers and keeps the newest good one.
func (s *stream) drain() (a arrival, err error) {
	for {
		filled, err := s.dev.Dequeue()
		if errors.Is(err, v4l2.ErrNotReady) {
			return a, nil
		}
		if err == nil && (filled.Index < 0 || filled.Index >= len(s.buffers)) {
			err = fmt.Errorf("its driver is faulty: buffer %d of %d", filled.Index, len(s.buffers))
		}
		if err != nil {
			if a.newest != nil {
				s.release(a.newest)
			}
			return arrival{}, err
		}
		b := s.checkOut(filled.Index)
		a.dropped += s.count(filled.Sequence)
		if err := s.fill(b, filled); err != nil {
			s.damage = err
			a.corrupt++
			s.release(b)
			continue
		}
		a.frames++
		s.deadline = time.Now().Add(s.patience)
		if a.newest != nil {
			s.release(a.newest)
		}
		a.newest = b
	}
}

func (s *stream) checkOut(index int) *buffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buffers[index]
	s.out[b] = true
	return b
}

// count takes over the driver's sequence number and returns how many frames
// were lost before it. Numbers that stand still or go back are no loss: some
// drivers do not count.
func (s *stream) count(driver uint32) (lost uint64) {
	step := driver - s.driver
	if step == 0 || step > 1<<31 {
		step = 1
	}
	s.driver = driver
	if !s.started {
		s.started = true
		return 0
	}
	s.sequence += uint64(step)
	return uint64(step - 1)
}

// fill makes a frame of a filled buffer. It fails if that is not whole.
func (s *stream) fill(b *buffer, filled v4l2.Buffer) error {
	if filled.Corrupt || filled.Used > len(b.memory) {
		return errDriver
	}
	b.Frame = s.layout
	b.Sequence, b.Time = s.sequence, filled.Time
	b.Data = b.memory[:filled.Used]
	if b.Format == MJPEG {
		header, err := b.completeJPEG(b.Data)
		if err != nil {
			return err
		}
		return b.checkSize(header)
	}
	if filled.Used < b.need() {
		return errDriver
	}
	return nil
}

// release gives a buffer back to the driver or, if the stream has ended,
// frees it.
func (s *stream) release(b *buffer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.out[b] {
		return
	}
	s.out[b] = false
	if s.closed {
		s.dev.Unmap(b.memory)
		return
	}
	if err := s.dev.Queue(b.index); err != nil && s.broken == nil {
		// A lost buffer would starve the driver sooner or later.
		s.broken = err
		s.dev.Interrupt()
	}
}

func (s *stream) interrupt() { s.dev.Interrupt() }

// close ends the stream. Frames that are still in use stay readable.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.dev.Close()
	for _, b := range s.buffers {
		if !s.out[b] {
			s.dev.Unmap(b.memory)
		}
	}
}
