package int8

import (
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// Mean averages each channel over the plane, of any size, and gives the mean a scale
// of its own.
type Mean struct {
	Multiplier int32 // of the sum of q - Zero; see Conv
	Shift      uint8
}

// Kind implements Op.
func (*Mean) Kind() string { return "mean" }

// Content implements Op.
func (*Mean) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*Mean) Parameters() Parameters { return Parameters{} }

func (m *Mean) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := checkActivation("input", in[0]); err != nil {
		return err
	}
	if err := checkActivation("output", out); err != nil {
		return err
	}
	s := in[0].Shape
	if want := (tensor.Shape{H: 1, W: 1, C: s.C}); out.Shape != want {
		return fmt.Errorf("output is %v, want %v", out.Shape, want)
	}
	sum := in[0].reach() * int64(s.H) * int64(s.W)
	if sum > math.MaxInt32 {
		return fmt.Errorf("the sum over %dx%d pixels can reach %d, beyond int32", s.H, s.W, sum)
	}
	return checkRequantization(sum, m.Multiplier, m.Shift)
}

// At is the output for the sum of q - Zero.
func (m *Mean) At(sum int32, to Range) int32 { return to.requantize(sum, m.Multiplier, m.Shift) }

// MeanOf is the mean of count values without another scale, in which it rounds as Average
// does: requantizing has 1/128 added, which is too little to matter up to 63 values.
func MeanOf(count int32) (m Mean, ok bool) {
	if count > 63 {
		return m, false
	}
	m.Shift = ShiftFor(1 / float64(count))
	var err error
	m.Multiplier, err = QuantizeMultiplier(1/float64(count), m.Shift)
	return m, err == nil
}

// Means makes int8 outputs of sums, which are stored XORed with flip.
func (m *Mean) Means(dst []int8, sums []int32, zero, flip int8) {
	to := Zeros{Dst: zero}.to()
	for i, sum := range sums {
		dst[i] = int8(m.At(sum, to)) ^ flip
	}
}

func (m *Mean) reference(in []operand, to *Tensor) []int32 {
	dst := make([]int32, to.Shape.C)
	for i, q := range in[0].values {
		dst[i%len(dst)] += q - int32(in[0].ZeroAt(0))
	}
	for c, sum := range dst {
		dst[c] = m.At(sum, to.Range())
	}
	return dst
}
