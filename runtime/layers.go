package runtime

import (
	"iter"

	"edgeclassify/int8"
)

// Layers runs the plan on one picture layer by layer, on the caller's thread
// alone, and yields each layer with its output: a function that copies it, in
// HWC order. The loop may end early. The picture has the size that Run asks for.
func (s *Session) Layers(rgb []uint8) iter.Seq2[*int8.Layer, func() []int32] {
	return func(yield func(*int8.Layer, func() []int32) bool) {
		s.image = rgb
		defer func() { s.image = nil }()
		for i := range s.plan.steps {
			st := &s.plan.steps[i]
			for _, part := range st.parts {
				s.ops[i](part, s.scratch[0])
			}
			if st.layer != nil && !yield(st.layer, func() []int32 { return s.output(st.out) }) {
				return
			}
		}
	}
}

// output copies a tensor out of the arena.
func (s *Session) output(buffer int) []int32 {
	b := &s.plan.buffers[buffer]
	switch b.tensor.Type {
	case int8.Int16:
		return widened(values[int16](s.arena, b))
	case int8.Int32:
		return widened(values[int32](s.arena, b))
	}
	p := s.plan.bindPlane(s.arena, buffer)
	out := make([]int32, 0, p.shape.Elements())
	for y := range p.shape.H {
		for _, v := range p.data[p.at(y, 0):][:p.shape.W*p.shape.C] {
			out = append(out, int32(v^p.flip))
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
