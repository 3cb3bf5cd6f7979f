// Package models describes float networks: a graph of nodes, its shape
// inference, builders for known networks and importers of trained weights.
//
// Tensors are NHWC with N = 1; weights are OHWI.
package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"edgeclassify/internal/printable"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Graph is a float network, made by a Builder. It is never modified: passes
// return others.
type Graph struct {
	Name       string
	Preprocess preprocess.Spec
	Classes    []labels.Class
	// Activation is that behind the logits: of the last node or, where Logits has
	// taken it away, what it was.
	Activation labels.Activation
	Nodes      []Node // in topological order; the last one makes the output

	input    tensor.Shape
	topology *tensor.Topology
	norms    map[string]*BatchNorm // that Fold has put into weights, by node
}

// Node is one operation. It makes the tensor that carries its name.
type Node struct {
	Name   string
	Inputs []tensor.ID
	Op     Op
	Shape  tensor.Shape // of the tensor that it makes
}

// Shape is the shape of a tensor.
func (g *Graph) Shape(t tensor.ID) tensor.Shape {
	if t == tensor.Input {
		return g.input
	}
	return g.Nodes[t.Node()].Shape
}

// Input is the shape of the image.
func (g *Graph) Input() tensor.Shape { return g.input }

// InputName is the name of the image's tensor.
func (g *Graph) InputName() string { return g.topology.Name(tensor.Input) }

// Output is the last node's tensor.
func (g *Graph) Output() tensor.ID { return tensor.Output(len(g.Nodes) - 1) }

// Topology is how the nodes are connected.
func (g *Graph) Topology() *tensor.Topology { return g.topology }

// Builder makes a Graph node by node.
type Builder struct {
	graph Graph
	err   error // the first
}

// NewBuilder begins a network with the name and shape of the image's tensor.
func NewBuilder(input string, shape tensor.Shape) *Builder {
	b := &Builder{graph: Graph{input: shape, topology: tensor.NewTopology(input)}}
	if min(shape.H, shape.W, shape.C) < 1 {
		b.err = fmt.Errorf("input %v has an empty dimension", shape)
	} else {
		b.err = size(shape)
	}
	return b
}

// Add appends a node that reads the tensors of those names and returns the shape
// of its output. It fails if names are missing or taken, or if the operation does
// not fit its inputs; so does Graph then.
func (b *Builder) Add(name string, op Op, inputs ...string) (tensor.Shape, error) {
	shape, err := b.add(name, op, inputs)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("node %q (%s): %w", name, op.Kind(), err)
	}
	return shape, err
}

func (b *Builder) add(name string, op Op, inputs []string) (shape tensor.Shape, err error) {
	g := &b.graph
	ids, err := g.topology.IDs(inputs)
	if err != nil {
		return shape, err
	}
	in := make([]tensor.Shape, len(ids))
	for i, id := range ids {
		in[i] = g.Shape(id)
	}
	if shape, err = op.Infer(in); err == nil {
		err = size(shape)
	}
	if err != nil {
		return shape, err
	}
	if _, err := g.topology.Add(name, ids...); err != nil {
		return shape, err
	}
	g.Nodes = append(g.Nodes, Node{Name: name, Inputs: ids, Op: op, Shape: shape})
	return shape, nil
}

// maxElements bounds tensors: no image classifier's come near it.
const maxElements = 1 << 28

func size(s tensor.Shape) error {
	if min(s.H, s.W, s.C) < 1 || max(s.H, s.W, s.C) > maxElements || s.H*s.W > maxElements || s.Elements() > maxElements {
		return fmt.Errorf("a tensor of %v is too large", s)
	}
	return nil
}

// Graph ends the building. It returns the first error there was. The name, which may
// be that of a file, is made printable.
func (b *Builder) Graph(name string, p preprocess.Spec, classes []labels.Class) (*Graph, error) {
	name = printable.Text(name)
	if b.err == nil && len(b.graph.Nodes) == 0 {
		b.err = errors.New("the graph has no nodes")
	}
	if b.err != nil {
		return nil, fmt.Errorf("%s: %w", name, b.err)
	}
	b.graph.Name, b.graph.Preprocess, b.graph.Classes = name, p, classes
	b.graph.Activation = b.graph.activation()
	return &b.graph, nil
}

// Rewrite returns g with the nodes that f adds for each of its own, given the
// names of their inputs.
func (g *Graph) Rewrite(f func(b *Builder, n Node, inputs []string) error) (*Graph, error) {
	b := NewBuilder(g.InputName(), g.input)
	for _, n := range g.Nodes {
		if err := f(b, n, g.topology.Names(n.Inputs)); err != nil {
			return nil, fmt.Errorf("node %q: %w", n.Name, err)
		}
	}
	changed, err := b.Graph(g.Name, g.Preprocess, g.Classes)
	if err != nil {
		return nil, err
	}
	changed.Activation = g.Activation
	return changed, nil
}

// Hash is the SHA-256, in hex, over the network's topology, geometry and
// weights: what quantization depends on, whatever file it came from.
func (g *Graph) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %v %v\n", g.InputName(), g.input, g.Preprocess)
	for _, n := range g.Nodes {
		fmt.Fprintf(h, "%q %s %q", n.Name, n.Op.Kind(), g.topology.Names(n.Inputs))
		n.Op.Digest(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Logits returns the graph without its final softmax or sigmoid, if it has one:
// its output is then the logits.
func (g *Graph) Logits() *Graph {
	last := len(g.Nodes) - 1
	if last == 0 || !final(g.Nodes[last].Op) {
		return g
	}
	return g.First(last)
}

// First is the graph of the first n nodes.
func (g *Graph) First(n int) *Graph {
	cut := *g
	cut.Nodes, cut.topology = g.Nodes[:n:n], g.topology.Truncate(n)
	return &cut
}

func final(op Op) bool {
	if _, ok := op.(Softmax); ok {
		return true
	}
	a, ok := op.(Activation)
	return ok && a.Function == Sigmoid
}

// activation is that of a network which ends with so: without one, a single logit
// is that of a sigmoid.
func (g *Graph) activation() labels.Activation {
	last := g.Nodes[len(g.Nodes)-1]
	_, softmax := last.Op.(Softmax)
	if !softmax && (final(last.Op) || last.Shape.Elements() == 1) {
		return labels.Sigmoid
	}
	return labels.Softmax
}

// With returns the graph with another preprocessing, other classes and another
// activation behind the logits.
func (g *Graph) With(p preprocess.Spec, classes []labels.Class, a labels.Activation) *Graph {
	changed := *g
	changed.Preprocess, changed.Classes, changed.Activation = p, classes, a
	return &changed
}
