package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Conv is a two-dimensional convolution.
type Conv struct {
	tensor.Window
	Groups    int
	InC, OutC int
	Weight    []float32 // OHWI: [OutC][KH][KW][InC/Groups]
	Bias      []float32 // [OutC], or nil
}

// Kind implements Op.
func (*Conv) Kind() string { return "conv" }

// Infer implements Op.
func (c *Conv) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	if c.Groups < 1 || c.InC%c.Groups != 0 || c.OutC%c.Groups != 0 || c.OutC < 1 {
		return tensor.Shape{}, fmt.Errorf("%d groups do not divide %d input and %d output channels", c.Groups, c.InC, c.OutC)
	}
	if in[0].C != c.InC {
		return tensor.Shape{}, fmt.Errorf("input has %d channels, the weights expect %d", in[0].C, c.InC)
	}
	h, w, err := c.Window.Infer(in[0].H, in[0].W)
	if err != nil {
		return tensor.Shape{}, err
	}
	if err := length("weight", c.Weight, c.OutC*c.KH*c.KW*(c.InC/c.Groups)); err != nil {
		return tensor.Shape{}, err
	}
	if c.Bias != nil {
		if err := length("bias", c.Bias, c.OutC); err != nil {
			return tensor.Shape{}, err
		}
	}
	return tensor.Shape{H: h, W: w, C: c.OutC}, nil
}

// Digest implements Op.
func (c *Conv) Digest(w io.Writer) {
	fmt.Fprintf(w, " %v %d %d %d\n", c.Window, c.Groups, c.InC, c.OutC)
	digestFloats(w, c.Weight, c.Bias)
}

// Parameters implements Linear.
func (c *Conv) Parameters() Parameters {
	return Parameters{Weight: c.Weight, Bias: c.Bias, Out: c.OutC, Groups: c.Groups}
}

// WithParameters implements Linear.
func (c *Conv) WithParameters(weight, bias []float32) Linear {
	changed := *c
	changed.Weight, changed.Bias = weight, bias
	return &changed
}
