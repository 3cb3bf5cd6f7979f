package int8

import (
	"errors"
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// Conv is a convolution with its requantization, and the residual add where
// the layer has a second input. See the package documentation for the formula.
type Conv struct {
	tensor.Window
	Groups     int
	InC, OutC  int
	Weight     []int8    // OHWI: [OutC][KH][KW][InC/Groups]
	Bias       []int32   // [OutC], in accumulator units, zero points folded in
	Multiplier []int32   // [OutC], positive
	Scale      []float32 // [OutC], real value of one weight step; informative
	Shift      uint8     // left shift of the biased accumulator
	Residual   int32     // 64 * 2^ResidualShift * residual scale / output scale; 0 without residual
	// ResidualShift is the fraction bits of Residual: 0 for an int8 residual.
	ResidualShift uint8
}

// Kind implements Op.
func (*Conv) Kind() string { return "conv" }

// Content implements Op.
func (*Conv) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (c *Conv) Parameters() Parameters { return Parameters{c.Weight, c.Bias, c.Multiplier, c.Shift} }

// RealMultiplier is what one step of a channel's accumulator is worth in steps of
// the output.
func (c *Conv) RealMultiplier(channel int) float64 {
	return RealMultiplier(c.Multiplier[channel], c.Shift)
}

// RealResidual is the residual's scale in that of the output.
func (c *Conv) RealResidual() float64 {
	return math.Ldexp(float64(c.Residual), -outBits-int(c.ResidualShift))
}

// depth is the number of products in one accumulator.
func (c *Conv) depth() int { return c.KH * c.KW * (c.InC / c.Groups) }

// Runs is what lies side by side in a row of a window: so many values, so many times.
// In NHWC the pixels of a row are contiguous, unless dilated, and with one group so
// are all their channels.
func (c *Conv) Runs() (length, count int) {
	channels := c.InC / c.Groups
	if _, dw := c.Steps(); c.Groups == 1 && dw == 1 {
		return channels * c.KW, 1
	}
	return channels, c.KW
}

func (c *Conv) check(in []*Tensor, out *Tensor) error {
	inputs := 1
	if c.Residual != 0 {
		inputs = 2
	}
	if len(in) != inputs {
		return fmt.Errorf("has %d inputs, want %d", len(in), inputs)
	}
	if err := checkActivation("output", out); err != nil {
		return err
	}
	if err := checkWindow(c.Window, in[0], out); err != nil {
		return err
	}
	if c.Groups < 1 || c.InC%c.Groups != 0 || c.OutC%c.Groups != 0 || c.InC != in[0].Shape.C || c.OutC != out.Shape.C {
		return fmt.Errorf("%d to %d channels in %d groups do not fit input %v and output %v", c.InC, c.OutC, c.Groups, in[0].Shape, out.Shape)
	}
	if depth := int64(c.KH) * int64(c.KW) * int64(c.InC/c.Groups); depth*int64(c.OutC) > maxElements {
		return fmt.Errorf("%d weights are out of range", depth*int64(c.OutC))
	}
	if err := errors.Join(
		checkLen("weight", len(c.Weight), c.OutC*c.depth()), checkLen("bias", len(c.Bias), c.OutC),
		checkLen("multiplier", len(c.Multiplier), c.OutC), checkLen("scale", len(c.Scale), c.OutC)); err != nil {
		return err
	}
	residual, err := c.checkResidual(in[1:], out)
	if err != nil {
		return err
	}
	return c.checkRange(in[0].magnitude(), residual)
}

// checkResidual also returns the largest magnitude of what the residual adds.
func (c *Conv) checkResidual(in []*Tensor, out *Tensor) (int64, error) {
	largest := uint8(0)
	if len(in) == 1 && in[0].Type == Int16 {
		largest = maxResidualShift
	}
	if c.ResidualShift > largest {
		return 0, fmt.Errorf("residual shift %d is not in 0..%d", c.ResidualShift, largest)
	}
	if len(in) == 0 {
		return 0, nil
	}
	if c.Residual < 1 || c.Residual > math.MaxInt16 {
		return 0, fmt.Errorf("residual ratio %d is not in 1..%d", c.Residual, math.MaxInt16)
	}
	if in[0].Shape != out.Shape {
		return 0, fmt.Errorf("residual is %v, want %v", in[0].Shape, out.Shape)
	}
	return int64(ScaleResidual(int32(in[0].magnitude()), c.Residual, c.ResidualShift)), nil
}

// checkRange proves that no intermediate of the epilogue leaves int32, with
// inputs and scaled residuals up to these magnitudes.
func (c *Conv) checkRange(input, residual int64) error {
	if c.Shift > 24 {
		return fmt.Errorf("shift %d is not in 0..24", c.Shift)
	}
	depth := c.depth()
	for o, m := range c.Multiplier {
		if m < 1 {
			return fmt.Errorf("channel %d: multiplier %d is not positive", o, m)
		}
		if err := checkScale("weight", c.Scale[o]); err != nil {
			return fmt.Errorf("channel %d: %w", o, err)
		}
		sum, err := weightSum(c.Weight[o*depth : (o+1)*depth])
		if err != nil {
			return fmt.Errorf("channel %d: %w", o, err)
		}
		acc := sum*input + abs64(c.Bias[o])
		if acc > math.MaxInt32>>c.Shift {
			return fmt.Errorf("channel %d: the accumulator can reach %d << %d, beyond int32", o, acc, c.Shift)
		}
		v := (acc<<c.Shift*int64(m))>>31 + 1 + residual + half
		if v > math.MaxInt32 {
			return fmt.Errorf("channel %d: the requantized value can reach %d, beyond int32", o, v)
		}
	}
	return nil
}

func (c *Conv) reference(in []operand, to *Tensor) []int32 {
	var residual []int32
	if c.Residual != 0 {
		residual = in[1].values
	}
	return c.convolve(in[0].values, in[0].Tensor, residual, to)
}

func (c *Conv) convolve(src []int32, in *Tensor, residual []int32, to *Tensor) []int32 {
	out := to.Shape
	dst := make([]int32, out.Elements())
	low, high := to.Limits()
	groupIn, groupOut := c.InC/c.Groups, c.OutC/c.Groups
	dh, dw := c.Steps()
	for y := range out.H {
		for x := range out.W {
			for o := range c.OutC {
				acc := c.Bias[o]
				first := o / groupOut * groupIn
				w := c.Weight[o*c.depth():]
				for ky := range c.KH {
					for kx := range c.KW {
						iy, ix := y*c.StrideH-c.Top+ky*dh, x*c.StrideW-c.Left+kx*dw
						inside := iy >= 0 && iy < in.Shape.H && ix >= 0 && ix < in.Shape.W
						for i := range groupIn {
							q := int32(in.ZeroAt(first + i))
							if inside {
								q = src[(iy*in.Shape.W+ix)*c.InC+first+i]
							}
							acc += q * int32(w[(ky*c.KW+kx)*groupIn+i])
						}
					}
				}
				at := (y*out.W+x)*c.OutC + o
				var r int32
				if residual != nil {
					r = ScaleResidual(residual[at], c.Residual, c.ResidualShift)
				}
				dst[at] = RequantizeWithin(acc, c.Multiplier[o], c.Shift, r, low, high)
			}
		}
	}
	return dst
}
