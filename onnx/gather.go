package onnx

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func floatGather(n *floatNode, op models.Op) error {
	indices := wide(op.(*models.Gather).Indices)
	n.inputs = append(n.inputs, constant(n.graph, n.name+".indices", indices, len(indices)))
	return n.write("Gather", integer("axis", 1))
}

func quantizedGather(e *exporter, l *layer) error {
	indices := l.Op.(*int8.Gather).Indices
	e.node("Gather", l.Name, l.Name, []string{l.inputs[0], constant(&e.graph, l.Name+".indices", indices, len(indices))}, integer("axis", 1))
	return nil
}
