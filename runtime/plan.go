// Package runtime runs quantized networks: it compiles one into an immutable
// Plan, whose Sessions classify images without allocating.
package runtime

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"edgeclassify/int8"
	"edgeclassify/internal/hugepages"
	"edgeclassify/internal/threadpool"
	"edgeclassify/tensor"
)

// Limits of what Compile accepts.
const (
	MaxThreads         = 256
	maxActivationBytes = 1 << 30 // of all layers together
)

// Options of Compile.
type Options struct {
	Threads int    // goroutines that share an image's work, 1 to MaxThreads
	Kernel  string // a name from Kernels; empty picks the fastest
	// MemoryLimit is the bytes that weights and the memory of one session may take; 0
	// stands for what the machine has to spare.
	MemoryLimit int64
	// Packed, if not nil, is called with the weights of each convolution that
	// the plan has copied and reads no more. Several goroutines call it.
	Packed func(weights []int8.Value)
	// Like, if not nil, is a plan for the same kernel whose packed weights serve for the
	// operations that its network shares with this one.
	Like *Plan
	// Layerwise computes one layer after the other, without chains, so that each tensor
	// is in memory.
	Layerwise bool

	gain func(*chain) int64 // in place of chain.gain, for tests
}

// Plan is a network compiled for one machine: kernel, memory layout and the
// split of the work. It is immutable; any number of Sessions may run it at the
// same time.
type Plan struct {
	network    *int8.Network
	kernel     int8.Kernel
	threads    int
	operators  []operator // by the tensor that they make
	steps      []step
	stepOf     []int    // that makes a tensor; of the number behind the last one, the number of steps
	buffers    []buffer // by tensor
	arenaBytes int
	bound      int
}

// step is the loading of the image, one layer's work or a chain's.
type step struct {
	operator
	first, last tensor.ID   // that it makes, of which only the last is in the arena
	parts       []int8.Part // the chunks that threads take
	byRows      bool
}

// Compile plans the network's execution. It fails if the options are out of
// range, this CPU lacks the kernel or the network takes too much memory.
func Compile(n *int8.Network, o Options) (*Plan, error) {
	kernel, err := pick(o.Kernel)
	if err != nil {
		return nil, err
	}
	return CompileFor(n, kernel, o)
}

// CompileFor is Compile for a kernel that need not be one of Kernels; the options'
// name plays no part.
func CompileFor(n *int8.Network, kernel int8.Kernel, o Options) (*Plan, error) {
	if o.Threads < 1 || o.Threads > MaxThreads {
		return nil, fmt.Errorf("runtime: %d threads: want 1 to %d", o.Threads, MaxThreads)
	}
	if n.Topology() == nil {
		return nil, fmt.Errorf("runtime: network %q was not made by int8.NewNetwork", n.Name)
	}
	p := &Plan{network: n, kernel: kernel, threads: o.Threads}
	if err := p.addOperators(); err != nil {
		return nil, fmt.Errorf("runtime: network %q: %w", n.Name, err)
	}
	p.addSteps(o)
	p.addBuffers()
	for i := range p.steps {
		p.split(&p.steps[i])
	}
	if err := p.layOut(); err != nil {
		return nil, fmt.Errorf("runtime: network %q: %w", n.Name, err)
	}
	if err := p.checkMemory(o); err != nil {
		return nil, fmt.Errorf("runtime: network %q: %w", n.Name, err)
	}
	p.pack(o)
	return p, nil
}

// addOperators makes what makes each tensor.
func (p *Plan) addOperators() error {
	for id := range tensor.ID(p.network.Topology().Len()) {
		op, err := p.operator(id)
		if err != nil {
			return err
		}
		p.operators = append(p.operators, op)
	}
	return nil
}

// addBuffers makes each tensor's place.
func (p *Plan) addBuffers() {
	for id := range tensor.ID(len(p.operators)) {
		p.buffers = append(p.buffers, p.buffer(id))
	}
	p.join()
	for i := range p.buffers {
		for _, id := range []tensor.ID{tensor.ID(i), p.buffers[i].root} {
			p.buffers[id].halo = p.buffers[id].halo.union(p.halo(tensor.ID(i)))
		}
	}
}

// halo is the padding of a tensor that those read whose first input it is.
func (p *Plan) halo(id tensor.ID) (h halo) {
	for _, i := range p.network.Topology().Consumers(id) {
		if p.network.Layers[i].Inputs[0] == id {
			h = h.union(p.operators[tensor.Output(i)].halo())
		}
	}
	return h
}

