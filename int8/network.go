// Package int8 is the arithmetic contract of the project: the quantized
// network as data, the integer formula of every operation, and a plain
// reference that defines the right answer. Every kernel on every machine gives
// the reference's bits, for any number of threads.
//
// # Number formats
//
// An activation q stands for the real value Scale * (q - Zero). Activations
// are int8. Behind a ReLU the zero point is -128, so that all 256 codes are
// used and saturation at -128 is the ReLU itself. Weights are int8 in
// [-127, 127], symmetric, with one scale per output channel. Accumulators are
// int32 and never overflow: Validate proves it from the weights.
//
// # Int16 precision
//
// Where 8 bits lose too much, a layer's output may be int16 instead: symmetric,
// with zero point 0 and values in [-Bound, Bound], or in [0, Bound] behind a
// ReLU (NonNegative). Bound is at most 32767. It is the quantizer's choice: less
// where a layer that reads the tensor would leave int32 otherwise (BoundFor), or
// where a global sum over the plane would leave int16. Input, residual and
// output of a convolution are int8 or int16 independently of each other, by the
// formulas below. Pooling gives the type that it reads. The image is int8.
//
// # Convolution
//
// With acc the sum of w * q over the window (padding reads the input's zero
// point) and per output channel c:
//
//	a = (acc + Bias[c]) << Shift
//	v = (2*a*Multiplier[c] + 1<<31) >> 32        (SQRDMULH)
//	v = v + residual*Residual                    (where there is one)
//	q = saturate8((v + 32) >> 6)                 (SQRSHRN by 6)
//
// so that Multiplier = round(realScale * 2^(37-Shift)), realScale being what a
// step of the accumulator, input scale times weight scale, is worth in steps of
// the output: QuantizeMultiplier and ShiftFor. The zero points of input,
// residual and output are all folded into Bias. Residual is 64 times the ratio
// of the residual's scale to the output's, an exact integer by the quantizer's
// choice of the output's scale: convolution, residual add and ReLU share one
// rounding.
//
// An int16 output is clamped to its own limits instead of saturated to int8. An
// int16 residual may have steps finer than v's, which are 1/64 of the output's:
// its ratio has ResidualShift fraction bits (QuantizeResidual), and no scale
// needs to move for it:
//
//	v = v + (residual*Residual + 1<<(ResidualShift-1)) >> ResidualShift
//
// # Pooling and classifier
//
// The global average pool keeps its sum of q - Zero as int16, the division is
// part of its scale. Only the fully connected layer reads sums: it multiplies
// int16 by int8 into int32 logits, which are never requantized. Logit c is
// Scale[c] times its int32 value.
package int8

