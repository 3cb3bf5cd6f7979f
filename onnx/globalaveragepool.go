package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatGlobalAveragePool(n *floatNode, _ models.Op) error { return n.write("GlobalAveragePool") }

// quantizedMean gives the mean the scale that the multiplier stands for.
func quantizedMean(e *exporter, l *layer) error {
	m, in := l.Op.(*int8.Mean), e.tensors[l.Inputs[0]]
	step := int8.RealMultiplier(m.Multiplier, m.Shift) * float64(in.Shape.H*in.Shape.W) * float64(l.Out.Scale)
	x := e.scaled(l, 0, "input", step)
	e.round(l.Name, e.node("GlobalAveragePool", l.Name, l.Name+".real", []string{x}), l.Out)
	return nil
}

// quantizedGlobalAveragePool writes the average, in floating point.
func quantizedGlobalAveragePool(e *exporter, l *layer) error {
	x := e.real(l.Name+".input", l.inputs[0], e.tensors[l.Inputs[0]])
	e.node("GlobalAveragePool", l.Name, l.Name, []string{x})
	return nil
}
