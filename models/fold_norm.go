package models

import (
	"errors"
	"math"
	"slices"

	"edgeclassify/tensor"
)

// Norm is the batch norm that Fold put into a node's weights, which tells how its
// outputs were distributed in training; nil if there is none.
func (g *Graph) Norm(node string) *BatchNorm { return g.norms[node] }

// normLinear puts a batch norm into the convolution or dense layer before it, which
// keeps its name.
func normLinear(f *folder, id tensor.ID) (*rewriting, error) {
	bn, ok := as[*BatchNorm](f.producer(id))
	before := f.only(f.producer(id).Inputs[0])
	l, linear := as[Linear](before)
	if !ok || !linear {
		return nil, nil
	}
	scale, shift, err := bn.Affine()
	if err != nil {
		return nil, err
	}
	p := l.Parameters()
	weight, bias, depth := make([]float32, len(p.Weight)), make([]float32, p.Out), len(p.Weight)/p.Out
	for i, w := range p.Weight {
		weight[i] = float32(float64(w) * scale[i/depth])
	}
	for o := range bias {
		b := shift[o]
		if p.Bias != nil {
			b += float64(float64(p.Bias[o]) * scale[o])
		}
		bias[o] = float32(b)
	}
	w, err := normed(before.Name, l.WithParameters(weight, bias), before.Inputs...)
	if err != nil {
		return nil, err
	}
	if w.norm = bn; !bn.measured() {
		w.norm = f.norms[before.Name].then(scale, shift)
	}
	return w, nil
}

// linearNorm puts a batch norm into the dense layer or convolution without padding
// behind it.
func linearNorm(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	l, ok := n.Op.(Linear)
	if c, conv := n.Op.(*Conv); !ok || conv && padded(c.Window) {
		return nil, nil
	}
	before := f.only(n.Inputs[0])
	bn, ok := as[*BatchNorm](before)
	if !ok {
		return nil, nil
	}
	scale, shift, err := bn.Affine()
	if err != nil {
		return nil, err
	}
	p := l.Parameters()
	weight, sums := make([]float32, len(p.Weight)), make([]float64, p.Out)
	p.Each(before.Shape.C, func(i, in, out int, w float32) {
		weight[i] = float32(float64(w) * scale[in])
		sums[out] += float64(float64(w) * shift[in])
	})
	bias := make([]float32, p.Out)
	for o := range bias {
		if p.Bias != nil {
			sums[o] += float64(p.Bias[o])
		}
		bias[o] = float32(sums[o])
	}
	return normed(n.Name, l.WithParameters(weight, bias), before.Inputs...)
}

func normed(name string, l Linear, inputs ...tensor.ID) (*rewriting, error) {
	if p := l.Parameters(); !Finite(p.Weight) || !Finite(p.Bias) {
		return nil, errors.New("weights are not finite after folding: the checkpoint is damaged")
	}
	return one(name, l, inputs...), nil
}

// normNorm makes one of two batch norms.
func normNorm(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	outer, ok := n.Op.(*BatchNorm)
	before := f.only(n.Inputs[0])
	inner, both := as[*BatchNorm](before)
	if !ok || !both {
		return nil, nil
	}
	scale, shift, err := outer.Affine()
	if err != nil {
		return nil, err
	}
	return one(n.Name, inner.then(scale, shift), before.Inputs...), nil
}

// normImage puts a batch norm of the image into the preprocessing.
func normImage(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	bn, ok := n.Op.(*BatchNorm)
	if !ok || n.Inputs[0] != tensor.Input || id == f.Output() || len(f.topology.Consumers(tensor.Input)) > 1 {
		return nil, nil
	}
	scale, shift, err := bn.Affine()
	if err != nil {
		return nil, err
	}
	spec := f.Preprocess
	if spec.Validate() != nil || spec.Input() != f.input {
		return nil, nil
	}
	for c, s := range scale {
		std := float64(spec.Std[c]) / s
		spec.Mean[c] = float32(float64(spec.Mean[c]) - float64(shift[c]*std))
		spec.Std[c] = float32(std)
	}
	if spec.Validate() != nil {
		return nil, nil // a factor that is not positive
	}
	return &rewriting{inputs: n.Inputs, preprocess: &spec}, nil
}

// normAlone makes a batch norm that nothing takes a convolution of each channel.
func normAlone(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	bn, ok := n.Op.(*BatchNorm)
	if !ok {
		return nil, nil
	}
	scale, shift, err := bn.Affine()
	if err != nil {
		return nil, err
	}
	c := perChannel(tensor.Square(1, 1, 0), 0, scale, n.Inputs[0] == tensor.Input)
	c.Bias = make([]float32, len(shift))
	for i, v := range shift {
		c.Bias[i] = float32(v)
	}
	w, err := normed(n.Name, c, n.Inputs...)
	if err == nil && bn.measured() {
		w.norm = bn
	}
	return w, err
}

// measured tells whether a batch norm knows its input's mean and variance. One that
// stands for factors and terms alone has zeros and ones.
func (b *BatchNorm) measured() bool {
	return b.Epsilon != 0 || slices.ContainsFunc(b.Mean, func(v float32) bool { return v != 0 }) ||
		slices.ContainsFunc(b.Variance, func(v float32) bool { return v != 1 })
}

// then is the batch norm whose outputs are multiplied and shifted, nil if b is.
func (b *BatchNorm) then(scale, shift []float64) *BatchNorm {
	if b == nil {
		return nil
	}
	changed := *b
	changed.Gamma, changed.Beta = make([]float32, len(scale)), make([]float32, len(scale))
	for c, s := range scale {
		changed.Gamma[c] = float32(float64(b.Gamma[c]) * s)
		changed.Beta[c] = float32(float64(float64(b.Beta[c])*s) + shift[c])
	}
	return &changed
}

// Finite tells whether none of the values is NaN or infinite.
func Finite(values []float32) bool {
	return !slices.ContainsFunc(values, func(v float32) bool {
		return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
	})
}
