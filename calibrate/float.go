package calibrate

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
	values  [][]float32 // by tensor number; 0 is the image
	threads int
	scratch [][]float32 // one for each thread
	pool    *threadpool.Pool
}

// Visitor is shown the output of a node. The values, in HWC order, are valid
// during the call only and must not be modified.
type Visitor func(name string, shape tensor.Shape, values []float32)

// NewExecutor compiles g for runs on the given number of threads, which can
// show the outputs of the named nodes. Each name costs time: a convolution, a
// residual add and a ReLU are one step as long as nobody looks in between. The
// packed weights are a copy: g is not referred to again.
func NewExecutor(g *models.Graph, threads int, shown ...string) (*Executor, error) {
	if threads < 1 {
		return nil, fmt.Errorf("calibrate: %d threads: want at least one", threads)
	}
	p, err := compile(g, shown)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	return p.executor(threads), nil
}

// Clone returns an Executor of its own buffers, for another goroutine. The
// weights are shared.
func (e *Executor) Clone() *Executor { return e.plan.executor(e.threads) }

// Run computes the network's output for an image in HWC order. Unless it is
// nil, visit is called with the outputs to show, in the order of the nodes.
func (e *Executor) Run(image []float32, visit Visitor) ([]float32, error) {
	if want := e.plan.input.Elements(); len(image) != want {
		return nil, fmt.Errorf("calibrate: the image has %d values, the network takes %v, that is %d", len(image), e.plan.input, want)
	}
	e.values[0] = image
	if visit == nil {
		visit = func(string, tensor.Shape, []float32) {}
	}
	frame := e.pool.Begin()
	for thread := 1; thread < e.threads; thread++ {
		go e.frame(thread, frame, nil)
	}
	e.frame(0, frame, visit)
	return slices.Clone(e.values[len(e.plan.steps)]), nil
}

// frame takes part in every step, of which each is two to the pool: the work,
// and the visit, which thread 0 makes. A thread that comes late finds nothing
// to do, and nobody waits for it.
func (e *Executor) frame(thread int, frame int64, visit Visitor) {
	for i, s := range e.plan.steps {
		e.pool.Work(thread, 2*i, frame, func(chunk int) {
			var residual []float32
			if len(s.src) > 1 {
				residual = e.values[s.src[1]]
			}
			w := worker{chunk, e.chunks(), e.scratch[thread]}
			s.op.run(w, e.values[i+1], e.values[s.src[0]], residual)
		})
		switch {
		case !s.shown:
		case thread == 0:
			e.pool.Work(thread, 2*i+1, frame, func(int) { visit(s.name, s.shape, e.values[i+1]) })
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

// plan is a compiled graph. It is immutable and shared by clones.
type plan struct {
	input   tensor.Shape
	steps   []step
	buffers []int // lengths of the buffers that tensors take turns in
	scratch int   // length of each worker's scratch
}

// step is a node of the graph, or several in one; step i makes tensor i+1.
type step struct {
	name   string // the node whose output it makes
	shape  tensor.Shape
	op     operation
	src    []int // tensor numbers
	shown  bool
	buffer int // that holds the output
}

// operation is a step's arithmetic, compiled.
type operation struct {
	// run computes one worker's part of y. It reads all of x, and of z, the
	// second input if there is one, at least that part.
	run     func(w worker, y, x, z []float32)
	scratch int // length of the scratch that run asks of every worker
	// overX and overZ tell whether y may be x or z; otherwise it overlaps
	// neither.
	overX, overZ bool
}

// over tells whether the output may take the place of input i.
func (s *step) over(i int) bool {
	if i == 1 {
		return s.op.overZ && (s.op.overX || s.src[0] != s.src[1])
	}
	return s.op.overX
}

func compile(g *models.Graph, shown []string) (*plan, error) {
	shapes, err := g.Shapes()
	if err != nil {
		return nil, err
	}
	units, err := fuse(g, shown)
	if err != nil {
		return nil, err
	}
	p := &plan{input: g.Input}
	tensors := map[string]int{g.InputName: 0}
	for i, u := range units {
		s := step{name: u.output, shape: shapes[u.output], shown: slices.Contains(shown, u.output)}
		for _, name := range u.inputs {
			s.src = append(s.src, tensors[name])
		}
		if s.op, err = compileOp(u.node.Op, shapes[u.node.Inputs[0]], s.shape, u.relu); err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", u.node.Name, u.node.Op.Kind(), err)
		}
		p.scratch = max(p.scratch, s.op.scratch)
		p.steps = append(p.steps, s)
		tensors[u.output] = i + 1
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
		s.buffer = -1
		var dying []int
		for j, t := range s.src {
			if t == 0 || lastUse[t] != i || slices.Contains(s.src[:j], t) {
				continue
			}
			if b := p.steps[t-1].buffer; s.buffer < 0 && s.over(j) {
				s.buffer = b
			} else {
				dying = append(dying, b)
			}
		}
		if s.buffer < 0 {
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
	e := &Executor{plan: p, values: make([][]float32, len(p.steps)+1), threads: threads}
	buffers := make([][]float32, len(p.buffers))
	for i, n := range p.buffers {
		buffers[i] = make([]float32, n)
	}
	for i, s := range p.steps {
		e.values[i+1] = buffers[s.buffer][:s.shape.Elements()]
	}
	var chunks []int
	for range p.steps {
		chunks = append(chunks, e.chunks(), 1)
	}
	e.pool = threadpool.New(threads, runtime.NumCPU(), chunks)
	for range threads {
		e.scratch = append(e.scratch, make([]float32, p.scratch))
	}
	return e
}

// worker is a thread at work on one of a step's chunks.
type worker struct {
	number, of int // of the chunk
	scratch    []float32
}

// part is the worker's part of the range [0, n), divided at multiples of align.
func (w worker) part(n, align int) (from, to int) {
	units := (n + align - 1) / align
	return min(w.number*units/w.of*align, n), min((w.number+1)*units/w.of*align, n)
}
