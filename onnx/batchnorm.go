package onnx

import (
	"edgeclassify/models"
)

func floatBatchNorm(n *floatNode, op models.Op) error {
	b := op.(*models.BatchNorm)
	n.parameter(".gamma", b.Gamma, n.in.C)
	n.parameter(".beta", b.Beta, n.in.C)
	n.parameter(".mean", b.Mean, n.in.C)
	n.parameter(".variance", b.Variance, n.in.C)
	return n.write("BatchNormalization", real("epsilon", b.Epsilon))
}
