package int8

import (
	"errors"
	"fmt"
	"math"
)

// Add adds two activations of one shape, with one rounding.
type Add struct {
	RatioA, RatioB int32 // 2^Shift * input scale / output scale, positive
	Shift          uint8
}

// QuantizeAdd makes the Add between these tensors, with the finest ratios whose sums
// stay within int32: one of them has 21 bits for int8 inputs, 14 for int16.
func QuantizeAdd(a, b, out *Tensor) (*Add, error) {
	ratio := func(in *Tensor, shift uint8) float64 {
		return max(1, math.Round(math.Ldexp(float64(in.Scale)/float64(out.Scale), int(shift)))) // too small a one adds next to nothing
	}
	var add *Add
	for shift := uint8(0); shift <= maxAddShift; shift++ {
		ra, rb := ratio(a, shift), ratio(b, shift)
		if !(ra*float64(a.reach())+rb*float64(b.reach())+math.Ldexp(0.5, int(shift))+128 <= math.MaxInt32) {
			break
		}
		add = &Add{int32(ra), int32(rb), shift}
	}
	if add == nil {
		return nil, fmt.Errorf("int8: inputs of scales %g and %g cannot be added to an output of scale %g", a.Scale, b.Scale, out.Scale)
	}
	return add, nil
}

// maxAddShift keeps the half that rounds within int32.
const maxAddShift = 30

// Kind implements Op.
func (*Add) Kind() string { return "add" }

// Content implements Op.
func (*Add) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*Add) Parameters() Parameters { return Parameters{} }

func (a *Add) check(in []*Tensor, out *Tensor) error {
	if len(in) != 2 {
		return fmt.Errorf("has %d inputs, want 2", len(in))
	}
	if err := errors.Join(checkActivation("first input", in[0]), checkActivation("second input", in[1]), checkActivation("output", out)); err != nil {
		return err
	}
	if in[0].Shape != out.Shape || in[1].Shape != out.Shape {
		return fmt.Errorf("inputs are %v and %v, the output is %v: want one shape", in[0].Shape, in[1].Shape, out.Shape)
	}
	if min(a.RatioA, a.RatioB) < 1 || a.Shift > maxAddShift {
		return fmt.Errorf("ratios %d and %d are not positive, or shift %d is not in 0..%d", a.RatioA, a.RatioB, a.Shift, maxAddShift)
	}
	if sum := int64(a.RatioA)*in[0].reach() + int64(a.RatioB)*in[1].reach() + 1<<a.Shift>>1 + 128; sum > math.MaxInt32 {
		return fmt.Errorf("the sum can reach %d, beyond int32", sum)
	}
	return nil
}

// At is the output for the two inputs' q - Zero.
func (a *Add) At(x, y int32, to Range) int32 {
	shift := a.Shift & 31
	return to.Clamp((x*a.RatioA + y*a.RatioB + 1<<shift>>1) >> shift)
}

func (a *Add) reference(in []operand, to *Tensor) []int32 {
	dst := make([]int32, to.Shape.Elements())
	za, zb, codes := int32(in[0].ZeroAt(0)), int32(in[1].ZeroAt(0)), to.Range()
	for i := range dst {
		dst[i] = a.At(in[0].values[i]-za, in[1].values[i]-zb, codes)
	}
	return dst
}
