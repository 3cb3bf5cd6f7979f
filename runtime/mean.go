package runtime

import "edgeclassify/int8"

// mean is the means of channels over the plane.
type mean struct {
	node
	op *int8.Mean
}

func newMean(n node) operator { return &mean{n, n.layer.Op.(*int8.Mean)} }

func (*mean) split() (byRows bool, channels int) { return false, sumUnit }

// scratch is the sums of all channels.
func (m *mean) scratch() int { return (m.layer.Out.Shape.C + 1) / 2 }

func (m *mean) bind(s *Session) task {
	src, dst := s.plane(m.layer.Inputs[0]), s.plane(m.out)
	codes, at := m.layer.Out.Range(), dst.at(0, 0)
	return func(part int8.Part, scratch []int64) {
		sums := m.sums(scratch, src, part)
		if dst.low == nil {
			m.kernel.Mean(dst.data[at+part.C0:], sums, m.op, int8.Value(codes.Zero))
		} else {
			for i, v := range sums {
				dst.set(at+part.C0+i, m.op.At(v, codes))
			}
		}
		dst.fillHalo(part)
	}
}
