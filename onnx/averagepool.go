package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatAveragePool(n *floatNode, op models.Op) error {
	p := op.(*models.AveragePool)
	attributes, err := averaging(p.Window, p.CountPad)
	if err != nil {
		return err
	}
	return n.write("AveragePool", attributes...)
}

func quantizedAveragePool(e *exporter, l *layer) error {
	p := l.Op.(*int8.AveragePool)
	attributes, err := averaging(p.Window, p.CountPad)
	if err != nil {
		return err
	}
	x := e.real(l.Name+".input", l.inputs[0], e.tensors[l.Inputs[0]])
	y := e.node("AveragePool", l.Name, l.Name+".real", []string{x}, attributes...)
	e.round(l.Name, y, l.Out)
	return nil
}
