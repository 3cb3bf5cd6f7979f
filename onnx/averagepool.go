package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatAveragePool(n *floatNode, op models.Op) {
	p := op.(*models.AveragePool)
	n.write("AveragePool", averaging(p.Window, p.CountPad)...)
}

func quantizedAveragePool(e *exporter, l *layer) error {
	p := l.Op.(*int8.AveragePool)
	x := e.real(l.Name+".input", l.inputs[0], e.tensors[l.Inputs[0]])
	y := e.node("AveragePool", l.Name, l.Name+".real", []string{x}, averaging(p.Window, p.CountPad)...)
	e.round(l.Name, y, l.Out)
	return nil
}
