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
			i, width, names[i], p.Kind(i), p.buffers[p.steps[i].last].shapeName(), p.steps[i].splitName(), p.live(i), p.memoryMap(i))
	}
	p.describeChains(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// describeChains says how chains are computed, and why.
func (p *Plan) describeChains(b *strings.Builder) {
	const kB = 1e3
	for i, name := range p.Steps() {
		if c, ok := p.steps[i].operator.(*chain); ok {
			fmt.Fprintf(b, "\nstep %d is a chain: %s\n  bands of %s by %d threads in chunks of %d, which touch %.0f kB of a cache of %.0f\n"+
				"  %.0f kB of inner tensors are not written to memory and read again; %.1f %% of the products are computed twice, %.0f kB moved from band to band\n",
				i, name, rows(c.cost.height), p.threads, c.cost.chunk, float64(c.cost.bytes)/kB, float64(c.cache())/kB,
				float64(c.cost.saved)/2/kB, 100*float64(c.cost.again)/float64(max(c.products(), 1)), float64(c.cost.kept)/kB)
		}
	}
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

// Kind names what a step does: the kinds of its operations.
func (p *Plan) Kind(step int) string {
	var kinds []string
	if p.steps[step].first == tensor.Input {
		kinds = append(kinds, "image")
	}
	for _, l := range p.Layers(step) {
		kinds = append(kinds, l.Op.Kind())
	}
	return strings.Join(kinds, "+")
}

// Buffer is a tensor's place in the arena, padding included, and the steps that
// it lives from and to, both included. A tensor that is written over another has
// that one's place, from the step on that is the other's last; one that lies in a
// concatenation's place, or within a chain, has no bytes of its own.
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
	for i := range buffers {
		b := &p.buffers[i]
		buffers[i] = Buffer{Name: p.network.Topology().Name(tensor.ID(i)), Offset: b.offset, Bytes: b.life.Size, First: b.life.First, Last: b.life.Last}
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
	case len(s.parts) == 0: // nothing to do
		return "-"
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
	out := &p.buffers[p.steps[step].last]
	for i := range p.buffers {
		b := &p.buffers[i]
		alive := b.life.First <= step && step <= b.life.Last && b.life.Size > 0
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
		if b == &p.buffers[p.buffers[p.steps[step].last].root] {
			mark = '#'
		}
		for c := b.offset / cell; c <= (b.offset+b.life.Size-1)/cell; c++ {
			cells[c] = mark
		}
	})
	return "|" + string(cells) + "|"
}
