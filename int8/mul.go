package int8

import (
	"errors"
	"fmt"

	"edgeclassify/tensor"
)

// Mul multiplies two int8 activations: of one shape, or the second holds one value
// for each channel.
type Mul struct {
	Multiplier int32 // of the product of both q - Zero; see Conv
	Shift      uint8
}

// Kind implements Op.
func (*Mul) Kind() string { return "mul" }

// Content implements Op.
func (*Mul) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*Mul) Parameters() Parameters { return Parameters{} }

func (m *Mul) check(in []*Tensor, out *Tensor) error {
	if len(in) != 2 {
		return fmt.Errorf("has %d inputs, want 2", len(in))
	}
	if err := errors.Join(checkInt8("first input", in[0]), checkInt8("second input", in[1]), checkInt8("output", out)); err != nil {
		return err
	}
	channels := tensor.Shape{H: 1, W: 1, C: out.Shape.C}
	if in[0].Shape != out.Shape || in[1].Shape != out.Shape && in[1].Shape != channels {
		return fmt.Errorf("inputs are %v and %v, the output is %v: want one shape, or %v second", in[0].Shape, in[1].Shape, out.Shape, channels)
	}
	return checkRequantization(in[0].reach()*in[1].reach(), m.Multiplier, m.Shift)
}

// At is the output for the two inputs' q - Zero.
func (m *Mul) At(x, y int32, to Range) int32 { return to.requantize(x*y, m.Multiplier, m.Shift) }

func (m *Mul) reference(in []operand, to *Tensor) []int32 {
	dst := make([]int32, to.Shape.Elements())
	za, zb, codes := int32(in[0].ZeroAt(0)), int32(in[1].ZeroAt(0)), to.Range()
	second := in[1].values
	for i := range dst {
		dst[i] = m.At(in[0].values[i]-za, second[i%len(second)]-zb, codes)
	}
	return dst
}
