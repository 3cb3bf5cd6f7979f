package main

import (
	"fmt"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
	"edgeclassify/internal/cores"
	"edgeclassify/internal/threadpool"
	"edgeclassify/runtime"
)

// predictor estimates one core's times, each kind of work once.
type predictor struct {
	core
	functions map[string]*function
	model     model
	costs     map[any]cost // by tileKind, outputKind, maxKind, denseKind
}

// cost is that of a kind of work, a routine with so many steps in a group.
func (p *predictor) cost(kind any, r routine, steps int) (cost, error) {
	if c, ok := p.costs[kind]; ok {
		return c, nil
	}
	c, err := r.cost(p.model, steps)
	p.costs[kind] = c
	return c, err
}

// period is the unrolling of the kernels' inner loops at most, in values.
const period = 128

func (p *predictor) function(name string) (*function, error) {
	f := p.functions[name]
	if f == nil {
		return nil, fmt.Errorf("the program has no function %s%s", prefix, name)
	}
	return f, nil
}

// tile is the routine of a kind of tile.
func (p *predictor) tile(name string, sample tile.Args) (routine, error) {
	f, err := p.function(name)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		a := sample
		a.Tiles, a.Steps = groups, steps
		return words(a)
	}, flags: p.flags(sample), period: period / p.kernel.KR}, err
}

// flags is where the flags of a tile's panel lie, see tile.Micro.Wide.
func (p *predictor) flags(a tile.Args) func(steps int) (at uint64, n int) {
	if p.kernel.Wide == nil {
		return nil
	}
	return func(steps int) (uint64, int) {
		weights := uint64(uintptr(a.Panel)) + uint64(8*p.kernel.NR)
		return weights + uint64(a.Runs*steps*p.kernel.NR*p.kernel.KR), a.Runs * steps / p.kernel.WideSteps
	}
}

// outputs is the routine of requantization for int16 tensors: groups are vectors.
func (p *predictor) outputs(sample tile.RequantizeArgs) (routine, error) {
	f, err := p.function(p.kernel.Requantize)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		a := sample
		a.Length = groups * steps * tile.RequantizeVector
		return words(a)
	}, period: 1}, err
}

// denseRows is the rows that a classifier takes together.
const denseRows = 4

// dense is the routine of the classifier: groups of rows.
func (p *predictor) dense(in int) (routine, error) {
	f, err := p.function(p.kernel.Dense)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		return words(tile.DenseArgs{Rows: denseRows * groups, Length: tile.Vector * steps, Stride: in})
	}, period: period / tile.Vector}, err
}

// larger is the routine of maxima: groups are runs.
func (p *predictor) larger() (routine, error) {
	f, err := p.function(p.kernel.Max)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		return words(tile.MaxArgs{Count: groups, Length: tile.Vector * steps})
	}, period: period / tile.Vector}, err
}

// outputCalls is how many calls of requantization take as much Go code as one of
// a row of tiles.
const outputCalls = 4

// chunk is the cycles of a chunk.
func (p *predictor) chunk(c *chunk) (float64, error) {
	sum := float64(c.copies) * p.Copy
	for _, part := range []func(*chunk) (float64, error){p.ofTiles, p.ofOutputs, p.ofMaxima, p.ofDense, p.ofWinograd} {
		cycles, err := part(c)
		if err != nil {
			return 0, err
		}
		sum += cycles
	}
	return sum, nil
}

func (p *predictor) ofTiles(chunk *chunk) (sum float64, err error) {
	for kind, n := range chunk.tiles {
		r, err := p.tile(kind.function, n.sample)
		if err != nil {
			return 0, err
		}
		c, err := p.cost(kind, r, kind.steps)
		if err != nil {
			return 0, err
		}
		sum += float64(n.calls)*p.Call + float64(n.panels)*c.call + float64(n.tiles)*c.group
		if n.flags > 0 {
			kind.wide, r.flag = true, 1
			slow, err := p.cost(kind, r, kind.steps)
			if err != nil {
				return 0, err
			}
			sum += float64(n.flags) * (slow.group - c.group) / float64(kind.runs*kind.steps/p.kernel.WideSteps)
		}
	}
	return sum, nil
}

func (p *predictor) ofOutputs(chunk *chunk) (sum float64, err error) {
	for kind, n := range chunk.outputs {
		r, err := p.outputs(n.sample)
		if err != nil {
			return 0, err
		}
		c, err := p.cost(kind, r, 1)
		if err != nil {
			return 0, err
		}
		sum += float64(n.calls)*(c.call+p.Call/outputCalls) + float64(n.vectors)*c.group
	}
	return sum, nil
}

