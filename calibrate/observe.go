package calibrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Images are the pictures to calibrate on.
type Images interface {
	Len() int
	// Load returns picture i preprocessed to RGB, Crop x Crop x 3 bytes. It is
	// called from several goroutines.
	Load(i int) ([]uint8, error)
}

// ObserveOptions steer Observe.
type ObserveOptions struct {
	Threads int
	// Skip, if not nil, is told of pictures that cannot be loaded, which are
	// then left out, in order. Without it they end the calibration.
	Skip func(err error)
	// Progress, if not nil, is called after every picture, one call at a time.
	Progress func(done, total int)
}

// watch is what looks at the tensors of a pass.
type watch struct {
	// look is shown the tensors of one picture after another. Different workers
	// call it at the same time.
	look func(worker int, name string, shape tensor.Shape, values []float32) error
	// done, if not nil, is called behind a picture, one call at a time in the
	// order of the pictures, and before the worker looks at its next one.
	done func(worker int)
}

func (o ObserveOptions) workers(images Images) int {
	return max(1, min(o.Threads, images.Len()))
}

// pass runs g on all pictures and shows the named tensors. It returns the
// hashes of the pictures.
func pass(ctx context.Context, g *models.Graph, images Images, o ObserveOptions, names []string, w watch) (ImageHashes, error) {
	if images.Len() == 0 {
		return nil, errors.New("calibrate: no pictures to calibrate on")
	}
	executor, err := NewExecutor(g, 1, names...)
	if err != nil {
		return nil, err
	}
	runners := make([]runner, o.workers(images))
	for i := range runners {
		runners[i] = runner{g, executor.Clone(), make([]float32, g.Input.Elements())}
	}
	hashes := make(ImageHashes, images.Len())
	err = inOrder(ctx, images, len(runners), o.Skip, o.Progress, func(worker, i int, rgb []uint8) error {
		hashes.Add(i, rgb)
		return runners[worker].run(rgb, func(name string, shape tensor.Shape, values []float32) error {
			return w.look(worker, name, shape, values)
		})
	}, w.done)
	return hashes, err
}

// ImageHashes names a set of pictures by their pixels: it holds the SHA-256 of
// each, nil for those left out.
type ImageHashes [][]byte

// Add hashes picture i as Images.Load returns it. Several goroutines may add
// different pictures.
func (h ImageHashes) Add(i int, rgb []uint8) {
	hash := sha256.Sum256(rgb)
	h[i] = hash[:]
}

// Sum counts the pictures and hashes their hashes in order.
func (h ImageHashes) Sum() (n int, hash string) {
	all := sha256.New()
	for _, h := range h {
		if h != nil {
			all.Write(h)
			n++
		}
	}
	return n, hex.EncodeToString(all.Sum(nil))
}

// runner runs the graph for one worker.
type runner struct {
	graph    *models.Graph
	executor *Executor
	input    []float32
}

func (r runner) run(rgb []uint8, look func(name string, shape tensor.Shape, values []float32) error) error {
	if len(rgb) != len(r.input) {
		return fmt.Errorf("calibrate: a picture has %d values, want %d", len(rgb), len(r.input))
	}
	r.graph.Preprocess.Float(r.input, rgb)
	var failed error
	_, err := r.executor.Run(r.input, func(name string, shape tensor.Shape, values []float32) {
		if failed == nil {
			failed = look(name, shape, values)
		}
	})
	return errors.Join(err, failed)
}

// observed names the tensors to watch, those that convolutions make: other
// layers keep their input's range.
func observed(units []unit) (tensors []string) {
	for _, u := range units {
		if _, conv := u.op.(*models.Conv); conv {
			tensors = append(tensors, u.tensor)
		}
	}
	return tensors
}

// inOrder calls look with every picture, on a number of goroutines, and behind it
// done, if not nil, one call at a time in the pictures' order. Pictures that cannot
// be loaded are left to skip; without it they are errors.
func inOrder(ctx context.Context, images Images, workers int, skip func(error), progress func(done, total int), look func(worker, i int, rgb []uint8) error, done func(worker int)) error {
	order := newTurns()
	return EachImage(ctx, workers, images.Len(), progress, func(worker, i int) error {
		rgb, err := images.Load(i)
		unreadable := err != nil && skip != nil
		if err == nil {
			err = look(worker, i, rgb)
		}
		return order.take(i, func() error {
			switch {
			case unreadable:
				skip(err)
				return nil
			case err == nil && done != nil:
				done(worker)
			}
			return err
		})
	})
}

// EachImage calls do for 0 to n-1 on the given number of goroutines, until one
// fails or ctx ends, and reports progress.
func EachImage(ctx context.Context, workers, n int, progress func(done, total int), do func(worker, i int) error) error {
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
