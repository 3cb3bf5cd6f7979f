package dataset

import (
	"context"
	"sync"
)

// Pass is how to go through images once.
type Pass struct {
	Threads int
	Limit   int // the number of images to look at, evenly drawn; 0 takes all
	// Skip, if not nil, is told of images that cannot be loaded, which are then
	// left out, in order. Without it they end the pass.
	Skip func(err error)
	// Progress, if not nil, is called after every image, one call at a time.
	Progress func(done, total int)
}

// Workers is the number of goroutines that look at images.
func (p Pass) Workers(images Images) int {
	return max(1, min(p.Threads, len(Evenly(images.Len(), p.Limit))))
}

// Run calls look with every image, on as many goroutines as there are workers,
// and behind it done, one call at a time in the order of the images and before
// the worker looks at its next one. It returns the hashes of the images drawn.
func (p Pass) Run(ctx context.Context, images Images, look func(worker int, rgb []uint8) error, done func(worker int)) (Hashes, error) {
	drawn := Subset{images, Evenly(images.Len(), p.Limit)}
	hashes, order := make(Hashes, drawn.Len()), newTurns()
	return hashes, Each(ctx, p.Workers(images), drawn.Len(), p.Progress, func(worker, i int) error {
		rgb, err := drawn.Load(i)
		unreadable := err != nil && p.Skip != nil
		if err == nil {
			hashes.Add(i, rgb)
			err = look(worker, rgb)
		}
		return order.take(i, func() error {
			switch {
			case unreadable:
				p.Skip(err)
				return nil
			case err == nil:
				done(worker)
			}
			return err
		})
	})
}

// turns lets goroutines that work on numbered images add to sums in the order of
// the numbers, on which the rounding of sums depends.
type turns struct {
	mu   sync.Mutex
	cond sync.Cond
	next int
}

func newTurns() *turns {
	t := &turns{}
	t.cond.L = &t.mu
	return t
}

// take waits until do was called for all numbers before i, and calls it.
func (t *turns) take(i int, do func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.next != i {
		t.cond.Wait()
	}
	t.next++
	t.cond.Broadcast()
	return do()
}
