// Package dataset goes through the images that networks are calibrated and
// measured on, several at a time, such that what is found does not depend on how
// many.
package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// Images are preprocessed images.
type Images interface {
	Len() int
	// Load returns image i preprocessed to RGB, Crop x Crop x 3 bytes. It is
	// called from several goroutines.
	Load(i int) ([]uint8, error)
}

// Subset is some of the images.
type Subset struct {
	Images Images
	Index  []int
}

// Len is the number of images in the subset.
func (s Subset) Len() int { return len(s.Index) }

// Load implements Images.
func (s Subset) Load(i int) ([]uint8, error) { return s.Images.Load(s.Index[i]) }

// Evenly draws n numbers below total, in order; 0 is all.
func Evenly(total, n int) []int {
	if n <= 0 || n > total {
		n = total
	}
	drawn := make([]int, n)
	for i := range drawn {
		drawn[i] = i * total / n
	}
	return drawn
}

// Hashes names a set of images by their pixels: it holds the SHA-256 of each, nil
// for those left out.
type Hashes [][]byte

// Add hashes image i as Images.Load returns it. Several goroutines may add
// different images.
func (h Hashes) Add(i int, rgb []uint8) {
	hash := sha256.Sum256(rgb)
	h[i] = hash[:]
}

// Sum counts the images and hashes their hashes in order.
func (h Hashes) Sum() (n int, hash string) {
	all := sha256.New()
	for _, h := range h {
		if h != nil {
			all.Write(h)
			n++
		}
	}
	return n, hex.EncodeToString(all.Sum(nil))
}

// Each calls do for 0 to n-1 on the given number of goroutines, until one fails or
// ctx ends, and reports progress, if that is not nil, one call at a time.
func Each(ctx context.Context, workers, n int, progress func(done, total int), do func(worker, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu         sync.Mutex
		next, done int
		wg         sync.WaitGroup
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == n || ctx.Err() != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	finished := func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; progress != nil {
			progress(done, n)
		}
	}
	for w := range workers {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				if err := do(w, i); err != nil {
					cancel(err)
					return
				}
				finished()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
