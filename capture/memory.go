package capture

import (
	"sync"
	"time"
)

// pool hands out buffers of ordinary memory, for sessions without a driver.
type pool chan *buffer

// newPool returns a pool of buffers of size bytes: one to be filled, the
// newest, and one lent.
func newPool(size int) pool {
	const count = 3
	p := make(pool, count)
	for range count {
		p <- &buffer{memory: make([]byte, size)}
	}
	return p
}

func (p pool) release(b *buffer) { p <- b }

// pace lets time pass between frames that are made up.
type pace struct {
	interval time.Duration
	due      time.Time // when the next frame is
	timer    *time.Timer
	stop     chan struct{}
	once     sync.Once
}

func newPace(fps float64) *pace {
	return &pace{
		interval: time.Duration(float64(time.Second) / fps),
		due:      time.Now(),
		timer:    time.NewTimer(0),
		stop:     make(chan struct{}),
	}
}

// wait waits until the next frame is due. Frames that are late are left out.
func (p *pace) wait() error {
	p.timer.Reset(time.Until(p.due))
	select {
	case <-p.stop:
		return errClosed
	case <-p.timer.C:
	}
	p.due = p.due.Add(p.interval)
	if now := time.Now(); p.due.Before(now) {
		p.due = now
	}
	return nil
}

func (p *pace) interrupt() { p.once.Do(func() { close(p.stop) }) }

func (p *pace) close() { p.timer.Stop() }
