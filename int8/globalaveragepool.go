package int8

import (
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// GlobalAveragePool adds up q - Zero of each channel over the plane, in int16. Its
// output's scale is the input's divided by the number of pixels.
type GlobalAveragePool struct{}

// Kind implements Op.
func (GlobalAveragePool) Kind() string { return "globalsum" }

// Content implements Op.
func (GlobalAveragePool) Content() (in, out Content) { return Activation, Sums }

// Parameters implements Op.
func (GlobalAveragePool) Parameters() Parameters { return Parameters{} }

func (GlobalAveragePool) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := checkActivation("input", in[0]); err != nil {
		return err
	}
	s, bound := in[0].Shape, in[0].SumBound()
	if bound > math.MaxInt16 {
		return fmt.Errorf("the sum over %dx%d pixels reaches %d and does not fit int16; at most %d pixels do", s.H, s.W, bound, math.MaxInt16/(bound/int64(s.H*s.W)))
	}
	if want := (tensor.Shape{H: 1, W: 1, C: s.C}); out.Shape != want || out.Type != Int16 || len(out.Zero) != 0 || out.NonNegative {
		return fmt.Errorf("output is %v %s, want %v int16 without zero point", out.Shape, out.Type, want)
	}
	if int64(out.Bound) != bound {
		return fmt.Errorf("bound of the sums is %d, want %d", out.Bound, bound)
	}
	return checkScale("output", out.Scale)
}

func (GlobalAveragePool) reference(operands []operand, _ *Tensor) []int32 {
	src, in := operands[0].values, operands[0].Tensor
	dst := make([]int32, in.Shape.C)
	for i, q := range src {
		dst[i%in.Shape.C] += q - int32(in.ZeroAt(0))
	}
	return dst
}
