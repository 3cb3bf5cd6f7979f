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
	o := s.operands(&m.node)
	multiply, op, zeros := m.kernel.Mul, m.op, o.zeros()
	run := func(dst, x, y []int8.Value, r int8.Runs) { multiply(dst, x, y, op, zeros, r) }
	return func(part int8.Part, _ []int64) { o.each(part, run) }
}
