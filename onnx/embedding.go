package onnx

import (
	"math"

	"edgeclassify/int8"
)

// quantizedEmbedding writes the formula in floating point, and rounds its values to the
// embedding's steps.
func quantizedEmbedding(e *exporter, l *layer) error {
	op, name := l.Op.(*int8.Embedding), l.Name
	x := e.real(name+".features", l.inputs[0], e.tensors[l.Inputs[0]])
	x = e.node("Flatten", name+".flatten", name+".flat", []string{x})
	parts := []string{e.direction(name+".pooled", x, op.Pooled)}
	if len(op.Scale) > 0 {
		base := e.network.Layers[l.Inputs[1].Node()].Op.(*int8.Dense)
		parts = append(parts, e.direction(name+".logits", e.standOut(name, l.inputs[1], op, base), op.Logits))
	}
	e.round(name, e.node("Concat", name+".concat", name+".real", parts, integer("axis", 1)), l.Out)
	return nil
}

// direction brings a vector to a length.
func (e *exporter) direction(name, x string, length float32) string {
	x = e.node("LpNormalization", name+".unit", name+".unit", []string{x}, integer("axis", 1), integer("p", 2))
	return e.node("Mul", name, name, []string{x, constant(&e.graph, name+".length", []float32{length})})
}

// standOut is how far each logit stands out from the others, see int8.Embedding.
func (e *exporter) standOut(name, logits string, op *int8.Embedding, base *int8.Dense) string {
	step := func(kind, suffix string, inputs ...string) string {
		return e.node(kind, name+suffix, name+suffix, inputs)
	}
	number := func(suffix string, v float32) string { return constant(&e.graph, name+suffix, []float32{v}) }
	mean := func(suffix, x string) string {
		return e.node("ReduceMean", name+suffix, name+suffix, []string{x}, integers("axes", 1), integer("keepdims", 1))
	}
	ratios := make([]float32, len(op.Scale))
	for i, s := range op.Scale {
		ratios[i] = s / base.Scale[i]
	}
	z := step("Mul", ".scaled", logits, constant(&e.graph, name+".ratios", ratios, len(ratios)))
	z = step("Sub", ".centred", z, mean(".mean", z))
	deviation := step("Sqrt", ".deviation", mean(".variance", step("Mul", ".squares", z, z)))
	// Logits that are all alike have none.
	deviation = step("Max", ".divisor", deviation, number(".least", math.SmallestNonzeroFloat32*(1<<23)))
	return step("Relu", ".above", step("Sub", ".beyond", step("Div", ".standard", z, deviation), number(".threshold", op.Threshold)))
}
