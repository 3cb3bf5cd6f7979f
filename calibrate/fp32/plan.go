package fp32

import (
	"fmt"
	"slices"

	"edgeclassify/internal/arena"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// plan is a compiled graph. It is immutable and shared by clones.
type plan struct {
	input      tensor.Shape
	preprocess preprocess.Spec
	steps      []step
	offsets    []int // of the steps' outputs in the arena
	arena      int   // length of the memory that tensors take turns in
	scratch    int   // length of each worker's scratch
}

// step is a unit of the graph.
type step struct {
	tensor   tensor.ID // that it makes
	elements int       // of that
	op       Operation
	src      []int // 0 is the image, i+1 the output of step i
	shown    bool
}

// over tells whether the output may take the place of input i.
func (s *step) over(i int) bool {
	if i == 1 {
		return s.op.OverZ && (s.op.OverX || s.src[0] != s.src[1])
	}
	return i == 0 && s.op.OverX
}

func compile(g *models.Graph, shown []tensor.ID) (*plan, error) {
	for _, t := range shown {
		if t <= tensor.Input || t > g.Output() {
			return nil, fmt.Errorf("there is no node that makes tensor %d, to show it", t)
		}
	}
	p := &plan{input: g.Input(), preprocess: g.Preprocess}
	made := map[tensor.ID]int{tensor.Input: 0}
	for i, u := range g.Fuse(hosts, shown...) {
		op, err := compileUnit(g, u)
		if err != nil {
			return nil, fmt.Errorf("node %q (%s): %w", u.Node.Name, u.Node.Op.Kind(), err)
		}
		s := step{tensor: u.Output, elements: g.Shape(u.Output).Elements(), op: op, shown: slices.Contains(shown, u.Output)}
		for _, in := range u.Inputs {
			s.src = append(s.src, made[in])
		}
		p.scratch = max(p.scratch, op.Scratch)
		p.steps = append(p.steps, s)
		made[u.Output] = i + 1
	}
	p.place()
	return p, nil
}

// normalize writes the network's input for an image in RGB pixels.
func (p *plan) normalize(input []float32, rgb []uint8) error {
	if len(rgb) != len(input) {
		return fmt.Errorf("fp32: a picture has %d values, want %d", len(rgb), len(input))
	}
	p.preprocess.Float(input, rgb)
	return nil
}

// place lets tensors that are not alive at one time share memory. A tensor takes
// the place of an input that dies in its step, if the operation allows it. Each
// begins at a multiple of Line.
func (p *plan) place() {
	buffers := make([]arena.Buffer, len(p.steps))
	for i, s := range p.steps {
		buffers[i] = arena.Buffer{First: i, Last: i, Size: (s.elements + Line - 1) / Line * Line, Over: -1}
		for _, t := range s.src {
			if t > 0 {
				buffers[t-1].Last = i
			}
		}
	}
	for i, s := range p.steps {
		for k, t := range slices.Backward(s.src) {
			if t > 0 && s.over(k) && buffers[t-1].Last == i {
				buffers[i].Over = t - 1
			}
		}
	}
	p.offsets, p.arena, _ = arena.Place(buffers)
}

// tensors makes room for the outputs of all steps, behind the image's place.
func (p *plan) tensors() [][]float32 {
	memory, values := make([]float32, p.arena), make([][]float32, len(p.steps)+1)
	for i, s := range p.steps {
		values[i+1] = memory[p.offsets[i]:][:s.elements:s.elements]
	}
	return values
}
