package onnx

import (
	"edgeclassify/models"
)

func floatReLU(n *floatNode, _ models.Op)    { n.write("Relu") }
func floatAdd(n *floatNode, _ models.Op)     { n.write("Add") }
func floatSoftmax(n *floatNode, _ models.Op) { n.write("Softmax", integer("axis", 1)) }
