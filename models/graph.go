// Package models describes float networks: a graph of named nodes, its shape
// inference, builders for known networks and importers of trained weights.
//
// Tensors are NHWC with N = 1; weights are OHWI.
package models

import (
	"errors"
	"fmt"

	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Graph is a float network. Nodes stand in topological order; the last node is
// the output. A Graph is never modified once built: passes return new graphs.
type Graph struct {
	Name       string
	InputName  string // the name by which nodes refer to the image
	Input      tensor.Shape
	Preprocess preprocess.Spec
	Classes    []labels.Class
	Nodes      []Node
}

// Node is one operation. Its output tensor carries the node's name.
type Node struct {
	Name   string
	Inputs []string
	Op     Op
}

// Op is one of *Conv, *BatchNorm, ReLU, *MaxPool, *AveragePool, GlobalAveragePool,
// Add, *Dense and Softmax.
type Op interface {
	// Kind is the operation's name for people: "conv", "batchnorm", ...
	Kind() string
	// Infer checks the operation against its input shapes and returns the
	// output's shape.
	Infer(in []tensor.Shape) (tensor.Shape, error)
}

// Conv is a two-dimensional convolution.
type Conv struct {
	tensor.Window
	Groups    int
	InC, OutC int
	Weight    []float32 // OHWI: [OutC][KH][KW][InC/Groups]
	Bias      []float32 // [OutC], or nil
}

// BatchNorm is inference-time batch normalization:
// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel.
type BatchNorm struct {
	Gamma, Beta, Mean, Variance []float32
	Epsilon                     float32
}

// MaxPool takes the maximum over each window; padding never wins.
type MaxPool struct{ tensor.Window }

// AveragePool averages over each window. Padding counts as zeros if CountPad is
// set, and is left out of sum and count otherwise.
type AveragePool struct {
	tensor.Window
	CountPad bool
}

// Dense is a fully connected layer over all values of its input.
type Dense struct {
	In, Out int
	Weight  []float32 // [Out][In]
	Bias    []float32 // [Out], or nil
}

type (
	// ReLU is max(x, 0).
	ReLU struct{}
	// GlobalAveragePool averages each channel over the whole plane.
	GlobalAveragePool struct{}
	// Add is the sum of two tensors of one shape.
	Add struct{}
	// Softmax turns logits into probabilities.
	Softmax struct{}
)

func (*Conv) Kind() string             { return "conv" }
func (*BatchNorm) Kind() string        { return "batchnorm" }
func (ReLU) Kind() string              { return "relu" }
func (*MaxPool) Kind() string          { return "maxpool" }
func (*AveragePool) Kind() string      { return "avgpool" }
func (GlobalAveragePool) Kind() string { return "globalavgpool" }
func (Add) Kind() string               { return "add" }
func (*Dense) Kind() string            { return "dense" }
func (Softmax) Kind() string           { return "softmax" }

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

// Infer implements Op.
func (b *BatchNorm) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	return in[0], errors.Join(
		length("gamma", b.Gamma, in[0].C), length("beta", b.Beta, in[0].C),
		length("mean", b.Mean, in[0].C), length("variance", b.Variance, in[0].C))
}

// Infer implements Op.
func (ReLU) Infer(in []tensor.Shape) (tensor.Shape, error) { return unary(in) }

// Infer implements Op.
func (Softmax) Infer(in []tensor.Shape) (tensor.Shape, error) { return unary(in) }

// Infer implements Op.
func (p *MaxPool) Infer(in []tensor.Shape) (tensor.Shape, error) { return pool(p.Window, in) }

// Infer implements Op.
func (p *AveragePool) Infer(in []tensor.Shape) (tensor.Shape, error) { return pool(p.Window, in) }

// Infer implements Op.
func (GlobalAveragePool) Infer(in []tensor.Shape) (tensor.Shape, error) {
	s, err := unary(in)
	return tensor.Shape{H: 1, W: 1, C: s.C}, err
}

// Infer implements Op.
func (Add) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 2); err != nil {
		return tensor.Shape{}, err
	}
	if in[0] != in[1] {
		return tensor.Shape{}, fmt.Errorf("cannot add %v and %v: shapes differ", in[0], in[1])
	}
	return in[0], nil
}

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

// Shapes infers the shape of every tensor of the graph, the input included,
// and checks that names are unique, inputs precede their uses and every weight
// has the length its geometry asks for. Errors name the node.
func (g *Graph) Shapes() (map[string]tensor.Shape, error) {
	if min(g.Input.H, g.Input.W, g.Input.C) < 1 {
		return nil, fmt.Errorf("models: %s: input %v has an empty dimension", g.Name, g.Input)
	}
	if len(g.Nodes) == 0 {
		return nil, fmt.Errorf("models: %s: the graph has no nodes", g.Name)
	}
	shapes := map[string]tensor.Shape{g.InputName: g.Input}
	for _, n := range g.Nodes {
		if _, taken := shapes[n.Name]; taken {
			return nil, fmt.Errorf("models: node %q: the name is used twice", n.Name)
		}
		in := make([]tensor.Shape, len(n.Inputs))
		for i, name := range n.Inputs {
			s, ok := shapes[name]
			if !ok {
				return nil, fmt.Errorf("models: node %q: input %q does not exist before it", n.Name, name)
			}
			in[i] = s
		}
		out, err := n.Op.Infer(in)
		if err != nil {
			return nil, fmt.Errorf("models: node %q (%s): %w", n.Name, n.Op.Kind(), err)
		}
		shapes[n.Name] = out
	}
	return shapes, nil
}

func unary(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	return in[0], nil
}

func pool(w tensor.Window, in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	h, wd, err := w.Infer(in[0].H, in[0].W)
	return tensor.Shape{H: h, W: wd, C: in[0].C}, err
}

func arity(in []tensor.Shape, n int) error {
	if len(in) != n {
		return fmt.Errorf("has %d inputs, want %d", len(in), n)
	}
	return nil
}

func length(what string, v []float32, n int) error {
	if len(v) != n {
		return fmt.Errorf("%s has %d values, want %d", what, len(v), n)
	}
	return nil
}
