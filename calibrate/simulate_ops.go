package calibrate

import (
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// simulated is an operation that only simulations have.
type simulated interface {
	models.Op
	compile() operation
}

// elementwise is for operations on one tensor, or two of one shape.
type elementwise struct{}

func (elementwise) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in) == 2 {
		return models.Add{}.Infer(in)
	}
	return models.ReLU{}.Infer(in)
}

// requantize is the integer epilogue of a convolution, from sums of
// w * (q - Zero), and the residual's q - Zero, to the output's. All values are
// integers.
type requantize struct {
	elementwise
	conv      *int8.Conv
	bias      []int32      // for these sums
	residual  *int8.Tensor // nil without one
	zero      int32        // of the output
	low, high int32        // limits of the output
}

func newRequantize(c *int8.Conv, in signal, residual *signal, out signal) *requantize {
	r := &requantize{conv: c, bias: centredBias(c, in.Tensor), zero: int32(out.ZeroAt(0))}
	r.low, r.high = out.Limits()
	if residual != nil {
		r.residual = residual.Tensor
	}
	return r
}

// centredBias is the bias for sums of w * (q - Zero) in place of w * q.
func centredBias(c *int8.Conv, in *int8.Tensor) []int32 {
	depth, groupIn, groupOut := len(c.Weight)/c.OutC, c.InC/c.Groups, c.OutC/c.Groups
	bias := slices.Clone(c.Bias)
	for o := range bias {
		bias[o] += int32(zeroSum(c.Weight[o*depth:(o+1)*depth], in, o/groupOut*groupIn, groupIn))
	}
	return bias
}

func (*requantize) Kind() string { return "requantize" }

func (r *requantize) compile() operation { return operation{run: r.run, overX: true, overZ: true} }

func (r *requantize) run(w worker, y, x, z []float32) {
	channels := len(r.bias)
	from, to := w.part(len(y)/channels, 1)
	for i := from * channels; i < to*channels; i += channels {
		for c, bias := range r.bias {
			residual := int32(0)
			if r.residual != nil {
				q := int32(z[i+c]) + int32(r.residual.ZeroAt(c))
				residual = int8.ScaleResidual(q, r.conv.Residual, r.conv.ResidualShift)
			}
			q := int8.RequantizeWithin(int32(x[i+c])+bias, r.conv.Multiplier[c], r.conv.Shift, residual, r.low, r.high)
			y[i+c] = float32(q - r.zero)
		}
	}
}

// rescale is the same epilogue in real numbers: gain * x + offset, plus ratio
// times the residual, on a grid.
type rescale struct {
	elementwise
	gain, offset []float64 // by channel, in steps of the output
	ratio        float64
	grid         *grid
}

// newRescale is the epilogue of integer weights.
func newRescale(c *int8.Conv, in signal, residual *signal, out signal, p Precision) *rescale {
	r := &rescale{gain: gains(c), offset: make([]float64, c.OutC), ratio: residualRatio(c), grid: p.grid(out)}
	for o, b := range centredBias(c, in.Tensor) {
		r.offset[o] = float64(float64(b)*r.gain[o]) - float64(out.ZeroAt(0))
		if residual != nil {
			r.offset[o] += float64(r.ratio * float64(residual.ZeroAt(o)))
		}
	}
	return r
}

// gains are the steps of the output in one of the accumulator.
func gains(c *int8.Conv) []float64 {
	gains := make([]float64, c.OutC)
	for o, m := range c.Multiplier {
		gains[o] = math.Ldexp(float64(m), int(c.Shift)-37)
	}
	return gains
}

// residualRatio is the steps of the output in one of the residual.
func residualRatio(c *int8.Conv) float64 {
	return math.Ldexp(float64(c.Residual)/int8.OneOut, -int(c.ResidualShift))
}

func (*rescale) Kind() string { return "rescale" }

func (r *rescale) compile() operation { return operation{run: r.run, overX: true, overZ: true} }

func (r *rescale) run(w worker, y, x, z []float32) {
	channels := len(r.gain)
	from, to := w.part(len(y)/channels, 1)
	for i := from * channels; i < to*channels; i += channels {
		for c, gain := range r.gain {
			v := float64(gain*float64(x[i+c])) + r.offset[c]
			if z != nil {
				v += float64(r.ratio * float64(z[i+c]))
			}
			y[i+c] = float32(r.grid.nearest(v))
		}
	}
}

// grid is the values that a tensor can have: multiples of 1/steps, or all where
// steps is 0, from lo to hi.
type grid struct {
	elementwise
	steps, lo, hi float64
}

func (*grid) Kind() string { return "grid" }

func (g *grid) compile() operation { return operation{run: g.run, overX: true} }

func (g *grid) run(w worker, y, x, _ []float32) {
	from, to := w.part(len(y), line)
	for i, v := range x[from:to] {
		y[from+i] = float32(g.nearest(float64(v)))
	}
}

// nearest rounds half up, as the integer arithmetic does.
func (g *grid) nearest(v float64) float64 {
	if g.steps != 0 {
		v = math.Floor(float64(v*g.steps)+0.5) / g.steps
	}
	return max(g.lo, min(g.hi, v))
}

// head is the dense classifier with float64 sums, which hold every int32
// exactly: scale * (weight * x + bias), per class.
type head struct {
	in     int
	weight []float32 // [classes][in]
	bias   []float64
	scale  []float32
}

func (*head) Kind() string { return "head" }

func (c *head) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in) != 1 || in[0].Elements() != c.in {
		return tensor.Shape{}, fmt.Errorf("inputs %v do not have the %d values that the weights expect", in, c.in)
	}
	return tensor.Shape{H: 1, W: 1, C: len(c.bias)}, nil
}

func (c *head) compile() operation { return operation{run: c.run} }

func (c *head) run(w worker, y, x, _ []float32) {
	from, to := w.part(len(y), line)
	for o := from; o < to; o++ {
		sum := c.bias[o]
		for i, weight := range c.weight[o*c.in : (o+1)*c.in] {
			sum += float64(float64(weight) * float64(x[i]))
		}
		y[o] = float32(float32(sum) * c.scale[o])
	}
}
