package capture

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"edgeclassify/preprocess"
)

// errStalled ends a session in which frames stay away.
var errStalled = errors.New("no frames")

// errClosed is what Next returns after Close.
var errClosed = errors.New("capture: the camera is closed")

const (
	retryDelay    = 500 * time.Millisecond // from a failure to the next attempt
	closePatience = time.Second            // how long Close waits for a driver
	hangs         = 30 * time.Second       // longer than opening a camera may take
)

// session is a camera between opening and the first failure. It owns a few
// buffers, at least three: one is being filled while another holds the newest
// frame and the caller of Next reads a third.
type session interface {
	// next waits for frames. The newest one's buffer stays out of use until
	// released.
	next() (arrival, error)

	// release hands a buffer back, at any time, even after close. It is safe
	// for concurrent use.
	release(*buffer)

	// interrupt makes next fail soon. It is safe for concurrent use.
	interrupt()

	close()
}

// opener opens a camera and says what it agreed to: Device, Format, size and
// rate. It gives up when ctx ends.
type opener func(ctx context.Context) (session, Status, error)

// buffer holds one frame.
type buffer struct {
	Frame
	index   int
	memory  []byte // what the frame was captured into
	scratch []byte // the frame, where it had to be completed
}

// arrival is what came since the last one.
type arrival struct {
	newest                   *buffer // nil if all were corrupt
	frames, dropped, corrupt uint64
}

// held is a buffer and where it goes back to.
type held struct {
	*buffer
	from session
}

func (h held) release() {
	if h.buffer != nil {
		h.from.release(h.buffer)
	}
}

// supervisor is every camera: a goroutine that keeps a session open and the
// newest frame at hand.
type supervisor struct {
	opener  opener
	turn    preprocess.Orientation // of all frames
	limits  preprocess.Limits
	log     *slog.Logger
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	arrived chan struct{} // holds a token when newest has been set

	undecodable atomic.Uint64 // frames that turned out to be damaged when they were decoded

	mu     sync.Mutex
	status Status
	newest held
	lent   held   // to the caller of Next
	base   uint64 // what the session's sequence numbers are added to
	next   uint64 // the sequence number after the newest one
}

// start opens a camera and returns it under supervision.
func start(ctx context.Context, spec string, open opener, o Options) (Camera, error) {
	s, agreed, err := open(ctx)
	if ctx.Err() != nil {
		if s != nil {
			s.close()
		}
		return nil, fmt.Errorf("capture: %w", ctx.Err())
	}
	if err != nil && !o.Wait {
		return nil, fmt.Errorf("capture: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &supervisor{
		opener: open, turn: o.Orientation, limits: o.Limits, log: o.Log, cancel: cancel, done: make(chan struct{}), arrived: make(chan struct{}, 1),
		status: Status{Device: spec, State: Starting, Since: time.Now(), Due: time.Now().Add(hangs)},
	}
	go c.run(ctx, s, agreed, err)
	return c, nil
}

// Next implements Camera.
func (c *supervisor) Next(ctx context.Context) (*Frame, error) {
	c.giveBack()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if b := c.take(); b != nil {
			return &b.Frame, nil
		}
		select {
		case <-ctx.Done():
		case <-c.arrived:
		case <-c.done:
			return nil, errClosed
		}
	}
}

// take lends the newest frame, or returns nil.
func (c *supervisor) take() *buffer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent, c.newest = c.newest, held{}
	return c.lent.buffer
}

// giveBack ends the loan.
func (c *supervisor) giveBack() {
	c.mu.Lock()
	lent := c.lent
	c.lent = held{}
	c.mu.Unlock()
	lent.release()
}

// Status implements Camera.
func (c *supervisor) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	s.Corrupt += c.undecodable.Load()
	return s
}

// Close implements Camera. A driver that does not answer is not waited for.
func (c *supervisor) Close() error {
	c.cancel()
	select {
	case <-c.done:
	case <-time.After(closePatience):
	}
	c.giveBack()
	return nil
}

