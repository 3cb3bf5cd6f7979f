package onnx

import (
	"edgeclassify/models"
)

func floatGlobalAveragePool(n *floatNode, _ models.Op) { n.write("GlobalAveragePool") }

// quantizedGlobalAveragePool writes the average, in floating point.
func quantizedGlobalAveragePool(e *exporter, l *layer) error {
	x := e.real(l.Name+".input", l.inputs[0], e.tensors[l.Inputs[0]])
	e.node("GlobalAveragePool", l.Name, l.Name, []string{x})
	return nil
}
