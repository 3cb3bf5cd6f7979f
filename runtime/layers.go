package runtime

import (
	"iter"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// Layers runs the plan on one image step by step, on the caller's thread alone,
// and yields each layer, of chains the last, with its output: a function that copies
// it, in HWC order.
// The loop may end early. Layers fails as Run does.
func (s *Session) Layers(image []uint8) (iter.Seq2[*int8.Layer, func() []int32], error) {
	if err := s.check(image); err != nil {
		return nil, err
	}
	return func(yield func(*int8.Layer, func() []int32) bool) {
		s.image = image
		defer func() { s.image = nil }()
		for i := range s.plan.steps {
			s.step(i)
			id := s.plan.steps[i].last
			if id == tensor.Input {
				continue
			}
			if !yield(&s.plan.network.Layers[id.Node()], func() []int32 { return s.output(id) }) {
				return
			}
		}
	}, nil
}

// Chunks is Layers for the parts of the plan's steps: it yields each one's step and number
// before it is computed.
func (s *Session) Chunks(image []uint8) (iter.Seq2[int, int], error) {
	if err := s.check(image); err != nil {
		return nil, err
	}
	return func(yield func(step, chunk int) bool) {
		s.image = image
		defer func() { s.image = nil }()
		for i, do := range s.tasks[0] {
			for chunk, part := range s.plan.steps[i].parts {
				if !yield(i, chunk) {
					return
				}
				do(part, s.scratch[0])
			}
		}
	}, nil
}

// step does one.
func (s *Session) step(i int) {
	for _, part := range s.plan.steps[i].parts {
		s.tasks[0][i](part, s.scratch[0])
	}
}

// output copies a tensor out of the arena.
func (s *Session) output(id tensor.ID) []int32 {
	switch s.plan.network.Content(id) {
	case int8.Sums:
		return widened(values[int16](s, id))
	case int8.Logits:
		return widened(values[int32](s, id))
	}
	p := s.plane(id)
	out := make([]int32, 0, p.shape.Elements())
	for y := range p.shape.H {
		for x := range p.shape.W {
			for c := range p.shape.C {
				out = append(out, p.value(p.at(y, x)+c))
			}
		}
	}
	return out
}

func widened[T int16 | int32](values []T) []int32 {
	out := make([]int32, len(values))
	for i, v := range values {
		out[i] = int32(v)
	}
	return out
}
