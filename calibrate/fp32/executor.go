// Package fp32 runs float networks: to calibrate with, and to measure the loss of
// quantization against.
package fp32

import (
	"fmt"
	"runtime"
	"slices"

	"edgeclassify/internal/threadpool"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Executor runs a float network on one image at a time. Its results are the
// same, bit for bit, for any number of threads and whatever it shows. An
// Executor serves one goroutine; Clone makes more of them.
type Executor struct {
	plan    *plan
	values  [][]float32   // by step; 0 is the image, i+1 the output of step i
	inputs  [][][]float32 // of the steps
	input   []float32     // for images in pixels, once there was one
	threads int
	scratch [][]float32 // one for each thread
	pool    *threadpool.Pool
	failed  error // what a Visitor returned
}

// Visitor is shown a tensor. The values, in HWC order, are valid during the call
// only and must not be modified. After an error no other tensor is shown.
type Visitor func(t tensor.ID, values []float32) error

// NewExecutor compiles g for runs on the given number of threads, which can
// show the tensors of those numbers. Each of them costs time: a convolution, a
// residual add and a ReLU or Clip are one step as long as nobody looks in between. The
// packed weights are a copy: they are not read from g again.
func NewExecutor(g *models.Graph, threads int, shown ...tensor.ID) (*Executor, error) {
	if threads < 1 {
		return nil, fmt.Errorf("fp32: %d threads: want at least one", threads)
	}
	p, err := compile(g, shown)
	if err != nil {
		return nil, fmt.Errorf("fp32: %w", err)
	}
	return p.executor(threads), nil
}

// Clone returns an Executor of its own buffers, for another goroutine. The
// weights are shared.
func (e *Executor) Clone() *Executor { return e.plan.executor(e.threads) }

// RunImage is Run for an image in RGB pixels, as preprocessing leaves it.
func (e *Executor) RunImage(rgb []uint8, visit Visitor) ([]float32, error) {
	if e.input == nil {
		e.input = make([]float32, e.plan.input.Elements())
	}
	if err := e.plan.normalize(e.input, rgb); err != nil {
		return nil, err
	}
	return e.Run(e.input, visit)
}

// Run computes the network's output for an image in HWC order. Unless it is
// nil, visit is called with the tensors to show, in the order of the nodes.
func (e *Executor) Run(image []float32, visit Visitor) ([]float32, error) {
	if want := e.plan.input.Elements(); len(image) != want {
		return nil, fmt.Errorf("fp32: the image has %d values, the network takes %v, that is %d", len(image), e.plan.input, want)
	}
	e.values[0], e.failed = image, nil
	for i, s := range e.plan.steps {
		for k, t := range s.src {
			e.inputs[i][k] = e.values[t]
		}
	}
	frame := e.pool.Begin()
	for thread := 1; thread < e.threads; thread++ {
		go e.frame(thread, frame, nil)
	}
	e.frame(0, frame, visit)
	return slices.Clone(e.values[len(e.plan.steps)]), e.failed
}

// frame takes part in every step, of which each is two to the pool: the work,
// and the visit, which thread 0 makes. A thread that comes late finds nothing
// to do, and nobody waits for it.
func (e *Executor) frame(thread int, frame int64, visit Visitor) {
	for i, s := range e.plan.steps {
		e.pool.Work(thread, 2*i, frame, func(chunk int) {
			s.op.Run(Worker{chunk, e.chunks(), e.scratch[thread]}, e.values[i+1], e.inputs[i])
		})
		switch {
		case !s.shown:
		case thread == 0:
			e.pool.Work(thread, 2*i+1, frame, func(int) {
				if visit != nil && e.failed == nil {
					e.failed = visit(s.tensor, e.values[i+1])
				}
			})
		default:
			e.pool.Await(2*i+1, frame)
		}
	}
}

// chunks is the number of chunks that a step is divided into.
func (e *Executor) chunks() int {
	if e.threads == 1 {
		return 1
	}
	return threadpool.Share * e.threads
}

func (p *plan) executor(threads int) *Executor {
	e := &Executor{plan: p, values: p.tensors(), threads: threads}
	var chunks []int
	for _, s := range p.steps {
		e.inputs = append(e.inputs, make([][]float32, len(s.src)))
		chunks = append(chunks, e.chunks(), 1)
	}
	e.pool = threadpool.New(threads, runtime.NumCPU(), chunks)
	for range threads {
		e.scratch = append(e.scratch, make([]float32, p.scratch))
	}
	return e
}
