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
	x, y, dst := s.plane(a.layer.Inputs[0]), s.plane(a.layer.Inputs[1]), s.plane(a.out)
	run := a.run8
	if a.hasInt16() {
		run = a.run16
	}
	return func(part int8.Part, _ []int64) {
		for row := part.Y0; row < part.Y1; row++ {
			for pixel := range dst.shape.W {
				run(dst, x, y, dst.at(row, pixel), x.at(row, pixel), y.at(row, pixel))
			}
		}
		dst.fillHalo(part)
	}
}

// run8 adds a pixel.
func (a *add) run8(dst, x, y *plane, to, xAt, yAt int) {
	op, codes, flip := *a.op, a.layer.Out.Range(), dst.flip
	zx, zy := int32(x.zero[0]^flip), int32(y.zero[0]^flip)
	d := dst.data[to:][:dst.shape.C]
	p, q := x.data[xAt:][:len(d)], y.data[yAt:][:len(d)]
	for i := range d {
		d[i] = int8.Value(op.At(int32(p[i]^flip)-zx, int32(q[i]^flip)-zy, codes)) ^ flip
	}
}

// run16 is run8 where a tensor is int16.
func (a *add) run16(dst, x, y *plane, to, xAt, yAt int) {
	codes, zx, zy := a.layer.Out.Range(), int32(a.in[0].ZeroAt(0)), int32(a.in[1].ZeroAt(0))
	for i := range dst.shape.C {
		dst.set(to+i, a.op.At(x.value(xAt+i)-zx, y.value(yAt+i)-zy, codes))
	}
}
