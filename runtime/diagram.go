package runtime

import (
	"fmt"
	"io"
	"strings"

	"edgeclassify/tensor"
)

// columns is the width of the memory map in a diagram.
const columns = 48

// WriteDiagram draws the plan: a row for each step with its split and live
// bytes, beside a map of the arena. In the map a step's output is '#', other
// live buffers are '=', and free memory is '.'.
func (p *Plan) WriteDiagram(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: kernel %s, %d threads, arena %d bytes (lower bound %d), weights %d bytes, packed %d\n",
		p.network.Name, p.kernel.Name, p.threads, p.arenaBytes, p.bound, p.WeightBytes(), p.PackedBytes())
	width, names := len("layer"), p.Steps()
	for _, name := range names {
		width = max(width, len(name))
	}
	fmt.Fprintf(&b, "%4s  %-*s  %-9s  %-16s  %10s  %9s  arena\n", "step", width, "layer", "op", "output", "split", "live")
	for i := range p.steps {
		fmt.Fprintf(&b, "%4d  %-*s  %-9s  %-16s  %10s  %9d  %s\n",
			i, width, names[i], p.kind(tensor.ID(i)), p.buffers[i].shapeName(), p.steps[i].splitName(), p.live(i), p.memoryMap(i))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// kind names what makes a tensor.
func (p *Plan) kind(id tensor.ID) string {
	if id == tensor.Input {
		return "image"
	}
	return p.network.Layers[id.Node()].Op.Kind()
}

// Buffer is a tensor's place in the arena, padding included, and the steps that
// it lives from and to, both included. A tensor that is written over another has
// that one's place, from the step on that is the other's last; one that lies in a
// concatenation's place has no bytes of its own.
type Buffer struct {
	Name   string `json:"name"`
	Offset int    `json:"offset"`
	Bytes  int    `json:"bytes"`
	First  int    `json:"first"`
	Last   int    `json:"last"`
}

// Buffers are the tensors in the order of the steps that make them.
func (p *Plan) Buffers() []Buffer {
	buffers := make([]Buffer, len(p.buffers))
	for i, name := range p.Steps() {
		b := &p.buffers[i]
		buffers[i] = Buffer{Name: name, Offset: b.offset, Bytes: b.life.Size, First: b.life.First, Last: b.life.Last}
	}
	return buffers
}

func (b *buffer) shapeName() string {
	if b.halves > 1 {
		return fmt.Sprintf("%v %s", b.tensor.Shape, b.tensor.Type)
	}
	return b.tensor.Shape.String()
}

func (s *step) splitName() string {
	switch {
	case len(s.parts) == 1:
		return "1"
	case s.byRows:
		return fmt.Sprintf("%d rows", len(s.parts))
	default:
		return fmt.Sprintf("%d channels", len(s.parts))
	}
}

// liveAt calls f for every buffer alive in a step, each piece of memory once:
// of an output written over its residual, the output counts.
func (p *Plan) liveAt(step int, f func(b *buffer)) {
	out := &p.buffers[step]
	for i := range p.buffers {
		b := &p.buffers[i]
		alive := b.life.First <= step && step <= b.life.Last && !p.joined(tensor.ID(i))
		replaced := i == out.life.Over && out.offset == b.offset
		if alive && !replaced {
			f(b)
		}
	}
}

func (p *Plan) live(step int) int {
	sum := 0
	p.liveAt(step, func(b *buffer) { sum += b.life.Size })
	return sum
}

func (p *Plan) memoryMap(step int) string {
	cells := []byte(strings.Repeat(".", columns))
	cell := (p.arenaBytes + columns - 1) / columns
	p.liveAt(step, func(b *buffer) {
		mark := byte('=')
		if b == &p.buffers[p.buffers[step].root] {
			mark = '#'
		}
		for c := b.offset / cell; c <= (b.offset+b.life.Size-1)/cell; c++ {
			cells[c] = mark
		}
	})
	return "|" + string(cells) + "|"
}
