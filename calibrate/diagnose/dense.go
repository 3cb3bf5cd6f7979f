package diagnose

import (
	"fmt"
	"slices"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

func writeDense(s *simulator, l *layer) {
	op, in := l.Op.(*int8.Dense), l.in[0]
	c := &head{in: op.In, weight: floats(op.Weight), bias: make([]float64, op.Out), scale: op.Scale}
	for o, b := range op.Bias {
		c.bias[o] = float64(int(b) + quantize.ZeroSum(op.Parameters().Row(o), in.Tensor, 0, in.Shape.C))
	}
	if l.precision.FloatWeights {
		c.weight, c.bias = s.parameters(l)
		step := in.Scale
		if l.Inputs[0] == tensor.Input {
			step = 1
		}
		c.scale = slices.Repeat([]float32{step}, op.Out)
		for o := range c.bias {
			c.bias[o] /= float64(step)
		}
	}
	s.add(l.out.node, c, in.node)
}

// head is the dense classifier with float64 sums, which hold every int32
// exactly: scale * (weight * x + bias), per class.
type head struct {
	operation
	in     int
	weight []float32 // [classes][in]
	bias   []float64
	scale  []float32
}

// Kind implements models.Op.
func (*head) Kind() string { return "head" }

// Infer implements models.Op.
func (c *head) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in) != 1 || in[0].Elements() != c.in {
		return tensor.Shape{}, fmt.Errorf("inputs %v do not have the %d values that the weights expect", in, c.in)
	}
	return tensor.Shape{H: 1, W: 1, C: len(c.bias)}, nil
}

// Compile implements fp32.Compiler.
func (c *head) Compile() fp32.Operation { return fp32.Operation{Run: c.run} }

func (c *head) run(w fp32.Worker, y []float32, in [][]float32) {
	x := in[0]
	from, to := w.Part(len(y), fp32.Line)
	for o := from; o < to; o++ {
		sum := c.bias[o]
		for i, weight := range c.weight[o*c.in : (o+1)*c.in] {
			sum += float64(float64(weight) * float64(x[i]))
		}
		y[o] = float32(float32(sum) * c.scale[o])
	}
}
