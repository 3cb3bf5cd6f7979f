package threadpool

import (
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every chunk of every step is done once a frame, and no step begins before
// all chunks of the one before are done. Plain variables show the race detector
// that waiting orders memory.
func TestEveryChunkOnceAndStepsInOrder(t *testing.T) {
	const frames = 200
	for _, threads := range []int{1, 2, 3, 8} {
		chunks := []int{1, 7, 2, 16, 3}
		pool := New(threads, runtime.NumCPU(), chunks)
		done := make([][]int, len(chunks))
		for i, n := range chunks {
			done[i] = make([]int, n)
		}
		frame := func(thread int, number int64) {
			for step := range chunks {
				pool.Work(thread, step, number, func(chunk int) {
					if step > 0 {
						for _, n := range done[step-1] {
							if int64(n) != number {
								t.Errorf("step %d of frame %d began early", step, number)
							}
						}
					}
					done[step][chunk]++
				})
			}
		}
		var helpers sync.WaitGroup
		for thread := 1; thread < threads; thread++ {
			helpers.Go(func() {
				for number := pool.Next(0); number <= frames; number = pool.Next(number) {
					frame(thread, number)
				}
			})
		}
		for range frames {
			frame(0, pool.Begin())
		}
		pool.Begin() // the frame that ends the helpers
		helpers.Wait()
		for step := range done {
			for chunk, n := range done[step] {
				require.Equal(t, frames, n, "%d threads, step %d, chunk %d", threads, step, chunk)
			}
		}
	}
}

// A thread that never comes holds up nobody.
func TestAbsentThreadIsNotMissed(t *testing.T) {
	pool := New(4, 4, []int{16, 16})
	for range 10 {
		frame, count := pool.Begin(), 0
		for step := range 2 {
			pool.Work(1, step, frame, func(int) { count++ })
		}
		require.Equal(t, 32, count)
	}
}

func TestAwaitSeesTheWork(t *testing.T) {
	pool := New(2, 2, []int{1})
	result := 0
	frame := pool.Begin()
	go pool.Work(0, 0, frame, func(int) { result = 42 })
	pool.Await(0, frame)
	require.Equal(t, 42, result)
}
