package quantize

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

var convolution = operation{
	layer: conv, ranged: true, makes16: true, reads16: true,
	hosts:  func(models.Op) bool { return true },
	moves:  func(u *Unit) bool { return len(u.Inputs) == 2 }, // addResidual
	window: func(op models.Op, _ tensor.Shape) tensor.Window { return op.(*models.Conv).Window },
}

func conv(a *attempt, i int, in activation) (int8.Op, activation, error) {
	u := &a.units[i]
	op := u.Op.(*models.Conv)
	out, err := a.rangedOutput(i)
	if err != nil {
		return nil, out, err
	}
	l, err := a.linear(i, in)
	if err != nil {
		return nil, out, err
	}
	c := &int8.Conv{
		Window: op.Window, Groups: op.Groups, InC: op.InC, OutC: op.OutC,
		Weight: l.rounded.weight, Bias: make([]int32, op.OutC),
		Multiplier: make([]int32, op.OutC), Scale: make([]float32, op.OutC),
	}
	constant := 0.0 // what the zero points of residual and output add, in real units
	if len(u.Inputs) == 2 {
		residual := a.tensors[u.Inputs[1]]
		if err := addResidual(c, residual, &out); err != nil {
			return nil, out, err
		}
		constant -= float64(residual.scale * float64(residual.ZeroAt(0)))
	}
	constant += float64(out.scale * float64(out.ZeroAt(0)))
	scales := l.fit(c, in.scale, out.scale, constant)
	zeros := make([]int, op.OutC)
	Parallel(op.OutC, func(o int) {
		integers := row(l.geometry, c.Weight, o)
		l.correct(o, integers, scales[o])
		zeros[o] = ZeroSum(integers, &in.Tensor, l.first(o), l.groupIn)
	})
	for o, scale := range scales {
		c.Scale[o] = float32(scale)
		if c.Multiplier[o], err = int8.QuantizeMultiplier(scale*in.scale/out.scale, c.Shift); err != nil {
			return nil, out, fmt.Errorf("channel %d: %w", o, err)
		}
		// The step of the accumulator that the rounded multiplier stands for.
		step := c.RealMultiplier(o) * out.scale
		c.Bias[o] = saturated(math.Round((l.bias[o]+constant)/step) - float64(zeros[o]))
	}
	return c, out, nil
}

// rangedOutput is an output whose type, scale and zero point follow from its range.
// An int16 one may reach as far as its type until settle finds its bound.
func (a *attempt) rangedOutput(i int) (activation, error) {
	u := &a.units[i]
	r, err := a.rangeOf(u)
	if err != nil {
		return activation{}, err
	}
	scale, zero := r.Params()
	if bits := a.fractions[i]; bits > 0 {
		scale = math.Ldexp(scale, -bits)
		bound := int32(max(1, min(math.MaxInt16, math.Round(float64(u.Clip.Max)/scale))))
		return activation{int8.Tensor{Shape: u.Shape, Type: int8.Int16, Bound: bound, NonNegative: u.Clip.NonNegative()}, scale}, nil
	}
	return activation{int8.Tensor{Shape: u.Shape, Type: int8.Int8, Zero: []int8.Value{zero}}, scale}, nil
}

// rangeOf is the range of a unit's output, within its limits.
func (a *attempt) rangeOf(u *Unit) (r Range, err error) {
	if u.Output == tensor.Input && len(u.ranges) == 0 {
		r = imageRange(a.graph.Preprocess)
	}
	for _, name := range u.ranges {
		one, ok := a.table.Ranges[name]
		if !ok {
			return r, errors.New("the range table has no entry for it; was it made for another model?")
		}
		r = Range{min(r.Min, one.Min), max(r.Max, one.Max)}
	}
	r = Range{max(r.Min, float64(u.Clip.Min)), min(r.Max, float64(u.Clip.Max))}
	return r, r.check()
}

// addResidual sets how c adds the residual to its output. Where that is int8,
// the output's scale is moved to the nearest one that makes their ratio an integer.
func addResidual(c *int8.Conv, residual activation, out *activation) (err error) {
	ratio := residual.scale / out.scale
	if residual.Type == int8.Int16 {
		c.Residual, c.ResidualShift, err = int8.QuantizeResidual(ratio)
		return err
	}
	c.Residual = int32(max(1, min(math.MaxInt16, math.Round(int8.OneOut*ratio))))
	out.scale = int8.OneOut * residual.scale / float64(c.Residual)
	return nil
}

// fit sets the shift and returns the scales of c's rows, given those of its
// tensors. A channel of tiny weights must not push its bias out of int32, nor one
// of many its sum where others need the shift, and a dead one needs some scale:
// such rows are rounded again, to coarser steps.
func (l *linear) fit(c *int8.Conv, in, out, constant float64) []float64 {
	scales := slices.Clone(l.rounded.scales)
	// What the weights of a channel can make of inputs of 128.
	reach := make([]float64, len(scales))
	Parallel(len(reach), func(o int) {
		for _, w := range row(l.geometry, l.weight, o) {
			reach[o] += 128 * math.Abs(float64(w))
		}
	})
	for raised := true; raised; {
		raised = false
		c.Shift = int8.ShiftFor(slices.Max(scales) * in / out)
		for o, s := range scales {
			least := math.Ldexp(max(math.Abs(l.bias[o]+constant)/(1<<28)/in, out/(1<<20)/in, reach[o]/(1<<30)), int(c.Shift))
			if s < least {
				if &c.Weight[0] == &l.rounded.weight[0] { // others have them, too
					c.Weight = slices.Clone(c.Weight)
				}
				scales[o], raised = least, true
				roundWeights(row(l.geometry, c.Weight, o), row(l.geometry, l.weight, o), least)
			}
		}
	}
	return scales
}
