package runtime

import (
	"sync"
	"sync/atomic"
)

// spins is how often a thread looks whether the others have arrived before it
// sleeps: longer than the threads' parts of a layer usually differ, some tens
// of microseconds, and short enough that an idle session burns no core.
const spins = 2000

// barrier lets a fixed number of threads wait for each other, again and again.
type barrier struct {
	threads int32
	spins   int
	arrived atomic.Int32
	phase   atomic.Uint32 // counts how often all have arrived
	asleep  atomic.Int32
	lock    sync.Mutex
	wake    sync.Cond
}

// newBarrier is for threads that share some cores. If there are more threads
// than cores, spinning would keep the others from arriving.
func newBarrier(threads, cores int) *barrier {
	b := &barrier{threads: int32(threads)}
	if threads <= cores {
		b.spins = spins
	}
	b.wake.L = &b.lock
	return b
}

// wait returns when all threads have called it.
func (b *barrier) wait() {
	phase := b.phase.Load()
	if b.arrived.Add(1) == b.threads {
		b.arrived.Store(0)
		b.phase.Add(1)
		if b.asleep.Load() > 0 {
			b.lock.Lock()
			b.wake.Broadcast()
			b.lock.Unlock()
		}
		return
	}
	for range b.spins {
		if b.phase.Load() != phase {
			return
		}
		pause()
	}
	b.sleep(phase)
}

// sleep waits for the phase to pass. Whoever ends it looks for sleepers after
// that, and sleepers look for the end after they have said that they sleep, so
// that no wake-up is lost.
func (b *barrier) sleep(phase uint32) {
	b.lock.Lock()
	b.asleep.Add(1)
	for b.phase.Load() == phase {
		b.wake.Wait()
	}
	b.asleep.Add(-1)
	b.lock.Unlock()
}
