package main

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
	"edgeclassify/internal/cores"
	"edgeclassify/runtime"
)

// predictor estimates one core's times, each kind of work once.
type predictor struct {
	core
	functions map[string]*function
	model     model
	costs     map[listKey]cost
	lists     map[listKey][]access
}

// listKey is what a call's accesses depend on: its arguments, of pointers only whether they
// are nil. Its time does not depend on the number of groups.
type listKey struct {
	function string
	args     [24]uint64
	flag     uint8
}

func (c *call) key() listKey {
	k := listKey{function: c.function}
	copy(k.args[:], c.args)
	for i := range c.args {
		if c.pointers>>i&1 != 0 {
			k.args[i] = min(k.args[i], 1)
		}
	}
	return k
}

// cost is that of a call's groups.
func (p *predictor) cost(r routine) (cost, error) {
	key := r.key()
	r.repeats.set(key.args[:], 1)
	r.groups.set(key.args[:], 1)
	key.flag = r.flag
	if c, ok := p.costs[key]; ok {
		return c, nil
	}
	c, err := r.cost(p.model, int(math.Ceil(r.steps.of(r.args))))
	p.costs[key] = c
	return c, err
}

func (p *predictor) function(name string) (*function, error) {
	f := p.functions[name]
	if f == nil {
		return nil, fmt.Errorf("the program has no function %s%s", prefix, name)
	}
	return f, nil
}

// routine is that of a call.
func (p *predictor) routine(c *call) (routine, error) {
	f, err := p.function(c.kernel.function)
	r := routine{function: f, call: c}
	if c.products > 0 && p.kernel.Wide != nil {
		r.flagged = p.flags
	}
	return r, err
}

// flags is where the flags of a tile's panels lie, see tile.Micro.Wide.
func (p *predictor) flags(args []uint64, set func(at uint64)) {
	var a tile.Args
	at := func(offset uintptr) uint64 { return args[offset/8] }
	steps, nr := at(unsafe.Offsetof(a.Runs))*at(unsafe.Offsetof(a.Steps)), uint64(p.kernel.NR)
	for i := range at(unsafe.Offsetof(a.Panels)) {
		first := at(unsafe.Offsetof(a.Panel)) + i*at(unsafe.Offsetof(a.PanelNext)) + 8*nr + steps*nr*uint64(p.kernel.KR)
		for j := range steps / uint64(p.kernel.WideSteps) {
			set(first + j)
		}
	}
}

// effort is what a call takes: cycles of the assembly, by the model and if products take
// as long as in the best kernel that was published, and of the Go code around it.
type effort struct {
	assembly     span
	inGo         float64
	instructions float64 // of the assembly
}

func (p *predictor) effort(r routine) (effort, error) {
	one, err := p.cost(r)
	if err != nil {
		return effort{}, err
	}
	times, group := r.times(), one.group
	if r.call.flags > 0 {
		r.flag = 1
		slow, err := p.cost(r)
		if err != nil {
			return effort{}, err
		}
		flags := times * r.kernel.steps.of(r.args) * float64(r.args[unsafe.Offsetof(tile.Args{}.Runs)/8]) / float64(p.kernel.WideSteps)
		group = group.plus(float64(r.call.flags)/flags, slow.group.plus(-1, group))
	}
	all := amount{}.plus(r.repeats.of(r.args), one.call)
	fast, slow := all.plus(times, group), all.cycles
	if r.products > 0 {
		slow += times * max(group.cycles, float64(r.products)/p.Published)
	} else {
		slow += times * group.cycles * p.peak() / p.Published // no greater share of the peak than tiles
	}
	return effort{span{fast.cycles, slow}, r.around*p.Call + float64(r.copies)*p.Copy, fast.instructions}, nil
}

// op converts a call.
func (p *predictor) op(c *call, rec *recorder) (op, error) {
	r, err := p.routine(c)
	if err != nil {
		return op{}, err
	}
	o := op{moves: c.moves, base: c.args, function: c.kernel.function}
	if o.effort, err = p.effort(r); err != nil {
		return op{}, err
	}
	o.cycles = span{o.inGo + o.assembly[best], o.inGo + o.assembly[worst]}
	for i, w := range c.args {
		if c.pointers>>i&1 != 0 && within(rec.scratch, uintptr(w)) {
			o.private |= 1 << i
		}
	}
	key := c.key()
	list, ok := p.lists[key]
	if !ok {
		if list, err = r.accesses(c.args, c.pointers); err != nil {
			return op{}, err
		}
		p.lists[key] = list
	}
	o.accesses = list
	return o, nil
}

// kernelWork is what one routine does in a frame, on all cores, without waits.
type kernelWork struct {
	Function     string  `json:"function"` // or Go code
	Calls        int     `json:"calls"`
	Instructions float64 `json:"instructions_m"` // millions; 0 of Go code, whose cycles are assumed
	Cycles       span    `json:"cycles_m"`
}

// inGo names Go code among kernels.
const inGo = "Go, assumed"

