package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatDense(n *floatNode, op models.Op) error {
	d := op.(*models.Dense)
	n.inputs = []string{n.node("Flatten", n.name+".flatten", n.name+".input", n.inputs)}
	n.parameter(".weight", oihw(d.Weight, n.in.H*n.in.W, n.in.C), d.Out, d.In)
	n.parameter(".bias", d.Bias, d.Out)
	n.flat = true
	return n.write("Gemm", integer("transB", 1))
}

// quantizedDense writes the classifier. An average pool's values have more than 8 bits;
// they stay real, or are rounded in steps that suit the picture. An embedding's stay
// real: the steps of its largest values would be too large for most.
func quantizedDense(e *exporter, l *layer) error {
	d, in := l.Op.(*int8.Dense), e.tensors[l.Inputs[0]]
	if in.Type == int8.Int8 {
		return e.denseOfCodes(l, d, in)
	}
	name, g := l.Name, &e.graph
	scales, reals := make([]float32, d.Out), make([]float32, d.Out)
	for o, s := range d.Scale {
		scales[o], reals[o] = s/in.Scale, float32(d.Bias[o])*s
	}
	weights := oihw(d.Weight, in.Shape.H*in.Shape.W, in.Shape.C)
	x := e.node("Flatten", name+".flatten", name+".input", l.inputs)
	bias := constant(g, name+".bias", reals, d.Out)
	if e.Exact || e.network.Layers[l.Inputs[0].Node()].Op.Kind() == (*int8.Embedding)(nil).Kind() {
		weight := e.weight(name+".weight", weights, scales, d.Out, d.In)
		e.node("Gemm", name, name, []string{x, weight, bias}, integer("transB", 1))
		return nil
	}
	codes, scale, zero := name+".codes", name+".codes.scale", name+".codes.zero"
	e.operation("DynamicQuantizeLinear", name+".quantize", []string{codes, scale, zero}, []string{x})
	// The codes are uint8: weights are, too, so that no sum saturates.
	weight := constant(g, name+".weight", moved(transpose(weights, d.Out, d.In)), d.In, d.Out)
	sum := e.node("MatMulInteger", name, name+".sum", []string{codes, weight, zero, constant(g, name+".weight.zero", []uint8{128})})
	steps := e.node("Mul", name+".steps", name+".steps", []string{scale, constant(g, name+".scale", scales, d.Out)})
	y := e.node("Cast", name+".cast", name+".real", []string{sum}, integer("to", int(float)))
	y = e.node("Mul", name+".mul", name+".product", []string{y, steps})
	e.node("Add", name+".add", name, []string{y, bias})
	return nil
}

// denseOfCodes writes a classifier of an int8 activation, whose zero point its biases
// have no part in.
func (e *exporter) denseOfCodes(l *layer, d *int8.Dense, in int8.Tensor) error {
	scales, bias := make([]float32, d.Out), make([]int32, d.Out)
	for o, s := range d.Scale {
		sum := 0
		for _, w := range d.Weight[o*d.In : (o+1)*d.In] {
			sum += int(w)
		}
		scales[o], bias[o] = s/in.Scale, d.Bias[o]+int32(sum*int(in.ZeroAt(0)))
	}
	x := e.node("Flatten", l.Name+".flatten", l.Name+".codes", l.inputs)
	weight := oihw(d.Weight, in.Shape.H*in.Shape.W, in.Shape.C)
	e.node("Gemm", l.Name, l.Name, []string{
		e.dequantize(l.Name+".input", x, in.Scale, in.Zero[0]),
		e.weight(l.Name+".weight", weight, scales, d.Out, d.In),
		parameter(&e.graph, l.Name+".bias", bias, 0, d.Scale, d.Out),
	}, integer("transB", 1))
	return nil
}
