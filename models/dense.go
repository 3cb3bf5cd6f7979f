package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Dense is a fully connected layer over all values of its input.
type Dense struct {
	In, Out int
	Weight  []float32 // [Out][In]
	Bias    []float32 // [Out], or nil
}

// Kind implements Op.
func (*Dense) Kind() string { return "dense" }

// Infer implements Op.
func (d *Dense) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	if in[0].Elements() != d.In || d.Out < 1 {
		return tensor.Shape{}, fmt.Errorf("input %v has %d values, the weights expect %d inputs and %d outputs", in[0], in[0].Elements(), d.In, d.Out)
	}
	if err := length("weight", d.Weight, d.In*d.Out); err != nil {
		return tensor.Shape{}, err
	}
	if d.Bias != nil {
		if err := length("bias", d.Bias, d.Out); err != nil {
			return tensor.Shape{}, err
		}
	}
	return tensor.Shape{H: 1, W: 1, C: d.Out}, nil
}

// Digest implements Op.
func (d *Dense) Digest(w io.Writer) {
	fmt.Fprintf(w, " %d %d\n", d.In, d.Out)
	digestFloats(w, d.Weight, d.Bias)
}

// Parameters implements Linear.
func (d *Dense) Parameters() Parameters {
	return Parameters{Weight: d.Weight, Bias: d.Bias, Out: d.Out, Groups: 1}
}

// WithParameters implements Linear.
func (d *Dense) WithParameters(weight, bias []float32) Linear {
	changed := *d
	changed.Weight, changed.Bias = weight, bias
	return &changed
}
