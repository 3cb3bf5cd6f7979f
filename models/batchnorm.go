package models

import (
	"errors"
	"fmt"
	"io"
	"math"

	"edgeclassify/tensor"
)

// BatchNorm is inference-time batch normalization:
// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel.
type BatchNorm struct {
	Gamma, Beta, Mean, Variance []float32
	Epsilon                     float32
}

// Kind implements Op.
func (*BatchNorm) Kind() string { return "batchnorm" }

// Infer implements Op.
func (b *BatchNorm) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	return in[0], errors.Join(
		length("gamma", b.Gamma, in[0].C), length("beta", b.Beta, in[0].C),
		length("mean", b.Mean, in[0].C), length("variance", b.Variance, in[0].C))
}

// Digest implements Op.
func (b *BatchNorm) Digest(w io.Writer) {
	fmt.Fprintf(w, " %v\n", b.Epsilon)
	digestFloats(w, b.Gamma, b.Beta, b.Mean, b.Variance)
}

// Affine returns b as y = scale * x + shift, per channel. It fails where that is
// not finite.
func (b *BatchNorm) Affine() (scale, shift []float64, err error) {
	scale, shift = make([]float64, len(b.Gamma)), make([]float64, len(b.Gamma))
	for c := range scale {
		v := float64(b.Variance[c]) + float64(b.Epsilon)
		if !(v > 0) {
			return nil, nil, fmt.Errorf("channel %d: variance %v + epsilon %v is not positive", c, b.Variance[c], b.Epsilon)
		}
		scale[c] = float64(b.Gamma[c]) / math.Sqrt(v)
		shift[c] = float64(b.Beta[c]) - float64(float64(b.Mean[c])*scale[c])
		if s := scale[c] + shift[c]; math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, nil, fmt.Errorf("channel %d: gamma %v, beta %v and mean %v must be finite", c, b.Gamma[c], b.Beta[c], b.Mean[c])
		}
	}
	return scale, shift, nil
}
