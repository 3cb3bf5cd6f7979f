package onnx

import (
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatReLU(n *floatNode, _ models.Op) error    { return n.write("Relu") }
func floatAdd(n *floatNode, _ models.Op) error     { return n.write("Add") }
func floatMul(n *floatNode, _ models.Op) error     { return n.write("Mul") }
func floatConcat(n *floatNode, _ models.Op) error  { return n.write("Concat", integer("axis", 1)) }
func floatSoftmax(n *floatNode, _ models.Op) error { return n.write("Softmax", integer("axis", 1)) }

func floatClip(n *floatNode, op models.Op) error {
	c := op.(models.Clip)
	n.parameter(".min", []float32{c.Min})
	n.parameter(".max", []float32{c.Max})
	return n.write("Clip")
}

func floatPad(n *floatNode, op models.Op) error {
	p := op.(models.Pad)
	pads := wide([]int{0, 0, p.Top, p.Left, 0, 0, p.Bottom, p.Right})
	n.inputs = append(n.inputs, constant(n.graph, n.name+".pads", pads, len(pads)))
	return n.write("Pad")
}

// quantizedAdd gives either input the scale that its ratio stands for.
func quantizedAdd(e *exporter, l *layer) error {
	a := l.Op.(*int8.Add)
	out := float64(l.Out.Scale)
	x := e.scaled(l, 0, "input0", math.Ldexp(float64(a.RatioA), -int(a.Shift))*out)
	y := e.scaled(l, 1, "input1", math.Ldexp(float64(a.RatioB), -int(a.Shift))*out)
	e.round(l.Name, e.node("Add", l.Name, l.Name+".real", []string{x, y}), l.Out)
	return nil
}

// quantizedMul gives the second input the scale that the multiplier leaves it.
func quantizedMul(e *exporter, l *layer) error {
	m, scale := l.Op.(*int8.Mul), float64(e.tensors[l.Inputs[0]].Scale)
	x := e.scaled(l, 0, "input0", scale)
	y := e.scaled(l, 1, "input1", int8.RealMultiplier(m.Multiplier, m.Shift)*float64(l.Out.Scale)/scale)
	e.round(l.Name, e.node("Mul", l.Name, l.Name+".real", []string{x, y}), l.Out)
	return nil
}

// quantizedConcat joins codes, or real numbers where the tensors are int16.
func quantizedConcat(e *exporter, l *layer) error {
	e.node("Concat", l.Name, l.Name, l.inputs, integer("axis", 1))
	return nil
}

// quantizedLookup takes codes from a table. Indices below zero count from its end; those
// of a channel with a table of its own begin at that.
func quantizedLookup(e *exporter, l *layer) error {
	op := l.Op.(*int8.Lookup)
	table, first := slices.Clone(op.Table), int32(0) // the place of code 0
	index := e.node("Cast", l.Name+".cast", l.Name+".index", l.inputs, integer("to", int(signed32)))
	switch {
	case e.Format == S8S8 && op.Channel == nil:
		table = append(table[128:], table[:128]...)
	case e.Format == S8S8:
		first = 128
	}
	if op.Channel != nil {
		places := make([]int32, len(op.Channel))
		for c, t := range op.Channel {
			places[c] = 256*t + first
		}
		index = e.node("Add", l.Name+".place", l.Name+".place", []string{index, constant(&e.graph, l.Name+".channel", places, len(places), 1, 1)})
	}
	e.node("Gather", l.Name, l.Name, []string{e.codes(l.Name+".table", table, len(table)), index})
	return nil
}
