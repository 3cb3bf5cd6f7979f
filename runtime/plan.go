// Package runtime runs quantized networks: it compiles one into an immutable
// Plan, whose Sessions classify pictures without allocating.
package runtime

import (
	"fmt"
	"sync"
	"sync/atomic"

	"edgeclassify/int8"
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
	Threads int    // goroutines that share a picture's work, 1 to MaxThreads
	Kernel  string // a name from Kernels; empty picks the fastest
	// Packed, if not nil, is called with the weights of each convolution that
	// the plan has copied and reads no more. Several goroutines call it.
	Packed func(weights []int8.Value)
}

// Plan is a network compiled for one machine: kernel, memory layout and the
// split of the work. It is immutable; any number of Sessions may run it at the
// same time.
type Plan struct {
	network    *int8.Network
	kernel     int8.Kernel
	threads    int
	steps      []step
	buffers    []buffer
	arenaBytes int
	bound      int
}

// step is one layer's work, or the loading of the image (layer nil).
type step struct {
	layer   *int8.Layer
	conv    int8.Convolution // of a layer that is one; else nil
	in, res int              // buffers; res is -1 without residual
	out     int
	parts   []int8.Part // the chunks that threads take
	byRows  bool
}

// buffer is one tensor's place in the arena, padding included.
type buffer struct {
	name   string
	tensor *int8.Tensor
	planes int // 2 for an int16 activation, see int8.Split
	halo   halo
	life   interval
	offset int
}

// halo is the padding stored around a tensor for the convolutions that read it.
type halo struct{ top, left, bottom, right int }

func (b *buffer) rowBytes() int { return int(b.row64()) }

// rows is the number of rows of a plane.
func (b *buffer) rows() int { return b.halo.top + b.tensor.Shape.H + b.halo.bottom }

// align is the alignment of buffers: a cache line.
const align = 64

// row64 and size are in 64 bits because a hostile network's do not fit 32.
func (b *buffer) row64() int64 {
	return int64(b.halo.left+b.tensor.Shape.W+b.halo.right) * int64(b.tensor.Shape.C) * int64(b.tensor.Type.Size()/b.planes)
}

func (b *buffer) size() int64 {
	return (int64(b.planes)*int64(b.rows())*b.row64() + align - 1) / align * align
}

// Compile plans the network's execution. It fails if the network is invalid,
// the options are out of range or this CPU lacks the kernel.
func Compile(n *int8.Network, o Options) (*Plan, error) {
	if o.Threads < 1 || o.Threads > MaxThreads {
		return nil, fmt.Errorf("runtime: %d threads: want 1 to %d", o.Threads, MaxThreads)
	}
	if err := n.Validate(); err != nil {
		return nil, fmt.Errorf("runtime: %w", err)
	}
	kernel, err := pick(o.Kernel)
	if err != nil {
		return nil, err
	}
	p := &Plan{network: n, kernel: kernel, threads: o.Threads}
	p.bind()
	if err := p.layOut(); err != nil {
		return nil, err
	}
	for i := range p.steps {
		p.split(&p.steps[i])
	}
	p.pack(o.Packed)
	return p, nil
}

// bind makes a step for the image and one for each layer, and a buffer for
// each output, alive from its step to its last use.
func (p *Plan) bind() {
	index := map[string]int{}
	add := func(name string, t *int8.Tensor, planes int) int {
		at := len(p.steps)
		index[name] = len(p.buffers)
		p.buffers = append(p.buffers, buffer{name: name, tensor: t, planes: planes, life: interval{first: at, last: at}})
		return index[name]
	}
	use := func(name string) int {
		b := &p.buffers[index[name]]
		b.life.last = len(p.steps)
		return index[name]
	}
	p.steps = append(p.steps, step{in: -1, res: -1, out: add(int8.InputName, &p.network.Input, 1)})
	for i := range p.network.Layers {
		l := &p.network.Layers[i]
		s := step{layer: l, in: use(l.Inputs[0]), res: -1}
		if conv, ok := l.Op.(*int8.Conv); ok {
			b := &p.buffers[s.in]
			b.halo = b.halo.grow(conv.Window, b.tensor.Shape)
			if conv.Residual != 0 {
				s.res = use(l.Inputs[1])
			}
		}
		s.out = add(l.Name, &l.Out, planes(l))
		p.steps = append(p.steps, s)
	}
	// The logits outlive the run: the caller reads them after the last step.
	p.buffers[len(p.buffers)-1].life.last = len(p.steps)
}

// planes is the number of planes of a layer's output. Sums are no activations.
func planes(l *int8.Layer) int {
	if _, sums := l.Op.(int8.GlobalAveragePool); l.Out.Type == int8.Int16 && !sums {
		return 2
	}
	return 1
}

// grow widens the halo to what a window reads of the padding.
func (h halo) grow(w tensor.Window, in tensor.Shape) halo {
	oh, ow, _ := w.Infer(in.H, in.W) // the network is valid
	return halo{
		top:    max(h.top, w.Top),
		left:   max(h.left, w.Left),
		bottom: max(h.bottom, (oh-1)*w.StrideH+w.KH-w.Top-in.H),
		right:  max(h.right, (ow-1)*w.StrideW+w.KW-w.Left-in.W),
	}
}

