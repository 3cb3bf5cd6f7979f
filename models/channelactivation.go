package models

import (
	"errors"
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// ChannelActivation is an Activation that differs from channel to channel: f(x*in)/out, as
// equalization makes of one whose input and output have scales, or with a slope of the
// channel's own, as PReLU has (He et al., arXiv:1502.01852).
type ChannelActivation struct {
	Activation
	In, Out []float32 // scales; nil where all are 1
	Slopes  []float32 // in place of Alpha; nil where all have that
}

// Func is the function of a channel.
func (a *ChannelActivation) Func(c int) func(x float64) float64 {
	one := a.Activation
	if a.Slopes != nil {
		one.Alpha = a.Slopes[c]
	}
	f, in, out := one.Func(), 1.0, 1.0
	if a.In != nil {
		in = float64(a.In[c])
	}
	if a.Out != nil {
		out = float64(a.Out[c])
	}
	return func(x float64) float64 { return f(x*in) / out }
}

// Kind implements Op.
func (*ChannelActivation) Kind() string { return "channelactivation" }

// Infer implements Op.
func (a *ChannelActivation) Infer(in []tensor.Shape) (tensor.Shape, error) {
	shape, err := a.Activation.Infer(in)
	for _, of := range []struct {
		what   string
		values []float32
	}{{"scales of the input", a.In}, {"scales of the output", a.Out}, {"slopes", a.Slopes}} {
		if of.values != nil {
			err = errors.Join(err, length(of.what, of.values, shape.C))
		}
	}
	return shape, err
}

// Digest implements Op.
func (a *ChannelActivation) Digest(w io.Writer) {
	a.Activation.Digest(w)
	digestFloats(w, a.In, a.Out, a.Slopes)
	fmt.Fprintln(w)
}
