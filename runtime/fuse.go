package runtime

import (
	"slices"
	"sort"

	"edgeclassify/int8"
	"edgeclassify/internal/threadpool"
	"edgeclassify/tensor"
)

// maxChain is the most operations of a chain.
const maxChain = 8

// addSteps shares the operations out among steps, alone or in chains.
func (p *Plan) addSteps(o Options) {
	gain := o.gain
	switch {
	case o.Layerwise:
		gain = func(*chain) int64 { return 0 }
	case gain == nil:
		gain = (*chain).gain
	}
	tensors := tensor.ID(len(p.operators))
	for first := tensor.ID(0); first < tensors; {
		last := first
		for p.linked(last) {
			last++
		}
		for _, s := range p.cut(first, last, gain) {
			for range s.last - s.first + 1 {
				p.stepOf = append(p.stepOf, len(p.steps))
			}
			p.steps = append(p.steps, s)
		}
		first = last + 1
	}
	p.stepOf = append(p.stepOf, len(p.steps))
}

// linked says whether a tensor is read by the next layer alone, some rows for each of
// its output, and may be an inner one of a chain.
func (p *Plan) linked(id tensor.ID) bool {
	consumers := p.network.Topology().Consumers(id)
	if len(consumers) != 1 || tensor.Output(consumers[0]) != id+1 || p.network.Layers[consumers[0]].Inputs[0] != id {
		return false
	}
	if features, ok := p.network.Features(); ok && features == id {
		return false
	}
	_, made := p.operators[id].window()
	_, read := p.operators[id+1].window()
	return made && read
}

// cut makes steps of operations that are linked, those whose chains gain the most
// together. (Bellman: On a routing problem, 1958.)
func (p *Plan) cut(first, last tensor.ID, gain func(*chain) int64) []step {
	best := make([]int64, last-first+2) // of the operations before each
	ends := make([]step, last-first+1)  // that end in each
	for to := first; to <= last; to++ {
		ends[to-first] = step{operator: p.operators[to], first: to, last: to}
		best[to-first+1] = best[to-first]
		for from := to - 1; from >= max(first, to-maxChain+1); from-- {
			c := p.chain(from, to)
			if g := gain(c); g > 0 && best[from-first]+g > best[to-first+1] {
				best[to-first+1] = best[from-first] + g
				ends[to-first] = step{operator: c, first: from, last: to}
			}
		}
	}
	var steps []step
	for to := last; to >= first; to = steps[len(steps)-1].first - 1 {
		steps = append(steps, ends[to-first])
	}
	slices.Reverse(steps)
	return steps
}

// chain makes one of the operations that make these tensors.
func (p *Plan) chain(first, last tensor.ID) *chain {
	l := &p.network.Layers[last.Node()]
	c := &chain{node: node{&p.kernel, p.threads, l, p.network.Inputs(l), last}, plan: p, first: first, operators: p.operators[first : last+1]}
	for _, o := range c.operators {
		w, _ := o.window()
		c.windows = append(c.windows, w)
	}
	return c
}

// cost is how a chain is computed, and why.
type cost struct {
	height int   // rows of a band
	chunk  int   // rows that a thread takes at a time
	bytes  int   // that a band touches, weights included
	saved  int64 // bytes of inner tensors that would leave the cache, written and read
	again  int64 // products that are computed twice, where chunks meet
	kept   int64 // bytes that are moved from band to band
}

