package models

import (
	"errors"
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// ChannelActivation is an Activation that differs from channel to channel: f(x*s)/s with
// the channel's scale s, as Equalize makes of one, or a slope of the channel's own, as PReLU
// has (He et al., arXiv:1502.01852).
type ChannelActivation struct {
	Activation
	Scales []float32 // nil where all are 1
	Slopes []float32 // in place of Alpha; nil where all have that
}

// Func is the function of a channel.
func (a *ChannelActivation) Func(c int) func(x float64) float64 {
	one := a.Activation
	if a.Slopes != nil {
		one.Alpha = a.Slopes[c]
	}
	f := one.Func()
	if a.Scales == nil {
		return f
	}
	s := float64(a.Scales[c])
	return func(x float64) float64 { return f(x*s) / s }
}

// Kind implements Op.
func (*ChannelActivation) Kind() string { return "channelactivation" }

// Infer implements Op.
func (a *ChannelActivation) Infer(in []tensor.Shape) (tensor.Shape, error) {
	shape, err := a.Activation.Infer(in)
	for what, v := range map[string][]float32{"scales": a.Scales, "slopes": a.Slopes} {
		if v != nil {
			err = errors.Join(err, length(what, v, shape.C))
		}
	}
	return shape, err
}

// Digest implements Op.
func (a *ChannelActivation) Digest(w io.Writer) {
	a.Activation.Digest(w)
	digestFloats(w, a.Scales, a.Slopes)
	fmt.Fprintln(w)
}