// run opens sessions until ctx ends.
//
// A session that failed is closed only when it is time for the next: at the
// moment of unplugging, Linux 6.1 takes the device down and crashes where a
// program closes it meanwhile (media_device_unregister_entity finds the
// entity's device gone).
func (c *supervisor) run(ctx context.Context, s session, agreed Status, err error) {
	defer close(c.done)
	for delay := retryDelay; ; {
		if err == nil {
			var any bool
			if any, err = c.stream(ctx, s, agreed); any {
				delay = retryDelay
			}
		}
		if ctx.Err() == nil {
			c.fail(err, delay)
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		if s != nil {
			s.close()
		}
		if ctx.Err() != nil {
			return
		}
		delay = min(2*delay, longestDelay(err))
		c.count(func(s *Status) { s.Due = time.Now().Add(hangs) })
		if s, agreed, err = c.opener(ctx); err == nil {
			c.count(func(s *Status) { s.Restarts++ })
		}
	}
}

// longestDelay is short for what a plug mends, and longer where an attempt is
// costly.
func longestDelay(err error) time.Duration {
	var c *costly
	if errors.As(err, &c) {
		return 10 * time.Second
	}
	return retryDelay
}

// stream takes frames from s until it fails, and reports whether there were
// any.
func (c *supervisor) stream(ctx context.Context, s session, agreed Status) (any bool, err error) {
	c.begin(agreed)
	defer c.forget()
	defer context.AfterFunc(ctx, s.interrupt)()
	for {
		a, err := s.next()
		if err != nil {
			return any, err
		}
		any = c.put(a, s) || any
	}
}

// begin notes what the camera agreed to. The state stays as it was until
// there is a frame.
func (c *supervisor) begin(agreed Status) {
	if c.turn.Transposed() {
		agreed.Width, agreed.Height = agreed.Height, agreed.Width
	}
	c.count(func(s *Status) {
		s.Device, s.Format, s.Width, s.Height, s.FPS =
			agreed.Device, agreed.Format, agreed.Width, agreed.Height, agreed.FPS
		s.Due = s.nextDue()
		c.base = c.next
	})
}

// nextDue is when a session that streams has given a frame, or has failed.
func (s *Status) nextDue() time.Time {
	within := time.Duration(hangs)
	if s.FPS > 0 {
		within += patience(time.Duration(float64(time.Second) / s.FPS))
	}
	return time.Now().Add(within)
}

// count changes the status.
func (c *supervisor) count(change func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.status)
}

// put makes the newest frame of a the one that Next returns, and reports
// whether there is one.
func (c *supervisor) put(a arrival, s session) bool {
	c.mu.Lock()
	c.status.Frames += a.frames
	c.status.Dropped += a.dropped
	c.status.Corrupt += a.corrupt
	c.status.Due = c.status.nextDue()
	if a.newest == nil {
		c.mu.Unlock()
		return false
	}
	started := c.setState(Streaming, "")
	a.newest.Orientation, a.newest.Limits, a.newest.undecodable = c.turn, c.limits, &c.undecodable
	a.newest.Sequence += c.base
	c.next = a.newest.Sequence + 1
	passedOver := c.newest
	c.newest = held{a.newest, s}
	status := c.status
	c.mu.Unlock()

	passedOver.release()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	if started {
		c.log.Info("camera is streaming", "device", status.Device, "format", status.Format,
			"width", status.Width, "height", status.Height, "fps", status.FPS)
	}
	return true
}

// forget drops a frame that nobody took: it would be old by the time the
// camera works again.
func (c *supervisor) forget() {
	c.mu.Lock()
	newest := c.newest
	c.newest = held{}
	c.mu.Unlock()
	newest.release()
}

// fail says why there are no frames, until the next attempt after delay.
func (c *supervisor) fail(err error, delay time.Duration) {
	state := Failed
	switch {
	case errors.Is(err, errStalled):
		state = Stalled
	case errors.Is(err, errGone), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		state = Missing
	}
	c.mu.Lock()
	changed := c.setState(state, err.Error())
	c.status.Due = time.Now().Add(delay + hangs)
	device := c.status.Device
	c.mu.Unlock()
	if changed {
		c.log.Warn("camera gives no frames", "device", device, "state", state, "error", err)
	}
}

// setState reports whether state differs from what it was. The caller holds
// the lock.
func (c *supervisor) setState(state, why string) bool {
	c.status.Error = why
	if c.status.State == state {
		return false
	}
	c.status.State, c.status.Since = state, time.Now()
	return true
}
