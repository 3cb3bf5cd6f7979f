package pins

import (
	"sync"
	"time"
)

// worker calls a function with the newest value, in a goroutine of its own.
type worker[T any] struct {
	box  chan T // the newest value that the goroutine has not taken
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

// startWorker starts a worker that rests for a while after each call of do.
func startWorker[T any](rest time.Duration, do func(T)) *worker[T] {
	w := &worker[T]{box: make(chan T, 1), quit: make(chan struct{}), done: make(chan struct{})}
	go w.run(rest, do)
	return w
}

func (w *worker[T]) run(rest time.Duration, do func(T)) {
	defer close(w.done)
	for {
		select {
		case <-w.quit:
			return
		case v := <-w.box:
			do(v)
		}
		select {
		case <-w.quit:
			return
		case <-time.After(rest):
		}
	}
}

// put replaces the value that waits. It never blocks. It must not be called
// from two goroutines at the same time.
func (w *worker[T]) put(v T) {
	select {
	case <-w.box:
	default:
	}
	w.box <- v
}

// stop ends the goroutine and waits for a call of do that is under way.
func (w *worker[T]) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.done
}
