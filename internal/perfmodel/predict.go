package main

import (
	"fmt"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// predictor estimates one core's times, each kind of work once.
type predictor struct {
	core
	functions map[string]*function
	model     model
	tiles     map[tileKind]cost
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
	}, flags: p.flags(sample), period: period / p.kernel.depth}, err
}

// flags is where the flags of a tile's panel lie, see tile.Micro.Wide.
func (p *predictor) flags(a tile.Args) func(steps int) (at uint64, n int) {
	if p.kernel.wide == nil {
		return nil
	}
	return func(steps int) (uint64, int) {
		weights := uint64(uintptr(a.Panel)) + uint64(8*p.kernel.channels)
		return weights + uint64(a.Runs*steps*p.kernel.channels*p.kernel.depth), a.Runs * steps / p.kernel.wideSteps
	}
}

// outputs is the routine of requantization for int16 tensors: groups are vectors.
func (p *predictor) outputs(sample tile.RequantizeArgs) (routine, error) {
	f, err := p.function(p.kernel.requantize)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		a := sample
		a.Length = groups * steps * tile.RequantizeVector
		return words(a)
	}, period: 1}, err
}

// dense is the routine of the classifier: groups of four rows.
func (p *predictor) dense(in int) (routine, error) {
	f, err := p.function(p.kernel.dense)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		return words(tile.DenseArgs{Rows: 4 * groups, Length: tile.Vector * steps, Stride: in})
	}, period: period / tile.Vector}, err
}

// larger is the routine of maxima: groups are runs.
func (p *predictor) larger() (routine, error) {
	f, err := p.function(p.kernel.max)
	return routine{function: f, arguments: func(groups, steps int) []uint64 {
		return words(tile.MaxArgs{Count: groups, Length: tile.Vector * steps})
	}, period: period / tile.Vector}, err
}

// outputCalls is how many calls of requantization take as much Go code as one of
// a row of tiles.
const outputCalls = 4

// conv is the cycles of the thread that takes longest.
func (p *predictor) conv(shares []share) (float64, error) {
	longest := 0.0
	for _, s := range shares {
		sum := float64(s.copies) * p.Copy
		for kind, n := range s.tiles {
			c, err := p.kind(kind, n.sample)
			if err != nil {
				return 0, err
			}
			sum += float64(n.calls)*(c.call+p.Call) + float64(n.tiles)*c.group
			if n.flags > 0 {
				kind.wide = true
				slow, err := p.kind(kind, n.sample)
				if err != nil {
					return 0, err
				}
				sum += float64(n.flags) * (slow.group - c.group) / float64(kind.runs*kind.steps/p.kernel.wideSteps)
			}
		}
		for _, n := range s.outputs {
			r, err := p.outputs(n.sample)
			if err != nil {
				return 0, err
			}
			c, err := r.cost(p.model, 1)
			if err != nil {
				return 0, err
			}
			sum += float64(n.calls)*(c.call+p.Call/outputCalls) + float64(n.vectors)*c.group
		}
		longest = max(longest, sum)
	}
	return longest, nil
}

func (p *predictor) kind(kind tileKind, sample tile.Args) (cost, error) {
	if c, ok := p.tiles[kind]; ok {
		return c, nil
	}
	r, err := p.tile(kind.function, sample)
	if err != nil {
		return cost{}, err
	}
	if kind.wide {
		r.flag = 1
	}
	c, err := r.cost(p.model, kind.steps)
	p.tiles[kind] = c
	return c, err
}

// work is what a layer takes: cycles of the slowest thread and bytes.
type work struct {
	class       string
	macs        int64
	cycles      float64
	weights     int // bytes, read from memory once a frame
	activations int // bytes read and written
}

// network is the work of each layer, the image's first.
func (p *predictor) network(n *int8.Network, threads int) ([]work, error) {
	rows := rowBytes(n)
	tensors := map[string]*int8.Tensor{int8.InputName: &n.Input}
	image := n.Input.Shape.Elements()
	works := []work{{class: "image", cycles: float64(image) * p.Byte / float64(threads), activations: 2 * image}}
	r := newRecorder(p.kernel)
	for i := range n.Layers {
		l := &n.Layers[i]
		in := tensors[l.Inputs[0]]
		w := work{macs: l.MACs()}
		var err error
		switch op := l.Op.(type) {
		case *int8.Conv:
			w.class = fmt.Sprintf("%dx%d to %dx%d", op.KH, op.KW, l.Out.Shape.H, l.Out.Shape.W)
			inputs := make([]*int8.Tensor, len(l.Inputs))
			for i, name := range l.Inputs {
				inputs[i] = tensors[name]
			}
			if hasInt16(l, inputs) {
				w.class += " with int16"
			}
			var shares []share
			shares, w.weights = r.layer(l, inputs, rows[l.Inputs[0]], rows[l.Name], threads)
			w.cycles, err = p.conv(shares)
		case *int8.MaxPool:
			w.class = "max pool"
			w.cycles, err = p.pool(op, in, &l.Out, threads)
		case *int8.Dense:
			w.class, w.weights = "classifier", len(op.Weight)
			w.cycles, err = p.classifier(op, threads)
		default:
			w.class = l.Op.Kind()
			w.cycles = float64(size(in)) * p.Byte / float64(threads)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		for _, name := range l.Inputs {
			w.activations += size(tensors[name])
		}
		w.activations += size(&l.Out)
		works = append(works, w)
		tensors[l.Name] = &l.Out
	}
	return works, nil
}

func size(t *int8.Tensor) int { return t.Shape.Elements() * int(t.Type.Size()) }

// pool is the cycles of a thread in a max pool: for each row of the output,
// maxima over whole rows of the input, then over its columns.
func (p *predictor) pool(op *int8.MaxPool, in, out *int8.Tensor, threads int) (float64, error) {
	if in.Type == int8.Int16 { // in Go, each window on its own
		return float64(out.Shape.Elements()*op.KH*op.KW) * p.Byte / float64(threads), nil
	}
	r, err := p.larger()
	if err != nil {
		return 0, err
	}
	row, err := r.cost(p.model, in.Shape.W*in.Shape.C/tile.Vector)
	if err != nil {
		return 0, err
	}
	pixel, err := r.cost(p.model, in.Shape.C/tile.Vector)
	if err != nil {
		return 0, err
	}
	each := float64(op.KH)*(p.Call+row.call+row.group) + float64(op.KW)*(p.Call+pixel.call+float64(out.Shape.W)*pixel.group)
	return each * float64((out.Shape.H+threads-1)/threads), nil
}

func (p *predictor) classifier(op *int8.Dense, threads int) (float64, error) {
	r, err := p.dense(op.In)
	if err != nil {
		return 0, err
	}
	c, err := r.cost(p.model, op.In/tile.Vector)
	return p.Call + c.call + c.group*float64(op.Out)/4/float64(threads), err
}

// prediction is a board's time for one frame.
type prediction struct {
	board
	assumptions
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
	out := prediction{board: b, assumptions: p.assumptions}
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
		out.Bound += float64(w.macs) / p.peak / float64(b.Threads) / b.GHz / 1e6
	}
	for i := range out.Classes {
		c := &out.Classes[i]
		c.PerCycle = c.MMACs / c.MCycles / float64(b.Threads)
	}
	return out
}
