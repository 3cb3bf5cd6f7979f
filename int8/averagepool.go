package int8

import (
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// AveragePool averages over each window, rounding half up. Padding counts as
// zeros if CountPad is set, and is left out of sum and count otherwise.
type AveragePool struct {
	tensor.Window
	CountPad bool
}

// Kind implements Op.
func (*AveragePool) Kind() string { return "avgpool" }

// Content implements Op.
func (*AveragePool) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*AveragePool) Parameters() Parameters { return Parameters{} }

func (p *AveragePool) check(in []*Tensor, out *Tensor) error {
	if p.KH*p.KW > maxWindow {
		return fmt.Errorf("window %dx%d has more than %d pixels; a mean over the whole plane is an operation of its own", p.KH, p.KW, maxWindow)
	}
	return checkPool(p.Window, in, out)
}

// maxWindow is the largest number of pixels that are averaged: their sum of
// q - Zero, each at most 255 away from zero, fits int16, and twice that of
// int16 activations fits int32.
const maxWindow = math.MaxInt16 / 255

func (p *AveragePool) reference(operands []operand, to *Tensor) []int32 {
	src, in, out := operands[0].values, operands[0].Tensor, to.Shape
	dst := make([]int32, out.Elements())
	zero := int32(in.ZeroAt(0))
	for y := range out.H {
		for x := range out.W {
			for c := range out.C {
				var sum, count int32
				inside(p.Window, in.Shape, y, x, func(iy, ix int) {
					sum += src[(iy*in.Shape.W+ix)*in.Shape.C+c] - zero
					count++
				})
				if p.CountPad {
					count = int32(p.KH * p.KW)
				}
				dst[(y*out.W+x)*out.C+c] = Average(sum, count) + zero
			}
		}
	}
	return dst
}
