package diagnose

import (
	"slices"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// writeConv writes the sums of products, and what follows.
func writeConv(s *simulator, l *layer) {
	op, p, in, residual := l.Op.(*int8.Conv), l.precision, l.in[0].forConv(), l.in[1:]
	sums := &models.Conv{Window: op.Window, Groups: op.Groups, InC: op.InC, OutC: op.OutC}
	inputs := []string{l.out.node + products}
	exact := in.codes && p.exact()
	for _, r := range residual {
		exact = exact && r.codes
		inputs = append(inputs, r.node)
	}
	var epilogue models.Op
	switch {
	case p.FloatWeights:
		var offset []float64
		sums.Weight, offset = s.floatWeights(l, op)
		epilogue = &rescale{gain: gains(op), offset: offset, ratio: op.RealResidual(), grid: p.grid(l.out)}
	case exact:
		sums.Weight, epilogue = floats(op.Weight), newRequantize(op, in, residual, l.out)
	default:
		sums.Weight, epilogue = floats(op.Weight), newRescale(op, in, residual, l.out, p)
	}
	s.add(inputs[0], sums, in.node)
	s.add(l.out.node, epilogue, inputs...)
}

// forConv is what convolutions read of a tensor.
func (t signal) forConv() signal {
	if t.copied != "" {
		t.node, t.codes = t.copied, true
	}
	return t
}

// floatWeights are the float weights in steps of the integer ones, and the
// biases in steps of the output.
func (s *simulator) floatWeights(l *layer, op *int8.Conv) ([]float32, []float64) {
	weight, bias := s.parameters(l)
	weight = slices.Clone(weight)
	depth := op.Parameters().Depth()
	for i, w := range weight {
		weight[i] = float32(float64(w) / float64(op.Scale[i/depth]))
	}
	for o := range bias {
		bias[o] /= float64(l.Out.Scale)
	}
	return weight, bias
}

// parameters are the weights and biases of the float layer, for raw pixels where it
// reads the image.
func (s *simulator) parameters(l *layer) ([]float32, []float64) {
	p := l.unit.Op.(models.Linear).Parameters() // newSimulator has compared the kinds
	weight, bias := p.Weight, quantize.FloatBias(p.Bias, p.Out)
	if l.Inputs[0] == tensor.Input {
		weight, bias = quantize.FoldImage(weight, bias, l.in[0].Shape.C, s.float.Preprocess)
	}
	return weight, bias
}

func largestSum(op int8.Op, in *int8.Tensor) (bound int) {
	c, rows := op.(*int8.Conv), op.Parameters()
	groupIn, groupOut := c.InC/c.Groups, c.OutC/c.Groups
	for o := range c.OutC {
		var most, least int
		for k, w := range rows.Row(o) {
			lo, hi := codes(in, o/groupOut*groupIn+k%groupIn)
			most += max(int(w)*hi, int(w)*lo)
			least += min(int(w)*hi, int(w)*lo)
		}
		bound = max(bound, most, -least)
	}
	return bound
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

func newRequantize(c *int8.Conv, in signal, residual []signal, out signal) *requantize {
	r := &requantize{conv: c, bias: centredBias(c, in.Tensor), zero: int32(out.ZeroAt(0))}
	r.low, r.high = out.Limits()
	if len(residual) > 0 {
		r.residual = residual[0].Tensor
	}
	return r
}

// centredBias is the bias for sums of w * (q - Zero) in place of w * q.
func centredBias(c *int8.Conv, in *int8.Tensor) []int32 {
	rows, groupIn, groupOut := c.Parameters(), c.InC/c.Groups, c.OutC/c.Groups
	bias := slices.Clone(c.Bias)
	for o := range bias {
		bias[o] += int32(quantize.ZeroSum(rows.Row(o), in, o/groupOut*groupIn, groupIn))
	}
	return bias
}

// Kind implements models.Op.
func (*requantize) Kind() string { return "requantize" }

// Compile implements fp32.Compiler.
func (r *requantize) Compile() fp32.Operation {
	return fp32.Operation{Run: r.run, OverX: true, OverZ: true}
}

func (r *requantize) run(w fp32.Worker, y []float32, in [][]float32) {
	x, z := in[0], fp32.Residual(in)
	channels := len(r.bias)
	from, to := w.Part(len(y)/channels, 1)
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
func newRescale(c *int8.Conv, in signal, residual []signal, out signal, p Precision) *rescale {
	r := &rescale{gain: gains(c), offset: make([]float64, c.OutC), ratio: c.RealResidual(), grid: p.grid(out)}
	for o, b := range centredBias(c, in.Tensor) {
		r.offset[o] = float64(float64(b)*r.gain[o]) - float64(out.ZeroAt(0))
		if len(residual) > 0 {
			r.offset[o] += float64(r.ratio * float64(residual[0].ZeroAt(o)))
		}
	}
	return r
}

// gains are the steps of the output in one of the accumulator.
func gains(c *int8.Conv) []float64 {
	gains := make([]float64, c.OutC)
	for o := range gains {
		gains[o] = c.RealMultiplier(o)
	}
	return gains
}

// Kind implements models.Op.
func (*rescale) Kind() string { return "rescale" }

// Compile implements fp32.Compiler.
func (r *rescale) Compile() fp32.Operation {
	return fp32.Operation{Run: r.run, OverX: true, OverZ: true}
}

func (r *rescale) run(w fp32.Worker, y []float32, in [][]float32) {
	x, z := in[0], fp32.Residual(in)
	channels := len(r.gain)
	from, to := w.Part(len(y)/channels, 1)
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
