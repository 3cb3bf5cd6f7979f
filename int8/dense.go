package int8

import (
	"errors"
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// Dense is the fully connected classifier. It reads the sums of a global average
// pool, or an activation of any shape in HWC order.
type Dense struct {
	In, Out int
	Weight  []int8    // [Out][In]
	Bias    []int32   // [Out], in accumulator units, zero points folded in
	Scale   []float32 // [Out], real value of one logit step
}

// Kind implements Op.
func (*Dense) Kind() string { return "dense" }

// Content implements Op.
func (*Dense) Content() (in, out Content) { return Sums | Activation, Logits }

// Parameters implements Op.
func (d *Dense) Parameters() Parameters { return Parameters{Weight: d.Weight, Bias: d.Bias} }

// Scaled turns int32 logits into real ones.
func (d *Dense) Scaled(dst []float32, logits []int32) {
	for i, v := range logits {
		dst[i] = float32(v) * d.Scale[i]
	}
}

func (d *Dense) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if d.In != in[0].Shape.Elements() || d.Out < 1 || int64(d.In)*int64(d.Out) > maxElements {
		return fmt.Errorf("%d inputs and %d outputs do not fit input %v", d.In, d.Out, in[0].Shape)
	}
	if want := (tensor.Shape{H: 1, W: 1, C: d.Out}); out.Shape != want || out.Type != Int32 || len(out.Zero) != 0 {
		return fmt.Errorf("output is %v %s, want %v int32 without zero point", out.Shape, out.Type, want)
	}
	if err := errors.Join(
		checkLen("weight", len(d.Weight), d.In*d.Out), checkLen("bias", len(d.Bias), d.Out), checkLen("scale", len(d.Scale), d.Out)); err != nil {
		return err
	}
	for o := range d.Out {
		if err := checkScale("logit", d.Scale[o]); err != nil {
			return fmt.Errorf("class %d: %w", o, err)
		}
		sum, err := weightSum(d.Weight[o*d.In : (o+1)*d.In])
		if err != nil {
			return fmt.Errorf("class %d: %w", o, err)
		}
		if acc := sum*in[0].magnitude() + abs64(d.Bias[o]); acc > math.MaxInt32 {
			return fmt.Errorf("class %d: the accumulator can reach %d, beyond int32", o, acc)
		}
	}
	return nil
}

func (d *Dense) reference(operands []operand, _ *Tensor) []int32 {
	src := operands[0].values
	dst := make([]int32, d.Out)
	for o := range dst {
		dst[o] = d.Bias[o]
		for i, x := range src {
			dst[o] += x * int32(d.Weight[o*d.In+i])
		}
	}
	return dst
}
