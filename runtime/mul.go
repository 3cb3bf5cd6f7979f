package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// mul is the product of two activations.
type mul struct {
	node
	op *int8.Mul
}

func newMul(n node) operator { return &mul{n, n.layer.Op.(*int8.Mul)} }

func (*mul) window() (tensor.Window, bool) { return pixelwise() }

func (*mul) inPlace() []int { return []int{0} }

func (m *mul) bind(s *Session) task {
	x, y, dst := s.plane(m.layer.Inputs[0]), s.plane(m.layer.Inputs[1]), s.plane(m.out)
	op, codes, flip := *m.op, m.layer.Out.Range(), dst.flip
	zx, zy := int32(m.in[0].ZeroAt(0)), int32(m.in[1].ZeroAt(0))
	each := m.in[1].Shape == m.layer.Out.Shape // else one pixel for all
	return func(part int8.Part, _ []int64) {
		for row := part.Y0; row < part.Y1; row++ {
			for pixel := range dst.shape.W {
				second := y.at(0, 0)
				if each {
					second = y.at(row, pixel)
				}
				d := dst.data[dst.at(row, pixel):][:dst.shape.C]
				p, q := x.data[x.at(row, pixel):][:len(d)], y.data[second:][:len(d)]
				for i := range d {
					d[i] = int8.Value(op.At(int32(p[i]^flip)-zx, int32(q[i]^flip)-zy, codes)) ^ flip
				}
			}
		}
		dst.fillHalo(part)
	}
}
