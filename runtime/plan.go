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
}

// Plan is a network compiled for one machine: kernel, memory layout and the
// split of the work. It is immutable; any number of Sessions may run it at the
// same time.
type Plan struct {
	network    *int8.Network
	kernel     int8.Kernel
	threads    int
	steps      []step   // each makes the tensor of its number
	buffers    []buffer // by tensor
	arenaBytes int
	bound      int
}

// step is the loading of the image or one layer's work.
type step struct {
	operator
	parts  []int8.Part // the chunks that threads take
	byRows bool
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
	if err := p.addSteps(); err != nil {
		return nil, fmt.Errorf("runtime: network %q: %w", n.Name, err)
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

// addSteps makes each tensor's step and buffer.
func (p *Plan) addSteps() error {
	for id := range tensor.ID(p.network.Topology().Len()) {
		op, err := p.operator(id)
		if err != nil {
			return err
		}
		p.steps = append(p.steps, step{operator: op})
		p.buffers = append(p.buffers, p.buffer(id))
		p.split(id)
	}
	p.join()
	for i := range p.network.Layers {
		in := &p.buffers[p.buffers[p.network.Layers[i].Inputs[0]].root]
		in.halo = in.halo.union(p.steps[tensor.Output(i)].halo())
	}
	return nil
}

// split shares a step among the threads. Each gets several chunks, for others to
// take if it falls behind.
func (p *Plan) split(id tensor.ID) {
	s, shape := &p.steps[id], p.network.Tensor(id).Shape
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

// pack packs the weights of all steps, several at a time, side by side in memory.
func (p *Plan) pack(o Options) {
	places := make([]int, len(p.steps)+1) // ends are the next step's
	taken := make([]bool, len(p.steps))
	for i := range p.steps {
		s := &p.steps[i]
		taken[i] = o.Like != nil && i < len(o.Like.steps) && s.take(o.Like.steps[i].operator)
		places[i+1] = places[i]
		if !taken[i] {
			places[i+1] += (s.packedBytes() + align - 1) / align * align
		}
	}
	memory := int8.Aligned(places[len(p.steps)])
	hugepages.Use(cast[byte](memory))
	var next atomic.Int64
	var group sync.WaitGroup
	for range p.threads {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(p.steps)); i = next.Add(1) - 1 {
				if !taken[i] {
					p.steps[i].pack(memory[places[i]:places[i+1]], o.Packed)
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

// Steps are the names of what a run does, in order: the image and the layers.
func (p *Plan) Steps() []string {
	names := make([]string, len(p.steps))
	for i := range names {
		names[i] = p.network.Topology().Name(tensor.ID(i))
	}
	return names
}

// Parts are the chunks of a step that threads take, see threadpool.Pool.
func (p *Plan) Parts(step int) []int8.Part { return slices.Clone(p.steps[step].parts) }

// Threads is the number of threads that share an image's work.
func (p *Plan) Threads() int { return p.threads }

// ArenaBytes is the memory that a session's activations take.
func (p *Plan) ArenaBytes() int { return p.arenaBytes }

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
		packed := p.steps[tensor.Output(i)].packedBytes()
		if packed == 0 {
			packed = p.network.Layers[i].WeightBytes()
		}
		sum += int64(packed)
	}
	return sum
}
