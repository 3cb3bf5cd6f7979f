package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatDense(n *floatNode, op models.Op) {
	d := op.(*models.Dense)
	n.inputs = []string{n.node("Flatten", n.name+".flatten", n.name+".input", n.inputs)}
	n.parameter(".weight", oihw(d.Weight, n.in.H*n.in.W, n.in.C), d.Out, d.In)
	n.parameter(".bias", d.Bias, d.Out)
	n.write("Gemm", integer("transB", 1))
	n.flat = true
}

// quantizedDense writes the classifier. The average pool's values have more than 8 bits;
// they stay real, or are rounded in steps that suit the picture.
func quantizedDense(e *exporter, l *layer) error {
	d, in := l.Op.(*int8.Dense), e.tensors[l.Inputs[0]]
	name, g := l.Name, &e.graph
	scales, reals := make([]float32, d.Out), make([]float32, d.Out)
	for o, s := range d.Scale {
		scales[o], reals[o] = s/in.Scale, float32(d.Bias[o])*s
	}
	x := e.node("Flatten", name+".flatten", name+".input", l.inputs)
	bias := constant(g, name+".bias", reals, d.Out)
	if e.Exact {
		weight := parameter(g, name+".weight", d.Weight, scales, d.Out, d.In)
		e.node("Gemm", name, name, []string{x, weight, bias}, integer("transB", 1))
		return nil
	}
	codes, scale, zero := name+".codes", name+".codes.scale", name+".codes.zero"
	e.operation("DynamicQuantizeLinear", name+".quantize", []string{codes, scale, zero}, []string{x})
	weight := constant(g, name+".weight", transpose(d.Weight, d.Out, d.In), d.In, d.Out)
	sum := e.node("MatMulInteger", name, name+".sum", []string{codes, weight, zero})
	steps := e.node("Mul", name+".steps", name+".steps", []string{scale, constant(g, name+".scale", scales, d.Out)})
	y := e.node("Cast", name+".cast", name+".real", []string{sum}, integer("to", int(float)))
	y = e.node("Mul", name+".mul", name+".product", []string{y, steps})
	e.node("Add", name+".add", name, []string{y, bias})
	return nil
}
