// Package threadpool shares the work of one step after another among a few threads.
package threadpool

import (
	"sync"
	"sync/atomic"
)

// spins is how often a thread looks for what it waits for before it sleeps:
// some tens of microseconds, longer than threads usually wait for each other
// and short enough that an idle session burns no core.
const spins = 2000

// Share is how many chunks a thread's share of a step is best cut into: few
// enough to cost nothing, enough for others to help out.
const Share = 4

// Pool is threads on their way through the steps of frames. A step's work is in
// chunks, some for each thread. A thread takes its own and then those that
// others have not begun, so that one that loses its core to another program
// holds up nobody unless it is amid a chunk. A step begins when all chunks of
// the one before are done. (Work stealing as in Blumofe, Leiserson: Scheduling
// Multithreaded Computations by Work Stealing, 1999, from fixed queues.)
type Pool struct {
	threads int
	spins   int
	steps   []progress
	frame   atomic.Int64 // number of the frame at work, from 1; counts up
	asleep  atomic.Int32
	lock    sync.Mutex
	wake    sync.Cond
}

// progress counts a step's chunks over all frames: those of frame f are done
// when there have been f times as many as the step has.
type progress struct {
	chunks int64
	done   counter
	queues []queue // one for each thread
}

// queue is a thread's own chunks of a step.
type queue struct {
	first, chunks int64
	taken         counter
}

// counter has a cache line to itself: others write to its neighbours.
type counter struct {
	atomic.Int64
	_ [56]byte
}

// New makes a pool for steps of the given numbers of chunks. If there are
// more threads than cores, spinning would keep the others from working.
func New(threads, cores int, chunks []int) *Pool {
	t := &Pool{threads: threads, steps: make([]progress, len(chunks))}
	if threads <= cores {
		t.spins = spins
	}
	t.wake.L = &t.lock
	for i, n := range chunks {
		p := &t.steps[i]
		p.chunks, p.queues = int64(n), make([]queue, threads)
		for q := range p.queues {
			first, end := Own(n, threads, q)
			p.queues[q].first, p.queues[q].chunks = int64(first), int64(end-first)
		}
	}
	return t
}

// Own is the chunks [first, end) of a step that are a thread's own.
func Own(chunks, threads, thread int) (first, end int) {
	return chunks * thread / threads, chunks * (thread + 1) / threads
}

// Begin lets the threads begin the next frame, and returns its number.
func (t *Pool) Begin() int64 {
	frame := t.frame.Add(1)
	t.wakeUp()
	return frame
}

// Next waits for the frame after the given one, or for a later one.
func (t *Pool) Next(frame int64) int64 {
	t.wait(&t.frame, frame+1)
	return t.frame.Load()
}

// Work does chunks of a step until none is left to take, and waits until all
// are done. A thread that comes late finds nothing to do.
func (t *Pool) Work(thread, step int, frame int64, do func(chunk int)) {
	p := &t.steps[step]
	for i := range t.threads {
		q := &p.queues[(thread+i)%t.threads]
		for {
			chunk, ok := q.take(frame)
			if !ok {
				break
			}
			do(chunk)
			if p.done.Add(1) == frame*p.chunks {
				t.wakeUp()
			}
		}
	}
	t.Await(step, frame)
}

// Await waits until all chunks of a step are done.
func (t *Pool) Await(step int, frame int64) {
	p := &t.steps[step]
	t.wait(&p.done.Int64, frame*p.chunks)
}

// take returns a chunk of the frame that nobody has taken.
func (q *queue) take(frame int64) (chunk int, ok bool) {
	for {
		n := q.taken.Load()
		if n >= frame*q.chunks {
			return 0, false
		}
		if q.taken.CompareAndSwap(n, n+1) {
			return int(q.first + n%q.chunks), true
		}
	}
}

// wait returns when the counter has reached the value.
func (t *Pool) wait(counter *atomic.Int64, value int64) {
	for range t.spins {
		if counter.Load() >= value {
			return
		}
		pause()
	}
	// Whoever counts looks for sleepers after that, and sleepers look at the
	// counter after they have said that they sleep: no wake-up is lost.
	t.lock.Lock()
	t.asleep.Add(1)
	for counter.Load() < value {
		t.wake.Wait()
	}
	t.asleep.Add(-1)
	t.lock.Unlock()
}

func (t *Pool) wakeUp() {
	if t.asleep.Load() > 0 {
		t.lock.Lock()
		t.wake.Broadcast()
		t.lock.Unlock()
	}
}
