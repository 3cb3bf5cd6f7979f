package onnx

import (
	"fmt"
	"io"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// WriteFloat writes a float network. Its input is the normalized image of
// preprocess.Spec.Float in NCHW order.
func WriteFloat(w io.Writer, g *models.Graph) error {
	var out graph
	out.input(g.InputName(), float, shape(g.Input())...)
	flat := make([]bool, g.Topology().Len())
	for i, n := range g.Nodes {
		op, ok := floatOps[n.Op.Kind()]
		if !ok {
			return fmt.Errorf("onnx: node %q: %s has no ONNX form", n.Name, n.Op.Kind())
		}
		node := &floatNode{graph: &out, name: n.Name, inputs: g.Topology().Names(n.Inputs), in: g.Shape(n.Inputs[0])}
		node.unflatten(n.Inputs, flat, op.flat)
		if err := op.write(node, n.Op); err != nil {
			return fmt.Errorf("onnx: node %q: %w", n.Name, err)
		}
		flat[tensor.Output(i)] = node.flat
	}
	last := g.Output()
	dims := shape(g.Shape(last))
	if flat[last] {
		dims = dims[:2]
	}
	out.output(g.Topology().Name(last), float, dims...)
	return out.write(w, g.Name, g.Name+", float32", metadata(g.Preprocess, g.Classes, g.Activation))
}

// floatNode is a node of a float network that is being written.
type floatNode struct {
	*graph
	name   string
	inputs []string
	in     tensor.Shape // of the first input
	flat   bool         // whether the output has two dimensions, as dense layers make them
}

// floatOp writes an operation of float networks.
type floatOp struct {
	write func(n *floatNode, op models.Op) error
	flat  bool // takes tensors of two dimensions
}

// floatOps write the operations of float networks by their kind.
var floatOps = map[string]floatOp{
	"activation": {floatActivation, true}, "add": {floatAdd, true}, "avgpool": {floatAveragePool, false},
	"batchnorm": {floatBatchNorm, true}, "channelactivation": {floatChannelActivation, false}, "clip": {floatClip, true}, "concat": {floatConcat, true}, "conv": {floatConv, false},
	"dense": {floatDense, true}, "gather": {floatGather, true}, "globalavgpool": {floatGlobalAveragePool, false}, "maxpool": {floatMaxPool, false},
	"mul": {floatMul, true}, "pad": {floatPad, false}, "relu": {floatReLU, true}, "softmax": {floatSoftmax, true},
}

// unflatten gives inputs of two dimensions the planes that they lack, unless the
// operation takes them and all inputs are flat.
func (n *floatNode) unflatten(inputs []tensor.ID, flat []bool, takes bool) {
	n.flat = takes && !slices.ContainsFunc(inputs, func(in tensor.ID) bool { return !flat[in] })
	for i, in := range inputs {
		if flat[in] && !n.flat {
			name := fmt.Sprintf("%s.input%d", n.name, i)
			n.inputs[i] = n.node("Unsqueeze", name, name, []string{n.inputs[i], constant(n.graph, name+".axes", []int64{2, 3}, 2)})
		}
	}
}

// parameter appends a parameter of the node, unless it is nil, to its inputs.
func (n *floatNode) parameter(suffix string, values []float32, dims ...int) {
	if values != nil {
		n.inputs = append(n.inputs, constant(n.graph, n.name+suffix, values, dims...))
	}
}

// write writes the node, all its parameters being among its inputs.
func (n *floatNode) write(op string, attributes ...attribute) error {
	n.node(op, n.name, n.name, n.inputs, attributes...)
	return nil
}