// addWork adds up what the calls of chunks do.
func addWork(to map[string]*kernelWork, chunks [][]op) {
	add := func(function string, instructions float64, cycles span) {
		k := to[function]
		if k == nil {
			k = &kernelWork{Function: function}
			to[function] = k
		}
		k.Calls++
		k.Instructions += instructions / 1e6
		for s := range cycles {
			k.Cycles[s] += cycles[s] / 1e6
		}
	}
	for _, ops := range chunks {
		for i := range ops {
			o := &ops[i]
			if o.function != "" {
				add(o.function, o.instructions, o.assembly)
			}
			add(inGo, 0, span{o.inGo, o.inGo})
		}
	}
}

// operations names the class of a layer, and the bytes or values that Go code
// passes over, by int8.Op.Kind.
var operations = map[string]func(p *predictor, plan *runtime.Plan, l *int8.Layer) (class string, inGo int){
	(*int8.Conv)(nil).Kind():        describeConv,
	(*int8.MaxPool)(nil).Kind():     describeMaxPool,
	(*int8.AveragePool)(nil).Kind(): describeAveragePool,
	int8.GlobalAveragePool{}.Kind(): describeOutput,
	(*int8.Dense)(nil).Kind():       func(*predictor, *runtime.Plan, *int8.Layer) (string, int) { return "classifier", 0 },
	(*int8.Add)(nil).Kind():         describeValues,
	(*int8.Mul)(nil).Kind():         describeValues,
	(*int8.Lookup)(nil).Kind():      describeValues,
	(*int8.Mean)(nil).Kind():        describeOutput,
	int8.Concat{}.Kind():            describeMoves,
	(*int8.Gather)(nil).Kind():      describeMoves,
	(*int8.Embedding)(nil).Kind():   describeInputs,
}

// describeInputs is for operations that pass once over what they read.
func describeInputs(_ *predictor, plan *runtime.Plan, l *int8.Layer) (class string, inGo int) {
	for _, t := range plan.Network().Inputs(l) {
		inGo += size(t)
	}
	return l.Op.Kind(), inGo
}

// describeValues: a kernel does it, unless a tensor is int16.
func describeValues(p *predictor, plan *runtime.Plan, l *int8.Layer) (class string, inGo int) {
	if hasInt16(l, plan.Network().Inputs(l)) {
		return describeInputs(p, plan, l)
	}
	return l.Op.Kind(), 0
}

// describeOutput: a kernel adds up, and Go code makes the outputs.
func describeOutput(_ *predictor, _ *runtime.Plan, l *int8.Layer) (class string, inGo int) {
	return l.Op.Kind(), l.Out.Shape.Elements()
}

// describeMoves: what does not lie where it belongs is copied, eight bytes at a time.
func describeMoves(_ *predictor, plan *runtime.Plan, l *int8.Layer) (class string, inGo int) {
	id, _ := plan.Network().Topology().ID(l.Name)
	for _, i := range plan.Copied(id) {
		inGo += min(size(plan.Network().Inputs(l)[i]), size(&l.Out)) / 8
	}
	return l.Op.Kind(), inGo
}

func describeConv(p *predictor, plan *runtime.Plan, l *int8.Layer) (string, int) {
	op := l.Op.(*int8.Conv)
	class := fmt.Sprintf("%dx%d to %dx%d", op.KH, op.KW, l.Out.Shape.H, l.Out.Shape.W)
	switch {
	case op.Depthwise():
		class = "depthwise " + class
	case op.Groups > 1:
		class = "grouped " + class
	}
	if hasInt16(l, plan.Network().Inputs(l)) {
		class += " with int16"
	}
	return class, 0
}

// hasInt16 says whether an activation of the layer is int16.
func hasInt16(l *int8.Layer, in []*int8.Tensor) bool {
	return l.Out.Type == int8.Int16 || slices.ContainsFunc(in, func(t *int8.Tensor) bool { return t.Type == int8.Int16 })
}

// describeMaxPool: int16 windows are passed over in Go, one by one.
func describeMaxPool(_ *predictor, _ *runtime.Plan, l *int8.Layer) (string, int) {
	if op := l.Op.(*int8.MaxPool); l.Out.Type == int8.Int16 {
		return "max pool", l.Out.Shape.Elements() * op.KH * op.KW
	}
	return "max pool", 0
}

func describeAveragePool(_ *predictor, _ *runtime.Plan, l *int8.Layer) (string, int) {
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
	Kernels []kernelWork     `json:"kernels"`
	Layers  []layerPredicted `json:"layers"`
}

// layerPredicted is one step of the plan.
type layerPredicted struct {
	Name  string  `json:"name"`
	Class string  `json:"class"`
	MMACs float64 `json:"mmacs"`
	Ms    span    `json:"ms"`
	Waits span    `json:"waits_ms"`
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
func (p *predictor) on(b board, layers []layer, kernels []kernelWork) prediction {
	out := prediction{board: b, Costs: p.Costs, Kernels: kernels}
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
		var ms, waits span
		for s := range ms {
			ms[s] = l.cycles[s]/b.GHz/1e6 + b.Barrier/1e3
			waits[s] = l.waited[s] / b.GHz / 1e6
			c.Ms[s] += ms[s]
			c.Waits[s] += waits[s]
			out.Ms[s] += ms[s]
			out.Waits[s] += waits[s]
		}
		out.Layers = append(out.Layers, layerPredicted{l.name, l.class, float64(l.macs) / 1e6, ms, waits})
		out.Bound += float64(l.macs) / p.peak() / float64(b.Threads) / b.GHz / 1e6
	}
	return out
}