// layOut places all buffers in the arena. A convolution whose residual dies
// with it writes its output over the residual: each value is read before it
// is replaced, and by the same thread.
func (p *Plan) layOut() error {
	owner := make([]int, len(p.buffers)) // the buffer whose memory this one uses
	lives := make([]interval, len(p.buffers))
	var total int64
	for i := range p.buffers {
		if total += p.buffers[i].size(); total > maxActivationBytes {
			return fmt.Errorf("runtime: network %q: its activations exceed %d bytes", p.network.Name, maxActivationBytes)
		}
		p.buffers[i].life.size = int(p.buffers[i].size())
		owner[i], lives[i] = i, p.buffers[i].life
	}
	for i, s := range p.steps {
		if s.res < 0 || s.res == s.in || p.buffers[s.res].life.last != i || !p.buffers[s.res].alike(&p.buffers[s.out]) {
			continue
		}
		owner[s.out] = owner[s.res]
		lives[owner[s.out]].last = p.buffers[s.out].life.last
		lives[s.out].size = 0
	}
	offsets, peak := place(lives)
	for i := range p.buffers {
		p.buffers[i].offset = offsets[owner[i]]
	}
	p.arenaBytes, p.bound = peak, lowerBound(lives)
	return nil
}

// alike says whether two tensors of one shape are laid out alike.
func (b *buffer) alike(o *buffer) bool { return b.halo == o.halo && b.planes == o.planes }

// split shares a step among the threads: by rows where activations outweigh
// weights, so that a thread's rows stay in its cache; else by channels, so
// that each weight is read by one thread only. Each thread gets several chunks,
// for others to take if it falls behind.
func (p *Plan) split(s *step) {
	shape := p.buffers[s.out].tensor.Shape
	whole := int8.Part{Y1: shape.H, C1: shape.C}
	s.byRows = true
	unit := 1
	if s.layer != nil {
		switch op := s.layer.Op.(type) {
		case *int8.Conv:
			s.byRows = shape.Elements() > len(op.Weight)
			if unit = p.kernel.NR; op.Groups > 1 {
				unit = op.OutC / op.Groups
			}
		case int8.GlobalAveragePool, *int8.Dense:
			s.byRows = false
		}
	}
	length := shape.H
	if s.byRows {
		unit = 1
	} else {
		length = shape.C
	}
	blocks := (length + unit - 1) / unit
	n := 1
	if p.threads > 1 {
		n = min(threadpool.Share*p.threads, blocks)
	}
	for i := range n {
		lo, hi := blocks*i/n*unit, min(blocks*(i+1)/n*unit, length)
		part := whole
		if s.byRows {
			part.Y0, part.Y1 = lo, hi
		} else {
			part.C0, part.C1 = lo, hi
		}
		s.parts = append(s.parts, part)
	}
}

// pack packs the weights of all convolutions, several at a time.
func (p *Plan) pack(packed func([]int8.Value)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range p.threads {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(p.steps)); i = next.Add(1) - 1 {
				p.steps[i].conv = p.convolution(&p.steps[i], packed)
			}
		})
	}
	group.Wait()
}

// convolution is the step's layer packed for the kernel; nil if it is of another
// kind.
func (p *Plan) convolution(s *step, packed func([]int8.Value)) int8.Convolution {
	if s.layer == nil {
		return nil
	}
	op, ok := s.layer.Op.(*int8.Conv)
	if !ok {
		return nil
	}
	var conv int8.Convolution
	if p.hasInt16(s) {
		conv = p.kernel.ConvolutionInt16(s.layer, p.buffers[s.in].tensor)
	} else {
		conv = p.kernel.Convolution(s.layer)
	}
	if packed != nil && conv.Bytes() > 0 {
		packed(op.Weight)
	}
	return conv
}

// hasInt16 says whether an activation of the step is int16.
func (p *Plan) hasInt16(s *step) bool {
	return p.buffers[s.in].planes > 1 || p.buffers[s.out].planes > 1 || s.res >= 0 && p.buffers[s.res].planes > 1
}

// Network is the network that the plan runs.
func (p *Plan) Network() *int8.Network { return p.network }

// Kernel is the name of the kernel that the plan uses.
func (p *Plan) Kernel() string { return p.kernel.Name }

// Steps are the names of what a run does, in order: the image and the layers.
func (p *Plan) Steps() []string {
	names := make([]string, len(p.steps))
	for i := range p.steps {
		names[i] = p.buffers[p.steps[i].out].name
	}
	return names
}

// Threads is the number of threads that share a picture's work.
func (p *Plan) Threads() int { return p.threads }

// ArenaBytes is the memory that a session's activations take.
func (p *Plan) ArenaBytes() int { return p.arenaBytes }

// ArenaLowerBound is the largest sum of bytes alive in one step: the least
// that any placement needs.
func (p *Plan) ArenaLowerBound() int { return p.bound }

// WeightBytes is the memory of weights, biases and multipliers.
func (p *Plan) WeightBytes() int {
	sum := 0
	for i := range p.network.Layers {
		sum += p.network.Layers[i].WeightBytes()
	}
	return sum
}