// gain chooses bands that leave half of the cache free, and returns the bytes of memory
// traffic that the chain is worth; 0 or less where it does not pay.
func (c *chain) gain() int64 {
	for _, o := range c.operators {
		if byRows, _ := o.split(); !byRows {
			return 0 // its weights outweigh its activations
		}
	}
	rows, cache := c.layer.Out.Shape.H, c.cache()
	c.cost.chunk = rows
	for share := threadpool.Share; share >= 1 && c.threads > 1; share /= 2 {
		c.cost.chunk = (rows + share*c.threads - 1) / (share * c.threads)
		if c.cost.again = c.recomputed(); 16*c.cost.again <= c.products() {
			break
		}
	}
	c.cost.height = sort.Search(c.cost.chunk, func(h int) bool {
		c.cost.height = h + 1
		return c.touched() > cache/2
	})
	if c.cost.height == 0 {
		return 0
	}
	bands := (c.cost.chunk + c.cost.height - 1) / c.cost.height
	c.cost.height = (c.cost.chunk + bands - 1) / bands
	c.cost.bytes = c.touched()
	for i := range len(c.operators) - 1 {
		if c.leaves(i) {
			c.cost.saved += 2 * size(c.tensor(i))
		}
		c.cost.kept += int64(rows/c.cost.height) * int64(c.overlap(i)) * size(c.tensor(i)) / int64(c.tensor(i).Shape.H)
	}
	const productsPerByte = 8 // that the cores compute while memory moves one
	return c.cost.saved - c.cost.again/productsPerByte - c.cost.kept/4
}

// leaves says whether what operation i makes of its whole input would leave the threads'
// caches before it is read: together they do not fit three quarters, and it is no small
// part.
func (c *chain) leaves(i int) bool {
	caches, made := int64(c.threads*c.cache()), size(c.tensor(i))
	touched := made
	if !c.overwrites(i) {
		touched += size(c.tensor(i - 1))
	}
	return 4*touched > 3*caches && 4*made > caches
}

// cache is the bytes that a thread's share of the second cache holds.
func (c *chain) cache() int {
	const common = 256 << 10
	if c.kernel.Cache == 0 {
		return common
	}
	return c.kernel.Cache
}

// tensor is what operation i makes; of -1, what the first one reads.
func (c *chain) tensor(i int) *int8.Tensor {
	if i < 0 {
		if c.first == tensor.Input {
			return c.plan.network.Tensor(tensor.Input)
		}
		return c.plan.network.Tensor(c.plan.network.Layers[c.first.Node()].Inputs[0])
	}
	return c.plan.network.Tensor(c.id(i))
}

func size(t *int8.Tensor) int64 { return int64(t.Shape.Elements()) * int64(t.Type.Size()) }

// overlap is the rows of an inner tensor that two neighbouring bands of the next one
// both need.
func (c *chain) overlap(i int) int {
	kh, _ := c.windows[i+1].Reach()
	return max(0, kh-c.windows[i+1].StrideH)
}

// touched is the bytes that a band reads and writes.
func (c *chain) touched() (sum int) {
	for i := -1; i < len(c.operators); i++ {
		if i >= 0 {
			sum += max(c.operators[i].packedBytes(), c.weightBytes(i))
		}
		if i < 0 || !c.overwrites(i) {
			t := c.tensor(i)
			sum += min(c.rows(i), t.Shape.H) * int(size(t)) / t.Shape.H
		}
	}
	return sum
}

func (c *chain) weightBytes(i int) int {
	if c.id(i) == tensor.Input {
		return 0
	}
	return c.plan.network.Layers[c.id(i).Node()].WeightBytes()
}

// work is the products of operation i in a row, or what takes as long.
func (c *chain) work(i int) int64 {
	const productsPerValue = 16 // of a table, a sum or a maximum
	if c.id(i) == tensor.Input {
		return 0
	}
	l := &c.plan.network.Layers[c.id(i).Node()]
	if products := l.MACs(); products > 0 {
		return products / int64(l.Out.Shape.H)
	}
	return productsPerValue * l.Work() / int64(l.Out.Shape.H)
}

func (c *chain) products() (sum int64) {
	for i := range c.operators {
		sum += c.work(i) * int64(c.tensor(i).Shape.H)
	}
	return sum
}

// recomputed is the products that chunks have in common.
func (c *chain) recomputed() (sum int64) {
	borders := int64((c.layer.Out.Shape.H+c.cost.chunk-1)/c.cost.chunk - 1)
	rows := 0
	for i := len(c.operators) - 2; i >= 0; i-- {
		rows = rows*c.windows[i+1].StrideH + c.overlap(i)
		sum += borders * int64(rows) * c.work(i)
	}
	return sum
}
