package runtime

import "edgeclassify/int8"

// dense is the fully connected classifier.
type dense struct {
	node
	op *int8.Dense
}

func newDense(n node) operator { return &dense{n, n.layer.Op.(*int8.Dense)} }

func (*dense) split() (byRows bool, channels int) { return false, 1 }

// scratch is the inputs in int16.
func (d *dense) scratch() int { return (d.op.In + 3) / 4 }

func (d *dense) bind(s *Session) task {
	dst := values[int32](s, d.out)
	if in := d.layer.Inputs[0]; s.plan.network.Content(in) == int8.Activation {
		src := s.plane(in)
		return func(part int8.Part, scratch []int64) {
			widened := cast[int16](scratch)[:d.op.In]
			src.widen(widened)
			d.kernel.Dense(d.op, dst, widened, part.C0, part.C1)
		}
	}
	src := values[int16](s, d.layer.Inputs[0])
	return func(part int8.Part, _ []int64) { d.kernel.Dense(d.op, dst, src, part.C0, part.C1) }
}

// widen copies the values without halo.
func (p *plane) widen(dst []int16) {
	for y := range p.shape.H {
		for x := range p.shape.W {
			at := p.at(y, x)
			for c := range p.shape.C {
				dst[c] = int16(p.value(at + c))
			}
			dst = dst[p.shape.C:]
		}
	}
}
