package main

import (
	"fmt"
	"slices"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
	"edgeclassify/internal/cores"
)

// predictor estimates one core's times, each kind of work once.
type predictor struct {
	core
	functions map[string]*function
	model     model
	costs     map[any]cost         // by call.kind
	lists     map[listKey][]access // of calls
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
		a.Panels, a.Tiles, a.Steps = 1, groups, steps
		return words(a)
	}, flags: p.flags(sample), period: period / p.kernel.KR}, err
}

// flags is where the flags of a tile's panels lie, see tile.Micro.Wide; a's panel is at the
// address that the arguments say.
func (p *predictor) flags(a tile.Args) func(args []uint64, set func(at uint64)) {
	if p.kernel.Wide == nil {
		return nil
	}
	return func(args []uint64, set func(at uint64)) {
		panel, steps := args[unsafe.Offsetof(a.Panel)/8], a.Runs*int(args[unsafe.Offsetof(a.Steps)/8])
		for i := range a.Panels {
			at := panel + uint64(i*a.PanelNext+8*p.kernel.NR+steps*p.kernel.NR*p.kernel.KR)
			for j := range steps / p.kernel.WideSteps {
				set(at + uint64(j))
			}
		}
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
// a row of tiles: an assumption.
const outputCalls = 4

// routine is that of a call, and its steps.
func (p *predictor) routine(c *call) (r routine, steps int, err error) {
	switch args := c.args.(type) {
	case tile.Args:
		k := c.kind.(tileKind)
		r, err = p.tile(k.function, args)
		return r, k.steps, err
	case tile.RequantizeArgs:
		r, err = p.outputs(args)
		return r, 1, err
	case tile.MaxArgs:
		r, err = p.larger()
		return r, c.kind.(maxKind).vectors, err
	case tile.DenseArgs:
		r, err = p.dense(args.Length)
		return r, c.kind.(denseKind).vectors, err
	}
	return p.winogradRoutine(c.kind.(winogradKind), c.args)
}

// cycles is what a call takes with the Go code around it: by the model, and if products
// take as long as in the best kernel that was published.
func (p *predictor) cycles(c *call) (span, error) {
	r, steps, err := p.routine(c)
	if err != nil {
		return span{}, err
	}
	one, err := p.cost(c.kind, r, steps)
	if err != nil {
		return span{}, err
	}
	around, groups := p.Call+float64(c.copies)*p.Copy, float64(c.groups)
	switch kind := c.kind.(type) {
	case tileKind:
		one.call *= float64(c.args.(tile.Args).Panels)
		group := one.group
		if c.flags > 0 {
			kind.wide, r.flag = true, 1
			slow, err := p.cost(kind, r, steps)
			if err != nil {
				return span{}, err
			}
			group += float64(c.flags) / groups * (slow.group - one.group) / float64(kind.runs*kind.steps/p.kernel.WideSteps)
		}
		products := p.pixels(kind.function) * p.kernel.NR * kind.runs * kind.steps * p.kernel.KR
		return span{around + one.call + groups*group, around + one.call + groups*max(group, float64(products)/p.Published)}, nil
	case winogradKind: // a multiplication reaches no greater share of the peak than others
		if kind.function == p.kernel.Winograd.Multiply {
			return span{around + one.call + groups*one.group, around + one.call + groups*one.group*p.peak()/p.Published}, nil
		}
	case outputKind:
		around = p.Call / outputCalls
	case denseKind:
		groups /= denseRows
	}
	all := around + one.call + groups*one.group
	return span{all, all}, nil
}

// pixels is those of a tile.
func (p *predictor) pixels(function string) int {
	for _, t := range tiles(p.kernel) {
		if t.Function == function {
			return t.MR
		}
	}
	return 0
}

// listKey is what the list of a call's accesses depends on: its arguments, of pointers
// only whether they are nil.
type listKey struct {
	function string
	args     [24]uint64
}

// op converts a call.
func (p *predictor) op(c *call, rec *recorder) (op, error) {
	r, _, err := p.routine(c)
	if err != nil {
		return op{}, err
	}
	o := op{moves: c.moves}
	if o.cycles, err = p.cycles(c); err != nil {
		return op{}, err
	}
	var pointers uint64
	o.base, pointers = layout(c.args)
	key := listKey{function: r.name}
	for i, w := range o.base {
		if pointers>>i&1 == 0 {
			key.args[i] = w
			continue
		}
		key.args[i] = min(w, 1)
		if rec.within(uintptr(w)) {
			o.private |= 1 << i
		}
	}
	list, ok := p.lists[key]
	if !ok {
		if list, err = r.accesses(o.base, pointers); err != nil {
			return op{}, err
		}
		p.lists[key] = list
	}
	o.accesses = list
	return o, nil
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
	(*int8.Gather)(nil).Kind():      describeOutput,
	(*int8.Embedding)(nil).Kind():   describeInputs,
}

// describeInputs is for operations that pass once over what they read.
func describeInputs(l *int8.Layer, in []*int8.Tensor) (class string, inGo int) {
	for _, t := range in {
		inGo += size(t)
	}
	return l.Op.Kind(), inGo
}

// describeOutput is for those that read no more than they make.
func describeOutput(l *int8.Layer, _ []*int8.Tensor) (class string, inGo int) {
	return l.Op.Kind(), size(&l.Out)
}

func describeConv(l *int8.Layer, in []*int8.Tensor) (string, int) {
	op := l.Op.(*int8.Conv)
	class := fmt.Sprintf("%dx%d to %dx%d", op.KH, op.KW, l.Out.Shape.H, l.Out.Shape.W)
	if op.Depthwise() {
		class = "depthwise " + class
	}
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
	Ms      span             `json:"ms"`         // best and worst
	Bound   float64          `json:"ms_at_peak"` // if all cores multiplied in every cycle
	Waits   span             `json:"waits_ms"`   // for memory, contained in it
	Total   memoryPredicted  `json:"memory"`
	Classes []classPredicted `json:"classes"`
	Layers  []layerPredicted `json:"layers"`
}

// layerPredicted is one step of the plan.
type layerPredicted struct {
	Name  string `json:"name"`
	Class string `json:"class"`
	Ms    span   `json:"ms"`
}

// classPredicted is the layers of one kind.
type classPredicted struct {
	Class  string          `json:"class"`
	Layers int             `json:"layers"`
	MMACs  float64         `json:"mmacs"`
	Ms     span            `json:"ms"`
	Waits  span            `json:"waits_ms"`
	Memory memoryPredicted `json:"memory"`
}

// memoryPredicted is simulated traffic: bytes of loads and stores, lines that the first
// cache and the second lack, bytes from and to memory.
type memoryPredicted struct {
	LoadedMB   float64 `json:"loaded_mb"`
	StoredMB   float64 `json:"stored_mb"`
	Misses     float64 `json:"l1_misses_m"`
	Streams    float64 `json:"of_them_in_order_m"`
	Prefetched float64 `json:"prefetched_m"`
	Misses2    float64 `json:"l2_misses_m"`
	ReadMB     float64 `json:"dram_read_mb"`
	WrittenMB  float64 `json:"dram_written_mb"`
}

func (m *memoryPredicted) add(t traffic) {
	const million = 1e6
	m.LoadedMB += float64(t.Loaded) / million
	m.StoredMB += float64(t.Stored) / million
	m.Misses += float64(t.Misses) / million
	m.Streams += float64(t.Streams) / million
	m.Prefetched += float64(t.Prefetched) / million
	m.Misses2 += float64(t.Misses2) / million
	m.ReadMB += lineBytes * float64(t.Read) / million
	m.WrittenMB += lineBytes * float64(t.Wrote) / million
}

// on is the time on a board: the cycles of each layer until its last core is done, and the
// barrier.
func (p *predictor) on(b board, layers []layer) prediction {
	out := prediction{board: b, Costs: p.Costs}
	at := map[string]int{}
	for _, l := range layers {
		i, ok := at[l.class]
		if !ok {
			i = len(out.Classes)
			at[l.class] = i
			out.Classes = append(out.Classes, classPredicted{Class: l.class})
		}
		c := &out.Classes[i]
		c.Layers++
		c.MMACs += float64(l.macs) / 1e6
		c.Memory.add(l.traffic)
		out.Total.add(l.traffic)
		var ms span
		for s := range ms {
			ms[s] = l.cycles[s]/b.GHz/1e6 + b.Barrier/1e3
			c.Ms[s] += ms[s]
			c.Waits[s] += l.waited[s] / b.GHz / 1e6
			out.Ms[s] += ms[s]
			out.Waits[s] += l.waited[s] / b.GHz / 1e6
		}
		out.Layers = append(out.Layers, layerPredicted{l.name, l.class, ms})
		out.Bound += float64(l.macs) / p.peak() / float64(b.Threads) / b.GHz / 1e6
	}
	return out
}
