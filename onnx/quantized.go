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
	"slices"

	"edgeclassify/int8"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// Options of WriteQuantized.
type Options struct {
	Format Format
	// Exact leaves the sum of convolution and residual to a single rounding, as
	// in int8.Conv. A runtime then computes these convolutions in floating
	// point, and the classifier as well. Without it the convolution is rounded
	// on its own before the sum, with a scale that clips nothing, and the
	// classifier's input to 8 bits: integer operations, a little less precise.
	Exact bool
}

// Format is the types of activations and weights, by the names of ONNX Runtime's
// documentation. Codes and zero points of uint8 are those of int8 plus 128: the real
// values are the same.
type Format string

// The formats. On x86 CPUs without VNNI, ONNX Runtime adds products with int8 weights in
// 16 bits, which saturate: ResNet50's logits then have an SQNR of 4 dB instead of 29 as
// U8S8, EfficientNet-Lite0's of 15 instead of 27 as S8S8.
const (
	U8U8 Format = "u8u8" // right on every CPU
	S8S8 Format = "s8s8" // what some tools want
	U8S8 Format = "u8s8" // the fastest on CPUs with VNNI
)

// Formats are all formats, the default first.
func Formats() []Format { return []Format{U8U8, S8S8, U8S8} }

// WriteQuantized writes a quantized model. Its input is the image in
// NCHW order: RGB pixels as uint8, or pixels minus 128 as int8 if activations
// are int8. Its output are the logits in float32.
//
// Weights have the scale per output channel that the layer's
// multiplier stands for, biases int32 without the zero points that int8.Conv
// folds into them. Saturation at the zero point of the output is the ReLU.
//
// An int16 activation, which has limits of its own, is written as real numbers
// rounded to its steps. The layers around it are computed as with Exact.
func WriteQuantized(w io.Writer, m *q8.Model, o Options) error {
	if o.Format == "" {
		o.Format = U8U8
	}
	if !slices.Contains(Formats(), o.Format) {
		return fmt.Errorf("onnx: unknown format %q, want one of %q", o.Format, Formats())
	}
	e := exporter{Options: o, network: m.Network, image: m.Input, tensors: map[tensor.ID]int8.Tensor{}}
	// The image gets a scale; its zero points stay in the first bias.
	image := m.Input
	image.Scale, image.Zero = 1, []int8.Value{0}
	e.tensors[tensor.Input] = image
	e.input(int8.InputName, e.codeType(), shape(image.Shape)...)
	for i := range m.Layers {
		l := &layer{&m.Layers[i], m.Topology().Names(m.Layers[i].Inputs)}
		write, ok := quantizedOps[l.Op.Kind()]
		if !ok {
			return fmt.Errorf("onnx: %v has no ONNX form", l)
		}
		if err := write(&e, l); err != nil {
			return fmt.Errorf("onnx: %v: %w", l, err)
		}
		e.tensors[tensor.Output(i)] = l.Out
	}
	last := m.Layers[len(m.Layers)-1]
	e.output(last.Name, float, 1, last.Out.Shape.C)
	properties := metadata(m.Preprocess, m.Classes, m.Activation)
	properties["provenance"] = m.Provenance
	return e.write(w, m.Name, m.Name+", int8", properties)
}

// layer is a layer with the names of its inputs.
type layer struct {
	*int8.Layer
	inputs []string
}

// quantizedOps write the operations of quantized networks by their kind.
var quantizedOps = map[string]func(e *exporter, l *layer) error{
	"conv": quantizedConv, "dense": quantizedDense, "maxpool": quantizedMaxPool, "avgpool": quantizedAveragePool,
	"globalsum": quantizedGlobalAveragePool, "mean": quantizedMean, "add": quantizedAdd, "mul": quantizedMul,
	"concat": quantizedConcat, "gather": quantizedGather, "lookup": quantizedLookup,
	"embedding": quantizedEmbedding,
}

type exporter struct {
	graph
	Options
	network *int8.Network
	image   int8.Tensor               // with its zero points per channel
	tensors map[tensor.ID]int8.Tensor // as the model quantizes them
}

// real is the real values of a tensor of the network.
func (e *exporter) real(name, x string, t int8.Tensor) string {
	if t.Type == int8.Int16 {
		return x
	}
	return e.dequantize(name, x, t.Scale, t.Zero[0])
}

// scaled is the real values of an input, with a scale of the layer's.
func (e *exporter) scaled(l *layer, input int, suffix string, scale float64) string {
	t, name := e.tensors[l.Inputs[input]], l.Name+"."+suffix
	if t.Type == int8.Int8 {
		return e.dequantize(name, l.inputs[input], float32(scale), t.Zero[0])
	}
	return e.node("Mul", name, name, []string{l.inputs[input],
		constant(&e.graph, name+".ratio", []float32{float32(scale / float64(t.Scale))})})
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

// weight writes quantized weights with a scale per output channel.
func (e *exporter) weight(name string, values []int8.Value, scales []float32, dims ...int) string {
	if e.Format != U8U8 {
		return parameter(&e.graph, name, values, 0, scales, dims...)
	}
	return parameter(&e.graph, name, moved(values), 128, scales, dims...)
}

// parameter writes quantized weights or biases with a scale per output channel.
func parameter[T int8.Value | uint8 | int32](g *graph, name string, values []T, zero T, scales []float32, dims ...int) string {
	return g.node("DequantizeLinear", name, name, []string{
		constant(g, name+".quantized", values, dims...),
		constant(g, name+".scale", scales, len(scales)),
		constant(g, name+".zero", slices.Repeat([]T{zero}, len(scales)), len(scales)),
	}, integer("axis", 0))
}

// moved is codes as uint8.
func moved(values []int8.Value) []uint8 {
	out := make([]uint8, len(values))
	for i, v := range values {
		out[i] = uint8(int(v) + 128)
	}
	return out
}

// codes writes activations as constants.
func (e *exporter) codes(name string, values []int8.Value, dims ...int) string {
	if e.Format == S8S8 {
		return constant(&e.graph, name, values, dims...)
	}
	return constant(&e.graph, name, moved(values), dims...)
}

func (e *exporter) codeType() dataType {
	if e.Format == S8S8 {
		return signed8
	}
	return unsigned8
}
