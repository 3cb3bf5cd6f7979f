package fp32

import (
	"fmt"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Replay runs a network on one image, and then parts of it again, from a tensor
// that was altered. It keeps all tensors of the first run.
type Replay struct {
	plan     *plan
	input    []float32
	original [][]float32 // by step; 0 is the image, i+1 the output of step i
	altered  [][]float32
	differs  []bool      // whether to read the altered tensor
	inputs   [][]float32 // of a step
	worker   Worker
}

// NewReplay compiles g for runs from the tensors of those numbers.
func NewReplay(g *models.Graph, alterable ...tensor.ID) (*Replay, error) {
	p, err := compile(g, alterable)
	if err != nil {
		return nil, fmt.Errorf("fp32: %w", err)
	}
	return p.replay(), nil
}

// Clone returns a Replay of its own buffers, for another goroutine. The weights
// are shared.
func (r *Replay) Clone() *Replay { return r.plan.replay() }

func (p *plan) replay() *Replay {
	r := &Replay{plan: p, input: make([]float32, p.input.Elements()), altered: p.tensors(), differs: make([]bool, len(p.steps)+1)}
	r.original = append(r.original, r.input)
	for _, s := range p.steps {
		r.original = append(r.original, make([]float32, s.elements))
	}
	r.worker = Worker{0, 1, make([]float32, p.scratch)}
	return r
}

// Run returns the network's output for an image in RGB pixels. It is valid until
// the next run.
func (r *Replay) Run(rgb []uint8) ([]float32, error) {
	if err := r.plan.normalize(r.input, rgb); err != nil {
		return nil, err
	}
	clear(r.differs)
	for i := range r.plan.steps {
		r.step(i, r.original[i+1])
	}
	return r.original[len(r.plan.steps)], nil
}

// From returns the output that follows when alter writes an alterable tensor y in
// place of its original x. It is valid until the next call.
func (r *Replay) From(t tensor.ID, alter func(y, x []float32)) []float32 {
	clear(r.differs)
	first := slices.IndexFunc(r.plan.steps, func(s step) bool { return s.tensor == t })
	alter(r.altered[first+1], r.original[first+1])
	r.differs[first+1] = true
	for i := first + 1; i < len(r.plan.steps); i++ {
		if slices.ContainsFunc(r.plan.steps[i].src, func(t int) bool { return r.differs[t] }) {
			r.step(i, r.altered[i+1])
			r.differs[i+1] = true
		}
	}
	return r.read(len(r.plan.steps))
}

func (r *Replay) read(t int) []float32 {
	if r.differs[t] {
		return r.altered[t]
	}
	return r.original[t]
}

func (r *Replay) step(i int, y []float32) {
	s := &r.plan.steps[i]
	r.inputs = r.inputs[:0]
	for _, t := range s.src {
		r.inputs = append(r.inputs, r.read(t))
	}
	s.op.Run(r.worker, y, r.inputs)
}
