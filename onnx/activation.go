package onnx

import (
	"fmt"
	"math"

	"edgeclassify/models"
)

// floatActivation writes functions of later operator sets by those of this one.
func floatActivation(n *floatNode, op models.Op) error {
	a, x := op.(models.Activation), n.inputs[0]
	number := func(suffix string, v float64) string { return constant(n.graph, n.name+suffix, []float32{float32(v)}) }
	step := func(op, suffix string, inputs ...string) string {
		return n.node(op, n.name+suffix, n.name+suffix, inputs)
	}
	times := func(factors ...string) error {
		n.inputs = factors
		return n.write("Mul")
	}
	switch a.Function {
	case models.HardSigmoid:
		return n.write("HardSigmoid", real("alpha", a.Alpha), real("beta", a.Beta))
	case models.LeakyReLU, models.ELU:
		return n.write(string(a.Function), real("alpha", a.Alpha))
	case models.HardSwish:
		gate := n.node("HardSigmoid", n.name+".gate", n.name+".gate", n.inputs, real("alpha", 1.0/6), real("beta", 0.5))
		return times(x, gate)
	case models.Swish:
		return times(x, step("Sigmoid", ".gate", step("Mul", ".scaled", x, number(".alpha", float64(a.Alpha)))))
	case models.Mish:
		return times(x, step("Tanh", ".gate", step("Softplus", ".softplus", x)))
	case models.GELU:
		erf := step("Erf", ".erf", step("Mul", ".scaled", x, number(".scale", 1/math.Sqrt2)))
		return times(step("Mul", ".half", x, number(".factor", 0.5)), step("Add", ".gate", erf, number(".one", 1)))
	case models.GELUTanh:
		cube := step("Mul", ".cube", x, step("Mul", ".square", x, x))
		sum := step("Add", ".sum", x, step("Mul", ".term", cube, number(".coefficient", 0.044715)))
		tanh := step("Tanh", ".tanh", step("Mul", ".scaled", sum, number(".scale", math.Sqrt(2/math.Pi))))
		return times(step("Mul", ".half", x, number(".factor", 0.5)), step("Add", ".gate", tanh, number(".one", 1)))
	}
	return n.write(string(a.Function))
}

// floatChannelActivation writes slopes of channels; scales are the quantizer's alone.
func floatChannelActivation(n *floatNode, op models.Op) error {
	a := op.(*models.ChannelActivation)
	if a.Function != models.LeakyReLU || a.In != nil || a.Out != nil {
		return fmt.Errorf("%s with scales of channels has no ONNX operator", a.Function)
	}
	n.parameter(".slope", a.Slopes, len(a.Slopes), 1, 1)
	return n.write("PRelu")
}
