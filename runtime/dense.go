package runtime

import "edgeclassify/int8"

// dense is the fully connected classifier.
type dense struct {
	node
	op *int8.Dense
}

func newDense(n node) operator { return &dense{n, n.layer.Op.(*int8.Dense)} }

func (*dense) split() (byRows bool, channels int) { return false, 1 }

func (d *dense) bind(s *Session) task {
	src, dst := values[int16](s, d.layer.Inputs[0]), values[int32](s, d.out)
	return func(part int8.Part, _ []int64) { d.kernel.Dense(d.op, dst, src, part.C0, part.C1) }
}
