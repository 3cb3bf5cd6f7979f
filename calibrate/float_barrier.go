package calibrate

import (
	"runtime"
	"sync/atomic"
)

// barrier lets the workers of a run wait for each other, again and again. They
// have equal parts, so that waits are short and nobody sleeps.
type barrier struct {
	workers int32
	arrived atomic.Int32
	phase   atomic.Uint32 // counts how often all have arrived
}

// wait returns when all workers have called it.
func (b *barrier) wait() {
	phase := b.phase.Load()
	if b.arrived.Add(1) == b.workers {
		b.arrived.Store(0)
		b.phase.Add(1)
		return
	}
	for b.phase.Load() == phase {
		runtime.Gosched()
	}
}
