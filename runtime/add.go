package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// add is the sum of two activations.
type add struct {
	node
	op *int8.Add
}

func newAdd(n node) operator { return &add{n, n.layer.Op.(*int8.Add)} }

func (*add) window() (tensor.Window, bool) { return pixelwise() }

func (*add) inPlace() []int { return []int{0, 1} }

func (a *add) bind(s *Session) task {
	o := s.operands(&a.node)
	if a.hasInt16() {
		return func(part int8.Part, _ []int64) { a.run16(o, part) }
	}
	sum, op, zeros := a.kernel.Add, a.op, o.zeros()
	run := func(dst, x, y []int8.Value, r int8.Runs) { sum(dst, x, y, op, zeros, r) }
	return func(part int8.Part, _ []int64) { o.each(part, run) }
}

// run16 adds where a tensor is int16.
func (a *add) run16(o *operands, part int8.Part) {
	codes, zx, zy := a.layer.Out.Range(), int32(a.in[0].ZeroAt(0)), int32(a.in[1].ZeroAt(0))
	for row := part.Y0; row < part.Y1; row++ {
		for pixel := range o.dst.shape.W {
			x, y, dst := o.x.at(row, pixel), o.y.at(row, pixel), o.dst.at(row, pixel)
			for i := range o.dst.shape.C {
				o.dst.set(dst+i, a.op.At(o.x.value(x+i)-zx, o.y.value(y+i)-zy, codes))
			}
		}
	}
	o.dst.fillHalo(part)
}
