package calibrate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	Method  Method
	Threads int
	// Skip, if not nil, is told of pictures that cannot be loaded, which are
	// then left out, in order. Without it they end the calibration.
	Skip func(err error)
	// Progress, if not nil, is called after every picture, one call at a time.
	Progress func(done, total int)
}

// Observe runs the folded graph on all pictures, chooses the range of every
// layer's output and takes its means. The result depends on the pictures and
// the kind of CPU alone, not on threads. Memory does not grow with the number
// of pictures.
func Observe(ctx context.Context, g *models.Graph, images Images, o ObserveOptions) (*RangeTable, error) {
	if images.Len() == 0 {
		return nil, errors.New("calibrate: no pictures to calibrate on")
	}
	units, err := lower(g)
	if err != nil {
		return nil, err
	}
	averaged := averaged(units)
	executor, err := NewExecutor(g, 1, append(observed(units), slices.Collect(maps.Keys(averaged))...)...)
	if err != nil {
		return nil, err
	}
	observers := make([]*observer, min(max(o.Threads, 1), images.Len()))
	for i := range observers {
		observers[i] = newObserver(g, units, averaged, executor.Clone())
	}
	hashes := make(ImageHashes, images.Len())
	total, order := sums{}, newTurns()
	if err := EachImage(ctx, len(observers), images.Len(), o.Progress, func(worker, i int) error {
		rgb, err := images.Load(i)
		skip := err != nil && o.Skip != nil
		if err == nil {
			hashes.Add(i, rgb)
			err = observers[worker].run(rgb)
		}
		return order.take(i, func() error {
			switch {
			case skip:
				o.Skip(err)
				return nil
			case err == nil:
				total.add(observers[worker].sums)
			}
			return err
		})
	}); err != nil {
		return nil, err
	}
	for _, other := range observers[1:] {
		observers[0].join(other)
	}
	table := &RangeTable{Model: g.Name, Method: o.Method, Ranges: map[string]Range{}, Means: map[string]Means{}}
	if table.Images, table.ImagesHash = hashes.Sum(); table.Images == 0 {
		return nil, errors.New("calibrate: none of the pictures could be loaded")
	}
	for _, u := range units {
		if h := observers[0].histograms[u.tensor]; h != nil {
			table.Ranges[u.name] = o.Method.choose(h)
		}
	}
	for tensor, name := range averaged {
		table.Means[name] = total.means(tensor, table.Images)
	}
	return table, nil
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

// observer counts the activations of one goroutine's pictures, and adds up
// those of the last one.
type observer struct {
	graph      *models.Graph
	executor   *Executor
	input      []float32
	histograms map[string]*histogram // by float tensor
	averaged   map[string]string     // see the function
	sums       sums                  // of the last picture, by float tensor
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

func newObserver(g *models.Graph, units []unit, averaged map[string]string, e *Executor) *observer {
	o := &observer{
		graph: g, executor: e, input: make([]float32, g.Input.Elements()),
		histograms: map[string]*histogram{}, averaged: averaged, sums: sums{},
	}
	for _, tensor := range observed(units) {
		o.histograms[tensor] = newHistogram()
	}
	return o
}

func (o *observer) run(rgb []uint8) error {
	if len(rgb) != len(o.input) {
		return fmt.Errorf("calibrate: a picture has %d values, want %d", len(rgb), len(o.input))
	}
	o.graph.Preprocess.Float(o.input, rgb)
	var failed error
	_, err := o.executor.Run(o.input, func(name string, shape tensor.Shape, values []float32) {
		if h := o.histograms[name]; h != nil && failed == nil {
			if err := h.add(values); err != nil {
				failed = fmt.Errorf("calibrate: node %q: %w", name, err)
			}
		}
		if _, ok := o.averaged[name]; ok {
			o.sums.set(name, values, shape.C)
		}
	})
	return errors.Join(err, failed)
}

func (o *observer) join(other *observer) {
	for name, h := range o.histograms {
		h.join(other.histograms[name])
	}
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