func (p *predictor) ofMaxima(chunk *chunk) (sum float64, err error) {
	for kind, n := range chunk.maxima {
		r, err := p.larger()
		if err != nil {
			return 0, err
		}
		c, err := p.cost(kind, r, kind.vectors)
		if err != nil {
			return 0, err
		}
		sum += float64(n.calls)*(c.call+p.Call) + float64(n.runs)*c.group
	}
	return sum, nil
}

func (p *predictor) ofDense(chunk *chunk) (sum float64, err error) {
	for kind, n := range chunk.dense {
		r, err := p.dense(kind.vectors * tile.Vector)
		if err != nil {
			return 0, err
		}
		c, err := p.cost(kind, r, kind.vectors)
		if err != nil {
			return 0, err
		}
		sum += float64(n.calls)*(c.call+p.Call) + float64(n.rows)/denseRows*c.group
	}
	return sum, nil
}

// work is what a step takes: cycles until the last thread is done, and bytes.
type work struct {
	class       string
	macs        int64
	cycles      float64
	weights     int // bytes, read from memory once a frame
	activations int // bytes read and written
}

// network is the work of each step, the image's first.
func (p *predictor) network(n *int8.Network, threads int) ([]work, error) {
	r := newRecorder(p.kernel)
	plan, layers, err := r.layers(n, threads)
	if err != nil {
		return nil, err
	}
	image := n.Input.Shape.Elements()
	first := work{class: "image", activations: 2 * image}
	if first.cycles, err = p.step(plan, 0, nil, image); err != nil {
		return nil, err
	}
	works := []work{first}
	for l := range layers {
		describe := operations[l.Op.Kind()]
		if describe == nil {
			return nil, fmt.Errorf("%v is of a kind that the model does not have", l)
		}
		in := n.Inputs(l)
		w := work{macs: l.MACs(), weights: max(r.packed, len(l.Op.Parameters().Weight)), activations: size(&l.Out)}
		for _, t := range in {
			w.activations += size(t)
		}
		var inGo int
		w.class, inGo = describe(l, in)
		if w.cycles, err = p.step(plan, len(works), r.chunks, inGo); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		works = append(works, w)
	}
	return works, nil
}

func size(t *int8.Tensor) int { return t.Shape.Elements() * t.Type.Size() }

// step is the cycles until all parts of a plan's step are done. Where the chunks are not those of
// the parts, each part takes as much of them as it has of the output; so it does of
// the bytes that Go code passes over.
func (p *predictor) step(plan *runtime.Plan, step int, chunks []chunk, inGo int) (float64, error) {
	parts := plan.Parts(step)
	cycles, all := make([]float64, len(parts)), float64(inGo)*p.Byte
	for i := range chunks {
		c, err := p.chunk(&chunks[i])
		if err != nil {
			return 0, err
		}
		if len(chunks) == len(parts) {
			cycles[i] = c
		} else {
			all += c
		}
	}
	whole := parts[len(parts)-1]
	for i, part := range parts {
		share := float64((part.Y1-part.Y0)*(part.C1-part.C0)) / float64(whole.Y1*whole.C1)
		cycles[i] += float64(all * share)
	}
	return makespan(cycles, plan.Threads()), nil
}

// makespan is when the last of the threads is done with chunks that take so long,
// as they take them from a threadpool.Pool.
func makespan(chunks []float64, threads int) float64 {
	type queue struct{ next, end int }
	queues, busy := make([]queue, threads), make([]float64, threads)
	for t := range queues {
		queues[t].next, queues[t].end = threadpool.Own(len(chunks), threads, t)
	}
	for range chunks {
		t := slices.Index(busy, slices.Min(busy))
		q := &queues[t]
		for i := 1; q.next == q.end; i++ {
			q = &queues[(t+i)%threads]
		}
		busy[t] += chunks[q.next]
		q.next++
	}
	return slices.Max(busy)
}

