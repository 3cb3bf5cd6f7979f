package calibrate

import (
	"fmt"
	"slices"
	"sync"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Executor runs a float network on one image at a time. Its results are the
// same, bit for bit, for any number of threads. An Executor serves one
// goroutine; Clone makes more of them.
type Executor struct {
	plan   *plan
	values [][]float32 // by tensor number; 0 is the image
	pool   workers
}

// Visitor is shown the output of a node. The values, in HWC order, are valid
// during the call only and must not be modified.
type Visitor func(name string, shape tensor.Shape, values []float32)

// NewExecutor compiles g for runs on the given number of threads. The packed
// weights are a copy: g is not referred to again.
func NewExecutor(g *models.Graph, threads int) (*Executor, error) {
	if threads < 1 {
		return nil, fmt.Errorf("calibrate: %d threads: want at least one", threads)
	}
	p, err := compile(g)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	return p.executor(threads), nil
}

// Clone returns an Executor of its own buffers, for another goroutine. The
// weights are shared.
func (e *Executor) Clone() *Executor { return e.plan.executor(len(e.pool)) }

// Run computes the network's output for an image in HWC order. Unless it is
// nil, visit is called with every node's output in the order of the nodes.
func (e *Executor) Run(image []float32, visit Visitor) ([]float32, error) {
	if want := e.plan.input.Elements(); len(image) != want {
		return nil, fmt.Errorf("calibrate: the image has %d values, the network takes %v, that is %d", len(image), e.plan.input, want)
	}
	e.values[0] = image
	src := make([][]float32, 0, 2)
	for i, s := range e.plan.steps {
		src = src[:0]
		for _, t := range s.src {
			src = append(src, e.values[t])
		}
		dst := e.values[i+1]
		s.op.run(e.pool, dst, src)
		if visit != nil {
			visit(s.name, s.shape, dst)
		}
	}
	return slices.Clone(e.values[len(e.plan.steps)]), nil
}

// plan is a compiled graph. It is immutable and shared by clones.
type plan struct {
	input   tensor.Shape
	steps   []step
	buffers []int // lengths of the buffers that tensors take turns in
	scratch int   // length of each worker's scratch
}

// step is a node of the graph; step i makes tensor i+1.
type step struct {
	name   string
	shape  tensor.Shape
	op     operation
	src    []int // tensor numbers
	buffer int   // that holds the output
}

// operation is a node's arithmetic, compiled.
type operation struct {
	run     func(w workers, dst []float32, src [][]float32)
	scratch int  // length of the scratch that run asks of every worker
	inPlace bool // dst may be one of src; otherwise it overlaps none
}

func compile(g *models.Graph) (*plan, error) {
	shapes, err := g.Shapes()
	if err != nil {
		return nil, err
	}
	p := &plan{input: g.Input}
	tensors := map[string]int{g.InputName: 0}
	for i, n := range g.Nodes {
		s := step{name: n.Name, shape: shapes[n.Name]}
		for _, name := range n.Inputs {
			s.src = append(s.src, tensors[name])
		}
		if s.op, err = compileOp(n.Op, shapes[n.Inputs[0]], s.shape); err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", n.Name, n.Op.Kind(), err)
		}
		p.scratch = max(p.scratch, s.op.scratch)
		p.steps = append(p.steps, s)
		tensors[n.Name] = i + 1
	}
	p.assignBuffers()
	return p, nil
}

// assignBuffers lets tensors that are not alive at one time share a buffer. A
// tensor takes the place of an input that dies in its step, if the operation
// allows it, or else the best free buffer.
func (p *plan) assignBuffers() {
	lastUse := make([]int, len(p.steps)+1)
	for i, s := range p.steps {
		lastUse[i+1] = i
		for _, t := range s.src {
			lastUse[t] = i
		}
	}
	var free []int
	for i := range p.steps {
		s := &p.steps[i]
		var dying []int
		for _, t := range s.src {
			if t > 0 && lastUse[t] == i && !slices.Contains(dying, p.steps[t-1].buffer) {
				dying = append(dying, p.steps[t-1].buffer)
			}
		}
		if s.op.inPlace && len(dying) > 0 {
			s.buffer, dying = dying[0], dying[1:]
		} else {
			s.buffer, free = p.take(free, s.shape.Elements())
		}
		free = append(free, dying...)
		if lastUse[i+1] == i {
			free = append(free, s.buffer)
		}
	}
}

// take removes from free the smallest buffer of at least n values; failing that
// it enlarges the largest, or makes one.
func (p *plan) take(free []int, n int) (buffer int, rest []int) {
	if len(free) == 0 {
		p.buffers = append(p.buffers, n)
		return len(p.buffers) - 1, free
	}
	slices.SortFunc(free, func(a, b int) int { return p.buffers[a] - p.buffers[b] })
	at := slices.IndexFunc(free, func(b int) bool { return p.buffers[b] >= n })
	if at < 0 {
		at = len(free) - 1
	}
	buffer = free[at]
	p.buffers[buffer] = max(p.buffers[buffer], n)
	return buffer, slices.Delete(free, at, at+1)
}

func (p *plan) executor(threads int) *Executor {
	e := &Executor{plan: p, values: make([][]float32, len(p.steps)+1), pool: make(workers, threads)}
	buffers := make([][]float32, len(p.buffers))
	for i, n := range p.buffers {
		buffers[i] = make([]float32, n)
	}
	for i, s := range p.steps {
		e.values[i+1] = buffers[s.buffer][:s.shape.Elements()]
	}
	for i := range e.pool {
		e.pool[i] = make([]float32, p.scratch)
	}
	return e
}

// workers holds a scratch for every thread of one run.
type workers [][]float32

// split divides the range [0, n) into one part for each worker, aligned to
// multiples of align, and returns when all are done.
func (w workers) split(n, align int, do func(scratch []float32, from, to int)) {
	units := (n + align - 1) / align
	var others sync.WaitGroup
	for i := len(w) - 1; i >= 0; i-- {
		from, to := i*units/len(w)*align, min((i+1)*units/len(w)*align, n)
		switch {
		case from >= to:
		case i == 0:
			do(w[0], from, to)
		default:
			others.Go(func() { do(w[i], from, to) })
		}
	}
	others.Wait()
}
