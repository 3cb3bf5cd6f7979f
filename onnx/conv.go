package onnx

import (
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func floatConv(n *floatNode, op models.Op) error {
	c := op.(*models.Conv)
	depth := c.InC / c.Groups
	n.parameter(".weight", oihw(c.Weight, c.KH*c.KW, depth), c.OutC, depth, c.KH, c.KW)
	n.parameter(".bias", c.Bias, c.OutC)
	return n.write("Conv", append(geometry(c.Window), integer("group", c.Groups))...)
}

// quantizedConv writes a convolution, whose sum over weights * (input - zero point) + bias
// has a real value of the channel's scale per step.
func quantizedConv(e *exporter, l *layer) error {
	c, in := l.Op.(*int8.Conv), e.tensors[l.Inputs[0]]
	scales, weightScales := make([]float32, c.OutC), make([]float32, c.OutC)
	for o := range scales {
		step := c.RealMultiplier(o) * float64(l.Out.Scale)
		scales[o], weightScales[o] = float32(step), float32(step/float64(in.Scale))
	}
	bias, err := e.unfold(l, c, in)
	if err != nil {
		return err
	}
	source, window := l.inputs[0], c.Window
	if l.Inputs[0] == tensor.Input {
		source = e.border(l.Name, window)
		window.Top, window.Left, window.Bottom, window.Right = 0, 0, 0, 0
	}
	depth := c.InC / c.Groups
	y := e.node("Conv", l.Name, l.Name+".real", []string{
		e.real(l.Name+".input", source, in),
		e.weight(l.Name+".weight", oihw(c.Weight, c.KH*c.KW, depth), weightScales, c.OutC, depth, c.KH, c.KW),
		parameter(&e.graph, l.Name+".bias", bias, 0, scales, c.OutC),
	}, append(geometry(window), integer("group", c.Groups))...)
	if c.Residual != 0 {
		y = e.add(l, y, c.RealResidual())
	}
	e.round(l.Name, y, l.Out)
	return nil
}

// unfold takes the zero points of input, residual and output out of the biases.
func (e *exporter) unfold(l *layer, c *int8.Conv, in int8.Tensor) ([]int32, error) {
	offset := float64(l.Out.ZeroAt(0))
	if c.Residual != 0 {
		residual := e.tensors[l.Inputs[1]]
		offset -= float64(c.RealResidual() * float64(residual.ZeroAt(0)))
	}
	bias, depth := make([]int32, c.OutC), len(c.Weight)/c.OutC
	for o := range bias {
		sum := 0
		for _, w := range c.Weight[o*depth : (o+1)*depth] {
			sum += int(w)
		}
		b := float64(int(c.Bias[o])+sum*int(in.ZeroAt(0))) - math.Round(offset/c.RealMultiplier(o))
		if math.Abs(b) > math.MaxInt32 {
			return nil, fmt.Errorf("channel %d: the bias without zero points is %g steps of the accumulator, beyond int32", o, b)
		}
		bias[o] = int32(b)
	}
	return bias, nil
}

// add writes the residual sum. ratio is the residual's scale in that of the
// output.
func (e *exporter) add(l *layer, y string, ratio float64) string {
	residual := e.tensors[l.Inputs[1]]
	scale := ratio * float64(l.Out.Scale)
	if !e.Exact && residual.Type == int8.Int8 && l.Out.Type == int8.Int8 {
		y = e.roundSummand(l, y, residual, ratio)
	}
	x := e.scaled(l, 1, "residual", scale)
	return e.node("Add", l.Name+".add", l.Name+".added", []string{y, x})
}

// roundSummand quantizes a convolution before the residual sum. Its range is that of
// the output less that of the residual: beyond it the output saturates anyway.
func (e *exporter) roundSummand(l *layer, y string, residual int8.Tensor, ratio float64) string {
	lowest := -128 - float64(l.Out.Zero[0]) - float64(ratio*(127-float64(residual.Zero[0])))
	scale, zero := float32((1+ratio)*float64(l.Out.Scale)), int8.Value(math.Round(-128-lowest/(1+ratio)))
	e.quantize(l.Name+".convolved", y, scale, zero)
	return e.dequantize(l.Name+".summand", l.Name+".convolved", scale, zero)
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
