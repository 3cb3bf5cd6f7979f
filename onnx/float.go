package onnx

import (
	"fmt"
	"io"

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
		write, ok := floatOps[n.Op.Kind()]
		if !ok {
			return fmt.Errorf("onnx: node %q: %s has no ONNX form", n.Name, n.Op.Kind())
		}
		node := &floatNode{graph: &out, name: n.Name, inputs: g.Topology().Names(n.Inputs), in: g.Shape(n.Inputs[0]), flat: flat[n.Inputs[0]]}
		write(node, n.Op)
		flat[tensor.Output(i)] = node.flat
	}
	last := g.Output()
	dims := shape(g.Shape(last))
	if flat[last] {
		dims = dims[:2]
	}
	out.output(g.Topology().Name(last), float, dims...)
	return out.write(w, g.Name, g.Name+", float32", map[string]any{"preprocess": g.Preprocess})
}

// floatNode is a node of a float network that is being written.
type floatNode struct {
	*graph
	name   string
	inputs []string
	in     tensor.Shape // of the first input
	flat   bool         // whether that has two dimensions; afterwards the output
}

// floatOps write the operations of float networks by their kind.
var floatOps = map[string]func(n *floatNode, op models.Op){
	"conv": floatConv, "dense": floatDense, "batchnorm": floatBatchNorm, "relu": floatReLU, "add": floatAdd,
	"maxpool": floatMaxPool, "avgpool": floatAveragePool, "globalavgpool": floatGlobalAveragePool, "softmax": floatSoftmax,
}

// parameter appends a parameter of the node, unless it is nil, to its inputs.
func (n *floatNode) parameter(suffix string, values []float32, dims ...int) {
	if values != nil {
		n.inputs = append(n.inputs, constant(n.graph, n.name+suffix, values, dims...))
	}
}

// write writes the node, all its parameters being among its inputs.
func (n *floatNode) write(op string, attributes ...attribute) {
	n.node(op, n.name, n.name, n.inputs, attributes...)
}
