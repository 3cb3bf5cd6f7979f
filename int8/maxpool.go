package int8

import (
	"math"

	"edgeclassify/tensor"
)

// MaxPool takes the maximum over each window; padding never wins.
type MaxPool struct{ tensor.Window }

// Kind implements Op.
func (*MaxPool) Kind() string { return "maxpool" }

// Content implements Op.
func (*MaxPool) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*MaxPool) Parameters() Parameters { return Parameters{} }

func (p *MaxPool) check(in []*Tensor, out *Tensor) error {
	return checkPool(p.Window, in, out)
}

func (p *MaxPool) reference(operands []operand, to *Tensor) []int32 {
	src, in, out := operands[0].values, operands[0].Shape, to.Shape
	dst := make([]int32, out.Elements())
	for y := range out.H {
		for x := range out.W {
			for c := range out.C {
				m := int32(math.MinInt16)
				inside(p.Window, in, y, x, func(iy, ix int) { m = max(m, src[(iy*in.W+ix)*in.C+c]) })
				dst[(y*out.W+x)*out.C+c] = m
			}
		}
	}
	return dst
}
