package onnx

import (
	"fmt"
	"io"
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Operations that stand for nodes of the file until all are known.

// internal is an operation that becomes one of package models in the end.
type internal interface {
	models.Op
	// lower is what it becomes for an input of that shape.
	lower(cs *constants, in tensor.Shape) (models.Op, error)
}

// unary is the common part of internal operations.
type unary struct{}

func (unary) Infer(in []tensor.Shape) (tensor.Shape, error) { return in[0], nil }
func (unary) Digest(io.Writer)                              {}

// affine is scale * x + shift; each is one number or one for each channel.
type affine struct {
	unary
	scale, shift []float64
}

func (affine) Kind() string { return "affine" }

func (a affine) lower(cs *constants, in tensor.Shape) (models.Op, error) {
	if err := cs.allow(4 * in.C); err != nil {
		return nil, err
	}
	b := &models.BatchNorm{Mean: make([]float32, in.C)}
	b.Gamma, b.Beta, b.Variance = make([]float32, in.C), make([]float32, in.C), make([]float32, in.C)
	for i := range in.C {
		b.Gamma[i], b.Beta[i], b.Variance[i] = float32(at(a.scale, i)), float32(at(a.shift, i)), 1
	}
	return b, nil
}

// at is the number for a channel.
func at(v []float64, channel int) float64 { return v[channel%len(v)] }

// spread is v with a number for each of n channels.
func spread(v []float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = at(v, i)
	}
	return out
}

// uniform is the only number of v.
func uniform(v []float64) (float64, bool) {
	for _, x := range v {
		if x != v[0] {
			return 0, false
		}
	}
	return v[0], true
}

// unscaled takes arithmetic with constants off a node.
func unscaled(n *node) (base *node, scale, shift []float64) {
	if a, ok := n.op.(affine); ok {
		return n.inputs[0], a.scale, a.shift
	}
	return n, []float64{1}, []float64{0}
}

// scaled is scale * n + shift.
func (c *call) scaled(n *node, scale, shift []float64) (*node, error) {
	base, s, t := unscaled(n)
	length := max(len(scale), len(shift), len(s), len(t))
	if err := c.allow(2 * length); err != nil {
		return nil, err
	}
	a := affine{scale: make([]float64, length), shift: make([]float64, length)}
	identity := true
	for i := range length {
		a.scale[i] = at(scale, i) * at(s, i)
		a.shift[i] = float64(at(scale, i)*at(t, i)) + at(shift, i)
		identity = identity && math.Abs(a.scale[i]-1) < 1e-6 && a.shift[i] == 0
	}
	if identity {
		return base, nil
	}
	if f, ok := hardSigmoid(base, a); ok {
		return c.add(c.name, f.Activation, f.base)
	}
	return c.add(c.name, a, base)
}

// fragment is a part of an operation that has no form alone.
type fragment struct {
	unary
	function string
}

func (f fragment) Kind() string { return f.function }

func (f fragment) lower(*constants, tensor.Shape) (models.Op, error) {
	return nil, fmt.Errorf("%s", wayOut(f.function))
}

// border is padding with the lowest value, which MaxPool takes in.
type border struct{ models.Pad }

func (border) lower(*constants, tensor.Shape) (models.Op, error) {
	return nil, fmt.Errorf("pads with the lowest number: only a MaxPool behind it can take that in")
}