// operations names the class of a layer, and the bytes or values that Go code
// passes over, by int8.Op.Kind.
var operations = map[string]func(l *int8.Layer, in []*int8.Tensor) (class string, inGo int){
	(*int8.Conv)(nil).Kind():        describeConv,
	(*int8.MaxPool)(nil).Kind():     describeMaxPool,
	(*int8.AveragePool)(nil).Kind(): describeAveragePool,
	int8.GlobalAveragePool{}.Kind(): describeInputs,
	(*int8.Dense)(nil).Kind():       func(*int8.Layer, []*int8.Tensor) (string, int) { return "classifier", 0 },
	(*int8.Add)(nil).Kind():         describeInputs,
	(*int8.Mul)(nil).Kind():         describeInputs,
	(*int8.Lookup)(nil).Kind():      describeInputs,
	(*int8.Mean)(nil).Kind():        describeInputs,
	int8.Concat{}.Kind():            describeInputs,
	(*int8.Embedding)(nil).Kind():   describeInputs,
}

// describeInputs is for operations that pass once over what they read.
func describeInputs(l *int8.Layer, in []*int8.Tensor) (class string, inGo int) {
	for _, t := range in {
		inGo += size(t)
	}
	return l.Op.Kind(), inGo
}

func describeConv(l *int8.Layer, in []*int8.Tensor) (string, int) {
	op := l.Op.(*int8.Conv)
	class := fmt.Sprintf("%dx%d to %dx%d", op.KH, op.KW, l.Out.Shape.H, l.Out.Shape.W)
	if hasInt16(l, in) {
		class += " with int16"
	} else if op.Depthwise() && op.OutC != op.InC {
		return class, int(l.MACs())
	}
	return class, 0
}

// hasInt16 says whether an activation of the layer is int16.
func hasInt16(l *int8.Layer, in []*int8.Tensor) bool {
	return l.Out.Type == int8.Int16 || slices.ContainsFunc(in, func(t *int8.Tensor) bool { return t.Type == int8.Int16 })
}

// describeMaxPool: int16 windows are passed over in Go, one by one.
func describeMaxPool(l *int8.Layer, _ []*int8.Tensor) (string, int) {
	if op := l.Op.(*int8.MaxPool); l.Out.Type == int8.Int16 {
		return "max pool", l.Out.Shape.Elements() * op.KH * op.KW
	}
	return "max pool", 0
}

func describeAveragePool(l *int8.Layer, _ []*int8.Tensor) (string, int) {
	op := l.Op.(*int8.AveragePool)
	return l.Op.Kind(), l.Out.Shape.Elements() * op.KH * op.KW
}

// prediction is a board's time for one frame.
type prediction struct {
	board
	cores.Costs
	Ms      float64          `json:"ms"`
	Bound   float64          `json:"ms_at_peak"` // if all cores multiplied in every cycle
	Classes []classPredicted `json:"classes"`
}

// classPredicted is the share of layers of one kind.
type classPredicted struct {
	Class    string  `json:"class"`
	Layers   int     `json:"layers"`
	MMACs    float64 `json:"mmacs"`
	MCycles  float64 `json:"mcycles"`       // of the slowest thread, caches not counted
	PerCycle float64 `json:"mac_per_cycle"` // of one core
	Compute  float64 `json:"compute_ms"`    // caches counted
	MB       float64 `json:"dram_mb"`
	Ms       float64 `json:"ms"`
}

// on is the time on a board. A layer takes the longer of computing and of
// reading weights (and activations that do not fit the cache) from memory,
// a share of the other, and the barrier.
func (p *predictor) on(b board, works []work) prediction {
	out := prediction{board: b, Costs: p.Costs}
	at := map[string]int{}
	for _, w := range works {
		i, ok := at[w.class]
		if !ok {
			i = len(out.Classes)
			at[w.class] = i
			out.Classes = append(out.Classes, classPredicted{Class: w.class})
		}
		bytes := float64(w.weights)
		if w.activations > b.Cache {
			bytes += float64(w.activations)
		}
		compute := w.cycles * p.Caches / b.GHz / 1e6
		read := bytes / b.Stream / 1e6
		ms := max(compute, read) + b.Exposed*min(compute, read) + b.Barrier/1e3
		c := &out.Classes[i]
		c.Layers++
		c.MMACs += float64(w.macs) / 1e6
		c.MCycles += w.cycles / 1e6
		c.Compute += compute
		c.MB += bytes / 1e6
		c.Ms += ms
		out.Ms += ms
		out.Bound += float64(w.macs) / p.peak() / float64(b.Threads) / b.GHz / 1e6
	}
	for i := range out.Classes {
		c := &out.Classes[i]
		c.PerCycle = c.MMACs / c.MCycles / float64(b.Threads)
	}
	return out
}
