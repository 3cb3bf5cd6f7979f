package onnx

import (
	"fmt"
	"io"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// WriteFloat writes a float network. Its input is the normalized picture of
// preprocess.Spec.Float in NCHW order.
func WriteFloat(w io.Writer, g *models.Graph) error {
	shapes, err := g.Shapes()
	if err != nil {
		return fmt.Errorf("onnx: %w", err)
	}
	var out graph
	out.input(g.InputName, float, shape(g.Input)...)
	for _, n := range g.Nodes {
		if err := out.float(n, shapes[n.Inputs[0]]); err != nil {
			return fmt.Errorf("onnx: node %q: %w", n.Name, err)
		}
	}
	last := g.Nodes[len(g.Nodes)-1]
	dims := shape(shapes[last.Name])
	switch last.Op.(type) {
	case *models.Dense, models.Softmax:
		dims = dims[:2]
	}
	out.output(last.Name, float, dims...)
	return out.write(w, g.Name, g.Name+", float32", map[string]any{"preprocess": g.Preprocess})
}

func (g *graph) float(n models.Node, in tensor.Shape) error {
	name, inputs := n.Name, n.Inputs
	// with appends a parameter of the node to its inputs.
	with := func(suffix string, values []float32, dims ...int) {
		if values != nil {
			inputs = append(inputs[:len(inputs):len(inputs)], constant(g, name+suffix, values, dims...))
		}
	}
	switch op := n.Op.(type) {
	case *models.Conv:
		depth := op.InC / op.Groups
		with(".weight", oihw(op.Weight, op.KH*op.KW, depth), op.OutC, depth, op.KH, op.KW)
		with(".bias", op.Bias, op.OutC)
		g.node("Conv", name, name, inputs, append(geometry(op.Window), integer("group", op.Groups))...)
	case *models.MaxPool:
		g.node("MaxPool", name, name, inputs, geometry(op.Window)...)
	case *models.AveragePool:
		g.node("AveragePool", name, name, inputs, averaging(op.Window, op.CountPad)...)
	case *models.Dense:
		inputs = []string{g.node("Flatten", name+".flatten", name+".input", inputs)}
		with(".weight", oihw(op.Weight, in.H*in.W, in.C), op.Out, op.In)
		with(".bias", op.Bias, op.Out)
		g.node("Gemm", name, name, inputs, integer("transB", 1))
	case *models.BatchNorm:
		with(".gamma", op.Gamma, in.C)
		with(".beta", op.Beta, in.C)
		with(".mean", op.Mean, in.C)
		with(".variance", op.Variance, in.C)
		g.node("BatchNormalization", name, name, inputs, real("epsilon", op.Epsilon))
	case models.ReLU:
		g.node("Relu", name, name, inputs)
	case models.Add:
		g.node("Add", name, name, inputs)
	case models.GlobalAveragePool:
		g.node("GlobalAveragePool", name, name, inputs)
	case models.Softmax:
		g.node("Softmax", name, name, inputs, integer("axis", 1))
	default:
		return fmt.Errorf("%s has no ONNX form", n.Op.Kind())
	}
	return nil
}