import (
	"fmt"
	"math"

	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Network is a quantized network: layers in topological order, the last one
// giving the int32 logits. It is never modified once built.
type Network struct {
	Name       string
	Input      Tensor // the image: RGB pixels minus 128
	Layers     []Layer
	Preprocess preprocess.Spec
	Classes    []labels.Class
	Provenance Provenance
	SelfTest   *SelfTest // nil where there is none
}

// InputName is the name by which layers refer to the image.
const InputName = "image"

// Layer is one operation. Its output tensor carries the layer's name.
type Layer struct {
	Name   string
	Inputs []string
	Op     Op
	Out    Tensor
}

// Value is the built-in int8, whose name an import of this package hides.
type Value = int8

// Type is the integer type of a tensor.
type Type string

// The types of tensors: activations are Int8 or Int16, pooled sums Int16 and
// logits Int32.
const (
	Int8  Type = "int8"
	Int16 Type = "int16"
	Int32 Type = "int32"
)

// Size is the number of bytes of one value.
func (t Type) Size() int {
	switch t {
	case Int8:
		return 1
	case Int16:
		return 2
	default:
		return 4
	}
}

// Tensor describes the values of one tensor.
type Tensor struct {
	Shape tensor.Shape `json:"shape"`
	Type  Type         `json:"type"`
	// Scale is the real value of one step; 0 for logits, whose scales are per
	// class, and for the image, whose scales are folded into the first
	// convolution.
	Scale float32 `json:"scale"`
	// Zero is the value that stands for real zero: one for all channels or one
	// per channel. Empty for all but int8 activations, where it is 0.
	Zero []int8 `json:"zero,omitempty"`
	// Bound is the largest magnitude of an int16 value. That of sums is
	// SumBound of the tensor that is added up. 0 for other types.
	Bound int32 `json:"bound,omitempty"`
	// NonNegative says that an int16 activation is at least 0, as behind a ReLU.
	NonNegative bool `json:"non_negative,omitempty"`
}

// Limits are the least and the greatest value of an activation.
func (t *Tensor) Limits() (low, high int32) {
	switch {
	case t.Type == Int8:
		return math.MinInt8, math.MaxInt8
	case t.NonNegative:
		return 0, t.Bound
	default:
		return -t.Bound, t.Bound
	}
}

// SumBound is the Bound of the sums over an activation's plane.
func (t *Tensor) SumBound() int64 {
	reach := int64(t.Bound)
	if t.Type == Int8 {
		reach = math.MaxUint8
	}
	return reach * int64(t.Shape.H) * int64(t.Shape.W)
}

// magnitude is the largest |q|.
func (t *Tensor) magnitude() int64 {
	low, high := t.Limits()
	return int64(max(-low, high))
}

// ZeroAt is the zero point of channel c.
func (t *Tensor) ZeroAt(c int) int8 {
	switch len(t.Zero) {
	case 0:
		return 0
	case 1:
		return t.Zero[0]
	default:
		return t.Zero[c]
	}
}

// Provenance says where a quantized network comes from.
type Provenance struct {
	Tool       string `json:"tool"`                    // program and version
	Source     string `json:"source"`                  // the float model's file name
	SourceHash string `json:"source_sha256"`           // SHA-256 over the float model's weights and topology
	Method     string `json:"method"`                  // how activation ranges were chosen, and corrections
	Images     int    `json:"images"`                  // number of calibration images
	ImagesHash string `json:"images_sha256,omitempty"` // SHA-256 over the calibration images' pixels
	Seed       uint64 `json:"seed"`                    // which images were drawn
	RangesHash string `json:"ranges_sha256,omitempty"` // SHA-256 of the range table, where one was given
}

// Op is one of *Conv, *MaxPool, *AveragePool, GlobalAveragePool and *Dense.
type Op interface {
	// Kind is the operation's name in files and reports.
	Kind() string
	// check reports what is wrong with the operation between these tensors.
	check(in []*Tensor, out *Tensor) error
}

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

// MaxPool takes the maximum over each window; padding never wins.
type MaxPool struct{ tensor.Window }

// AveragePool averages over each window, rounding half up. Padding counts as
// zeros if CountPad is set, and is left out of sum and count otherwise.
type AveragePool struct {
	tensor.Window
	CountPad bool
}

// GlobalAveragePool adds up q - Zero of each channel over the plane, in int16. Its
// output's scale is the input's divided by the number of pixels.
type GlobalAveragePool struct{}

// Dense is the fully connected classifier on int16 sums.
type Dense struct {
	In, Out int
	Weight  []int8    // [Out][In]
	Bias    []int32   // [Out], in accumulator units
	Scale   []float32 // [Out], real value of one logit step
}

func (*Conv) Kind() string             { return "conv" }
func (*MaxPool) Kind() string          { return "maxpool" }
func (*AveragePool) Kind() string      { return "avgpool" }
func (GlobalAveragePool) Kind() string { return "globalsum" }
func (*Dense) Kind() string            { return "dense" }

// Logits is the shape of the network's output: its number of classes.
func (n *Network) Logits() *Dense {
	return n.Layers[len(n.Layers)-1].Op.(*Dense)
}

// Scaled turns int32 logits into real ones.
func (d *Dense) Scaled(dst []float32, logits []int32) {
	for i, v := range logits {
		dst[i] = float32(v) * d.Scale[i]
	}
}

// MACs is the number of multiply-accumulates of the layer.
func (l *Layer) MACs() int64 {
	switch op := l.Op.(type) {
	case *Conv:
		return int64(l.Out.Shape.Elements()) * int64(op.depth())
	case *Dense:
		return int64(op.In) * int64(op.Out)
	}
	return 0
}

// WeightBytes is the memory of the layer's weights, biases and multipliers.
func (l *Layer) WeightBytes() int {
	switch op := l.Op.(type) {
	case *Conv:
		return len(op.Weight) + 4*len(op.Bias) + 4*len(op.Multiplier)
	case *Dense:
		return len(op.Weight) + 4*len(op.Bias)
	}
	return 0
}

// depth is the number of products in one accumulator.
func (c *Conv) depth() int { return c.KH * c.KW * (c.InC / c.Groups) }

func (l *Layer) String() string {
	return fmt.Sprintf("layer %q (%s)", l.Name, l.Op.Kind())
}
