package calibrate

import "slices"

// replay runs a network on one image, and then parts of it again, from a tensor
// that was altered. It keeps all tensors of the first run.
type replay struct {
	plan     *plan
	original [][]float32 // by tensor number; 0 is the image
	altered  [][]float32
	differs  []bool // whether to read the altered tensor
	worker   worker
}

func newReplay(p *plan) *replay {
	r := &replay{plan: p, altered: p.executor(1).values, differs: make([]bool, len(p.steps)+1)}
	r.original = append(r.original, nil)
	for _, s := range p.steps {
		r.original = append(r.original, make([]float32, s.shape.Elements()))
	}
	r.worker = worker{0, 1, make([]float32, p.scratch)}
	return r
}

// run returns the network's output for an image, which must stay as it is.
func (r *replay) run(image []float32) []float32 {
	r.original[0] = image
	clear(r.differs)
	for i := range r.plan.steps {
		r.step(i, r.original[i+1])
	}
	return r.original[len(r.plan.steps)]
}

// from returns the output that follows when alter writes a step's output y in
// place of its original x.
func (r *replay) from(step int, alter func(y, x []float32)) []float32 {
	clear(r.differs)
	alter(r.altered[step+1], r.original[step+1])
	r.differs[step+1] = true
	for i := step + 1; i < len(r.plan.steps); i++ {
		if slices.ContainsFunc(r.plan.steps[i].src, func(t int) bool { return r.differs[t] }) {
			r.step(i, r.altered[i+1])
			r.differs[i+1] = true
		}
	}
	return r.tensor(len(r.plan.steps))
}

func (r *replay) tensor(t int) []float32 {
	if r.differs[t] {
		return r.altered[t]
	}
	return r.original[t]
}

func (r *replay) step(i int, y []float32) {
	s := &r.plan.steps[i]
	var residual []float32
	if len(s.src) > 1 {
		residual = r.tensor(s.src[1])
	}
	s.op.run(r.worker, y, r.tensor(s.src[0]), residual)
}