// split shares a step among the threads. Each gets several chunks, for others to
// take if it falls behind.
func (p *Plan) split(s *step) {
	if p.moved(s.last) {
		return
	}
	shape := p.network.Tensor(s.last).Shape
	byRows, unit := s.operator.split()
	length := shape.C
	if byRows {
		length = shape.H
	}
	blocks := (length + unit - 1) / unit
	n := 1
	if p.threads > 1 {
		n = min(threadpool.Share*p.threads, blocks)
	}
	s.byRows = byRows
	for i := range n {
		part := int8.Part{Y1: shape.H, C1: shape.C}
		lo, hi := blocks*i/n*unit, min(blocks*(i+1)/n*unit, length)
		if byRows {
			part.Y0, part.Y1 = lo, hi
		} else {
			part.C0, part.C1 = lo, hi
		}
		s.parts = append(s.parts, part)
	}
}

// pack packs the weights of all operations, several at a time, side by side in memory.
func (p *Plan) pack(o Options) {
	places := make([]int, len(p.operators)+1) // ends are the next one's
	taken := make([]bool, len(p.operators))
	for i, op := range p.operators {
		taken[i] = o.Like != nil && i < len(o.Like.operators) && op.take(o.Like.operators[i])
		places[i+1] = places[i]
		if !taken[i] {
			places[i+1] += (op.packedBytes() + align - 1) / align * align
		}
	}
	memory := int8.Aligned(places[len(p.operators)])
	hugepages.Use(cast[byte](memory))
	var next atomic.Int64
	var group sync.WaitGroup
	for range p.threads {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(p.operators)); i = next.Add(1) - 1 {
				if !taken[i] {
					p.operators[i].pack(memory[places[i]:places[i+1]], o.Packed)
				}
			}
		})
	}
	group.Wait()
}

// Network is the network that the plan runs.
func (p *Plan) Network() *int8.Network { return p.network }

// Kernel is the name of the kernel that the plan uses.
func (p *Plan) Kernel() string { return p.kernel.Name }

// Steps are the names of what a run does, in order: the image, layers and chains, which
// have the names of their first and last layers.
func (p *Plan) Steps() []string {
	names := make([]string, len(p.steps))
	for i, s := range p.steps {
		names[i] = p.network.Topology().Name(s.last)
		if s.first != s.last {
			names[i] = p.network.Topology().Name(s.first) + ".." + names[i]
		}
	}
	return names
}

// Layers are those of a step: none of the image, several of a chain.
func (p *Plan) Layers(step int) []int8.Layer {
	s := p.steps[step]
	return p.network.Layers[max(s.first.Node(), 0) : s.last.Node()+1]
}

// first is the first tensor that a step makes.
func (p *Plan) first(step int) tensor.ID {
	if step == len(p.steps) {
		return tensor.ID(len(p.operators))
	}
	return p.steps[step].first
}

// Parts are the chunks of a step that threads take, see threadpool.Pool.
func (p *Plan) Parts(step int) []int8.Part { return slices.Clone(p.steps[step].parts) }

// Threads is the number of threads that share an image's work.
func (p *Plan) Threads() int { return p.threads }

// ArenaBytes is the memory that a session's activations take.
func (p *Plan) ArenaBytes() int { return p.arenaBytes }

// ScratchBytes is the memory that the threads of a session take to work in, with the
// bands of chains.
func (p *Plan) ScratchBytes() int {
	words := 0
	for i := range p.steps {
		words = max(words, p.steps[i].scratch())
	}
	return 8 * words * p.threads
}

// ArenaLowerBound is the largest sum of bytes alive in one step: the least
// that any placement needs.
func (p *Plan) ArenaLowerBound() int { return p.bound }

// WeightBytes is the memory of the network's weights, biases and multipliers.
func (p *Plan) WeightBytes() int {
	sum := 0
	for i := range p.network.Layers {
		sum += p.network.Layers[i].WeightBytes()
	}
	return sum
}

// PackedBytes is what they take as the kernel reads them: packed, or as they are
// where it packs none.
func (p *Plan) PackedBytes() (sum int64) {
	for i := range p.network.Layers {
		packed := p.operators[tensor.Output(i)].packedBytes()
		if packed == 0 {
			packed = p.network.Layers[i].WeightBytes()
		}
		sum += int64(packed)
	}
	return sum
}
