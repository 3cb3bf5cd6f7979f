package runtime

import (
	"fmt"
	"math"
	"os"

	"edgeclassify/int8"
	"edgeclassify/internal/arena"
	"edgeclassify/internal/board"
	"edgeclassify/tensor"
)

// buffer is one tensor's place in the arena, padding included.
type buffer struct {
	tensor *int8.Tensor
	halves int // 2 for an int16 activation: its high and its low bytes, see int8.Split
	halo   halo
	life   arena.Buffer // in steps; Over is the input that it may be written over
	offset int
	inner  bool // of a chain: it has no place in the arena
	// The tensor whose memory it is, and the first of its channels there: its own, or
	// that of a Concat or a Gather's input. See Plan.join.
	root    tensor.ID
	channel int
}

// halo is the padding stored around a tensor for the operations that read it.
type halo struct{ top, left, bottom, right int }

func (h halo) union(o halo) halo {
	return halo{max(h.top, o.top), max(h.left, o.left), max(h.bottom, o.bottom), max(h.right, o.right)}
}

// buffer makes that of a tensor, alive from its step to its last use: the caller reads
// logits and features after the last step.
func (p *Plan) buffer(id tensor.ID) buffer {
	step := p.stepOf[id]
	b := buffer{tensor: p.network.Tensor(id), halves: 1, root: id, inner: p.steps[step].last != id,
		life: arena.Buffer{First: step, Last: step, Over: -1}}
	if p.network.Content(id) == int8.Activation && b.tensor.Type == int8.Int16 {
		b.halves = 2
	}
	if consumers := p.network.Topology().Consumers(id); len(consumers) > 0 {
		b.life.Last = p.stepOf[tensor.Output(consumers[len(consumers)-1])]
	}
	if features, ok := p.network.Features(); int(id) == len(p.operators)-1 || ok && id == features {
		b.life.Last = len(p.steps)
	}
	return b
}

func (b *buffer) rowBytes() int { return int(b.row64()) }

// rows is the number of rows of a plane.
func (b *buffer) rows() int { return b.halo.top + b.tensor.Shape.H + b.halo.bottom }

// align is the alignment of buffers: a cache line.
const align = 64

// row64 and size are in 64 bits because a hostile network's do not fit 32.
func (b *buffer) row64() int64 {
	return int64(b.halo.left+b.tensor.Shape.W+b.halo.right) * int64(b.tensor.Shape.C) * int64(b.tensor.Type.Size()/b.halves)
}

func (b *buffer) size() int64 {
	return (int64(b.halves)*int64(b.rows())*b.row64() + align - 1) / align * align
}

// join has the inputs of concatenations written where they belong, though others read
// them, too. A concatenation may be such an input itself, and then stands before it: the
// last one of a dense block is the memory of all. What a Gather selects side by side is a
// view of its input, unless a concatenation takes it.
func (p *Plan) join() {
	for i := len(p.network.Layers) - 1; i >= 0; i-- {
		l := &p.network.Layers[i]
		if l.Op.Kind() != (int8.Concat{}).Kind() {
			continue
		}
		out := p.buffers[tensor.Output(i)]
		channel := out.channel
		for _, id := range l.Inputs {
			if id != tensor.Input && !p.joined(id) {
				p.place(id, out.root, channel)
			}
			channel += p.buffers[id].tensor.Shape.C
		}
	}
	for i := range p.network.Layers {
		id := tensor.Output(i)
		if g, ok := p.operators[id].(*gather); ok && !p.joined(id) && len(g.runs) == 1 {
			in := p.buffers[g.layer.Inputs[0]]
			p.place(id, in.root, in.channel+g.runs[0].from)
		}
	}
}

// place has a tensor lie in another one's memory.
func (p *Plan) place(id, root tensor.ID, channel int) {
	b, r := &p.buffers[id], &p.buffers[root]
	b.root, b.channel = root, channel
	r.life.First, r.life.Last = min(r.life.First, b.life.First), max(r.life.Last, b.life.Last)
}

