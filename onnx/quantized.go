// Package onnx writes networks as ONNX models, for other runtimes: quantized
// ones in the QDQ format, float ones plain. Nodes and tensors carry the names
// of the layers.
//
// ONNX: https://github.com/onnx/onnx/blob/main/docs/IR.md. QDQ: every quantized
// tensor goes through DequantizeLinear before an operation in floating point
// and through QuantizeLinear behind it; the runtime fuses them into integer
// operations, https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html.
package onnx

import (
	"fmt"
	"io"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// Options of WriteQuantized.
type Options struct {
	// Unsigned writes activations as uint8, all codes and zero points moved up
	// by 128: the real values are the same. ONNX Runtime runs these faster on
	// x86.
	Unsigned bool
	// Exact leaves the sum of convolution and residual to a single rounding, as
	// in int8.Conv. A runtime then computes these convolutions in floating
	// point, and the classifier as well. Without it the convolution is rounded
	// on its own before the sum, with a scale that clips nothing, and the
	// classifier's input to 8 bits: integer operations, a little less precise.
	Exact bool
}

// WriteQuantized writes a valid quantized network. Its input is the picture in
// NCHW order: RGB pixels as uint8, or pixels minus 128 as int8 if activations
// are signed. Its output are the logits in float32.
//
// Weights are int8 with the scale per output channel that the layer's
// multiplier stands for, biases int32 without the zero points that int8.Conv
// folds into them. Saturation at the zero point of the output is the ReLU.
//
// An int16 activation, which has limits of its own, is written as real numbers
// rounded to its steps. The layers around it are computed as with Exact.
func WriteQuantized(w io.Writer, n *int8.Network, o Options) error {
	// The image gets a scale; its zero points stay in the first bias.
	image := n.Input
	image.Scale, image.Zero = 1, []int8.Value{0}
	e := exporter{Options: o, image: n.Input, tensors: map[string]int8.Tensor{int8.InputName: image}}
	e.input(int8.InputName, e.codeType(), shape(image.Shape)...)
	for i := range n.Layers {
		l := &n.Layers[i]
		if err := e.layer(l); err != nil {
			return fmt.Errorf("onnx: %v: %w", l, err)
		}
		e.tensors[l.Name] = l.Out
	}
	last := n.Layers[len(n.Layers)-1]
	e.output(last.Name, float, 1, last.Out.Shape.C)
	return e.write(w, n.Name, n.Name+", int8", map[string]any{"preprocess": n.Preprocess, "provenance": n.Provenance})
}

type exporter struct {
	graph
	Options
	image   int8.Tensor            // with its zero points per channel
	tensors map[string]int8.Tensor // by name, as the model quantizes them
}

func (e *exporter) layer(l *int8.Layer) error {
	in := e.tensors[l.Inputs[0]]
	switch op := l.Op.(type) {
	case *int8.Conv:
		return e.conv(l, op, in)
	case *int8.MaxPool:
		e.node("MaxPool", l.Name, l.Name, l.Inputs, geometry(op.Window)...)
	case *int8.AveragePool:
		x := e.real(l.Name+".input", l.Inputs[0], in)
		y := e.node("AveragePool", l.Name, l.Name+".real", []string{x}, averaging(op.Window, op.CountPad)...)
		e.round(l.Name, y, l.Out)
	case int8.GlobalAveragePool: // as the average, in floating point
		x := e.real(l.Name+".input", l.Inputs[0], in)
		e.node("GlobalAveragePool", l.Name, l.Name, []string{x})
	case *int8.Dense:
		e.dense(l, op, in)
	}
	return nil
}

// conv writes a convolution, whose sum over weights * (input - zero point) + bias
// has a real value of the channel's scale per step.
func (e *exporter) conv(l *int8.Layer, c *int8.Conv, in int8.Tensor) error {
	scales, weightScales := make([]float32, c.OutC), make([]float32, c.OutC)
	for o := range scales {
		step := factor(c, o) * float64(l.Out.Scale)
		scales[o], weightScales[o] = float32(step), float32(step/float64(in.Scale))
	}
	bias, err := e.unfold(l, c, in)
	if err != nil {
		return err
	}
	source, window := l.Inputs[0], c.Window
	if source == int8.InputName {
		source = e.border(l.Name, window)
		window.Top, window.Left, window.Bottom, window.Right = 0, 0, 0, 0
	}
	depth := c.InC / c.Groups
	y := e.node("Conv", l.Name, l.Name+".real", []string{
		e.real(l.Name+".input", source, in),
		parameter(&e.graph, l.Name+".weight", oihw(c.Weight, c.KH*c.KW, depth), weightScales, c.OutC, depth, c.KH, c.KW),
		parameter(&e.graph, l.Name+".bias", bias, scales, c.OutC),
	}, append(geometry(window), integer("group", c.Groups))...)
	if c.Residual != 0 {
		y = e.add(l, y, residualRatio(c))
	}
	e.round(l.Name, y, l.Out)
	return nil
}

// factor is what one step of channel o's accumulator is worth in steps of the
// output.
func factor(c *int8.Conv, o int) float64 {
	return math.Ldexp(float64(c.Multiplier[o]), int(c.Shift)-31) / int8.OneOut
}

// residualRatio is the residual's scale in that of the output.
func residualRatio(c *int8.Conv) float64 {
	return math.Ldexp(float64(c.Residual), -int(c.ResidualShift)) / int8.OneOut
}

// unfold takes the zero points of input, residual and output out of the biases.
func (e *exporter) unfold(l *int8.Layer, c *int8.Conv, in int8.Tensor) ([]int32, error) {
	offset := float64(l.Out.ZeroAt(0))
	if c.Residual != 0 {
		residual := e.tensors[l.Inputs[1]]
		offset -= float64(residualRatio(c) * float64(residual.ZeroAt(0)))
	}
	bias, depth := make([]int32, c.OutC), len(c.Weight)/c.OutC
	for o := range bias {
		sum := 0
		for _, w := range c.Weight[o*depth : (o+1)*depth] {
			sum += int(w)
		}
		b := float64(int(c.Bias[o])+sum*int(in.ZeroAt(0))) - math.Round(offset/factor(c, o))
		if math.Abs(b) > math.MaxInt32 {
			return nil, fmt.Errorf("channel %d: the bias without zero points is %g steps of the accumulator, beyond int32", o, b)
		}
		bias[o] = int32(b)
	}
	return bias, nil
}

// add writes the residual sum. ratio is the residual's scale in that of the
// output.
func (e *exporter) add(l *int8.Layer, y string, ratio float64) string {
	residual := e.tensors[l.Inputs[1]]
	scale := ratio * float64(l.Out.Scale)
	var x string
	if residual.Type == int8.Int16 {
		x = e.node("Mul", l.Name+".residual", l.Name+".residual", []string{l.Inputs[1],
			constant(&e.graph, l.Name+".residual.ratio", []float32{float32(scale / float64(residual.Scale))})})
	} else {
		if !e.Exact && l.Out.Type == int8.Int8 {
			y = e.roundSummand(l, y, residual, ratio)
		}
		x = e.dequantize(l.Name+".residual", l.Inputs[1], float32(scale), residual.Zero[0])
	}
	return e.node("Add", l.Name+".add", l.Name+".added", []string{y, x})
}

// roundSummand quantizes a convolution before the residual sum. Its range is that of
// the output less that of the residual: beyond it the output saturates anyway.
func (e *exporter) roundSummand(l *int8.Layer, y string, residual int8.Tensor, ratio float64) string {
	lowest := -128 - float64(l.Out.Zero[0]) - float64(ratio*(127-float64(residual.Zero[0])))
	scale, zero := float32((1+ratio)*float64(l.Out.Scale)), int8.Value(math.Round(-128-lowest/(1+ratio)))
	e.quantize(l.Name+".convolved", y, scale, zero)
	return e.dequantize(l.Name+".summand", l.Name+".convolved", scale, zero)
}

// dense writes the classifier. The average pool's values have more than 8 bits;
// they stay real, or are rounded in steps that suit the picture.
func (e *exporter) dense(l *int8.Layer, d *int8.Dense, in int8.Tensor) {
	name, g := l.Name, &e.graph
	scales, reals := make([]float32, d.Out), make([]float32, d.Out)
	for o, s := range d.Scale {
		scales[o], reals[o] = s/in.Scale, float32(d.Bias[o])*s
	}
	x := e.node("Flatten", name+".flatten", name+".input", l.Inputs)
	bias := constant(g, name+".bias", reals, d.Out)
	if e.Exact {
		weight := parameter(g, name+".weight", d.Weight, scales, d.Out, d.In)
		e.node("Gemm", name, name, []string{x, weight, bias}, integer("transB", 1))
		return
	}
	codes, scale, zero := name+".codes", name+".codes.scale", name+".codes.zero"
	e.operation("DynamicQuantizeLinear", name+".quantize", []string{codes, scale, zero}, []string{x})
	weight := constant(g, name+".weight", transpose(d.Weight, d.Out, d.In), d.In, d.Out)
	sum := e.node("MatMulInteger", name, name+".sum", []string{codes, weight, zero})
	steps := e.node("Mul", name+".steps", name+".steps", []string{scale, constant(g, name+".scale", scales, d.Out)})
	y := e.node("Cast", name+".cast", name+".real", []string{sum}, integer("to", int(float)))
	y = e.node("Mul", name+".mul", name+".product", []string{y, steps})
	e.node("Add", name+".add", name, []string{y, bias})
}

// border surrounds the image with a window's padding: the image's zero points,
// which are no single number as convolutions in ONNX pad with.
func (e *exporter) border(layer string, w tensor.Window) string {
	s := e.image.Shape
	rows := e.surround(layer+".rows", int8.InputName, 2, tensor.Shape{H: w.Top, W: s.W}, tensor.Shape{H: w.Bottom, W: s.W})
	height := w.Top + s.H + w.Bottom
	return e.surround(layer+".padded", rows, 3, tensor.Shape{H: height, W: w.Left}, tensor.Shape{H: height, W: w.Right})
}

// surround puts padding before and behind a tensor along an axis.
func (e *exporter) surround(name, x string, axis int, before, behind tensor.Shape) string {
	inputs := append(e.padding(name+".before", before), x)
	inputs = append(inputs, e.padding(name+".behind", behind)...)
	if len(inputs) == 1 {
		return x
	}
	return e.node("Concat", name, name, inputs, integer("axis", axis))
}

// padding is a constant of the image's zero points, or nothing.
func (e *exporter) padding(name string, s tensor.Shape) []string {
	if s.H*s.W == 0 {
		return nil
	}
	var values []int8.Value
	for _, zero := range e.image.Zero {
		values = append(values, slices.Repeat([]int8.Value{zero}, s.H*s.W)...)
	}
	return []string{e.codes(name, values, 1, len(e.image.Zero), s.H, s.W)}
}

// real is the real values of a tensor of the network.
func (e *exporter) real(name, x string, t int8.Tensor) string {
	if t.Type == int8.Int16 {
		return x
	}
	return e.dequantize(name, x, t.Scale, t.Zero[0])
}

// round rounds the real tensor x to a tensor of the network, and names it.
func (e *exporter) round(name, x string, t int8.Tensor) {
	if t.Type == int8.Int8 {
		e.quantize(name, x, t.Scale, t.Zero[0])
		return
	}
	number := func(suffix string, v float32) string { return constant(&e.graph, name+suffix, []float32{v}) }
	low, high := t.Limits()
	scale := number(".scale", t.Scale)
	x = e.node("Div", name+".div", name+".steps", []string{x, scale})
	x = e.node("Round", name+".round", name+".rounded", []string{x})
	x = e.node("Clip", name+".clip", name+".clipped", []string{x, number(".low", float32(low)), number(".high", float32(high))})
	e.node("Mul", name+".quantize", name, []string{x, scale})
}

// quantize rounds the real tensor x to codes, and names them.
func (e *exporter) quantize(name, x string, scale float32, zero int8.Value) {
	e.node("QuantizeLinear", name+".quantize", name, []string{x,
		constant(&e.graph, name+".scale", []float32{scale}), e.codes(name+".zero", []int8.Value{zero})})
}

// dequantize gives codes their real values.
func (e *exporter) dequantize(name, codes string, scale float32, zero int8.Value) string {
	return e.node("DequantizeLinear", name, name, []string{codes,
		constant(&e.graph, name+".scale", []float32{scale}), e.codes(name+".zero", []int8.Value{zero})})
}

// parameter writes quantized weights or biases with a scale per output channel.
func parameter[T int8.Value | int32](g *graph, name string, values []T, scales []float32, dims ...int) string {
	return g.node("DequantizeLinear", name, name, []string{
		constant(g, name+".quantized", values, dims...),
		constant(g, name+".scale", scales, len(scales)),
		constant(g, name+".zero", make([]T, len(scales)), len(scales)),
	}, integer("axis", 0))
}

// codes writes activations as constants.
func (e *exporter) codes(name string, values []int8.Value, dims ...int) string {
	if !e.Unsigned {
		return constant(&e.graph, name, values, dims...)
	}
	moved := make([]uint8, len(values))
	for i, v := range values {
		moved[i] = uint8(int(v) + 128)
	}
	return constant(&e.graph, name, moved, dims...)
}

func (e *exporter) codeType() dataType {
	if e.Unsigned {
		return unsigned8
	}
	return signed8
}
