package onnx

import (
	"fmt"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func floatMaxPool(n *floatNode, op models.Op) error {
	w := op.(*models.MaxPool).Window
	if err := checkPool(w); err != nil {
		return err
	}
	return n.write("MaxPool", geometry(w)...)
}

func quantizedMaxPool(e *exporter, l *layer) error {
	w := l.Op.(*int8.MaxPool).Window
	if err := checkPool(w); err != nil {
		return err
	}
	e.node("MaxPool", l.Name, l.Name, l.inputs, geometry(w)...)
	return nil
}

// checkPool refuses padding that dilation alone makes smaller than the kernel's reach,
// which ONNX Runtime does not take.
func checkPool(w tensor.Window) error {
	if max(w.Top, w.Bottom) >= w.KH || max(w.Left, w.Right) >= w.KW {
		return fmt.Errorf("a maximum over a %dx%d window with dilation and more padding has no ONNX form", w.KH, w.KW)
	}
	return nil
}