// Copied are the inputs, by number, of a Concat or Gather that do not lie where it has
// them, so that they are copied.
func (p *Plan) Copied(id tensor.ID) (inputs []int) {
	out := &p.buffers[id]
	channel := out.channel
	for i, in := range p.network.Layers[id.Node()].Inputs {
		b := &p.buffers[in]
		g, ok := p.operators[id].(*gather)
		if ok {
			channel -= g.runs[0].from
		}
		if b.root != out.root || b.channel != channel || ok && len(g.runs) > 1 {
			inputs = append(inputs, i)
		}
		channel += b.tensor.Shape.C
	}
	return inputs
}

// moved says whether all that an operation would move lies where it belongs.
func (p *Plan) moved(id tensor.ID) bool {
	switch p.operators[id].(type) {
	case concat, *gather:
		return len(p.Copied(id)) == 0
	}
	return false
}

// joined says whether a tensor lies in another's memory.
func (p *Plan) joined(id tensor.ID) bool { return p.buffers[id].root != id }

// layOut places all buffers in the arena, outputs over inputs where operations
// allow it.
func (p *Plan) layOut() error {
	lives := make([]arena.Buffer, len(p.buffers))
	var total int64
	for i := range p.buffers {
		b := &p.buffers[i]
		if p.joined(tensor.ID(i)) {
			lives[i] = b.life
			continue
		}
		if total += b.size(); total > maxActivationBytes {
			return fmt.Errorf("its activations exceed %d bytes", maxActivationBytes)
		}
		if b.inner {
			lives[i] = b.life
			continue
		}
		b.life.Size = int(b.size())
		step := p.stepOf[i]
		for _, in := range p.steps[step].inPlace() {
			over := p.network.Layers[tensor.ID(i).Node()].Inputs[in]
			if b.alike(&p.buffers[over]) && !p.joined(over) && p.buffers[over].life.Last == step && p.readOnce(step, over) {
				b.life.Over = int(over)
			}
		}
		lives[i] = b.life
	}
	offsets, peak, bound := arena.Place(lives)
	for i := range p.buffers {
		p.buffers[i].offset = offsets[p.buffers[i].root]
	}
	p.arenaBytes, p.bound = peak, bound
	return nil
}

// readOnce says whether a step reads a tensor's memory as one input of one operation.
func (p *Plan) readOnce(step int, id tensor.ID) bool {
	times := 0
	for _, l := range p.Layers(step) {
		for _, in := range l.Inputs {
			if p.buffers[in].root == id {
				times++
			}
		}
	}
	return times == 1
}

// checkMemory compares what the weights and a session are going to take with what
// there is, before they do.
func (p *Plan) checkMemory(o Options) error {
	var held, zeros int64 // held are weights that are in memory now and are not needed beside the packed ones
	for i, op := range p.operators {
		zeros += int64(p.buffers[i].halves * p.buffers[i].tensor.Shape.C) // see plane
		if i == 0 {
			continue
		}
		l := &p.network.Layers[tensor.ID(i).Node()]
		for _, in := range p.network.Inputs(l) {
			zeros += 2 * int64(in.Shape.C)
		}
		if op.packedBytes() == 0 || o.Packed != nil {
			held += int64(l.WeightBytes())
		}
	}
	weights := p.PackedBytes()
	activations, scratch := int64(p.arenaBytes)+zeros*int64(p.threads), int64(p.ScratchBytes())
	limit := o.MemoryLimit
	if limit == 0 {
		if _, limit = board.Memory(os.DirFS("/")); limit > 0 {
			limit += held
		}
	}
	if limit == 0 { // not known
		limit = math.MaxInt
	}
	if sum := weights + activations + scratch; sum > min(limit, math.MaxInt) {
		return fmt.Errorf("it takes %s of memory, and there are %s: weights for kernel %s take %s, activations %s, the work of %d threads %s; "+
			"end other programs, take the kernel generic, which packs no weights, or a smaller network",
			megabytes(sum), megabytes(limit), p.kernel.Name, megabytes(weights), megabytes(activations), p.threads, megabytes(scratch))
	}
	return nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// alike says whether two tensors of one shape are laid out alike.
func (b *buffer) alike(o *buffer) bool { return b.halo == o.halo && b.halves == o.halves }
