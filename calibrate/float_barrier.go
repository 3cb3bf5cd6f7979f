package calibrate

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// barrier lets the workers of a run wait for each other, again and again.
type barrier struct {
	workers int32
	arrived atomic.Int32
	phase   atomic.Uint32 // counts how often all have arrived
	lock    sync.Mutex    // phase changes under it, so that no sleeper misses that
	passed  sync.Cond
}

func newBarrier(workers int) *barrier {
	b := &barrier{workers: int32(workers)}
	b.passed.L = &b.lock
	return b
}

// yields is how often a worker lets others go first before it sleeps: some tens
// of microseconds, by which the workers' parts of a step usually differ. Where
// one waits longer, another has lost its core to some other program, and may
// have this one.
const yields = 300

// wait returns when all workers have called it.
func (b *barrier) wait() {
	phase := b.phase.Load()
	if b.arrived.Add(1) == b.workers {
		b.arrived.Store(0)
		b.lock.Lock()
		b.phase.Add(1)
		b.lock.Unlock()
		b.passed.Broadcast()
		return
	}
	for range yields {
		if b.phase.Load() != phase {
			return
		}
		runtime.Gosched()
	}
	b.lock.Lock()
	for b.phase.Load() == phase {
		b.passed.Wait()
	}
	b.lock.Unlock()
}
