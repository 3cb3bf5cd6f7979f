package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatMaxPool(n *floatNode, op models.Op) {
	n.write("MaxPool", geometry(op.(*models.MaxPool).Window)...)
}

func quantizedMaxPool(e *exporter, l *layer) error {
	e.node("MaxPool", l.Name, l.Name, l.inputs, geometry(l.Op.(*int8.MaxPool).Window)...)
	return nil
}
