package quantize

import (
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

var gather = operation{keeps: true, reads16: true, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	u := &a.units[i]
	op := &int8.Gather{}
	for _, c := range u.Op.(*models.Gather).Indices {
		op.Indices = append(op.Indices, int32(c))
	}
	in.Shape = u.Shape
	return op, in, nil
}}

// gathered is the tensor whose channels another one is.
func gathered(units []Unit, id tensor.ID) tensor.ID {
	for id != tensor.Input && units[id.Node()].Op.Kind() == (*models.Gather)(nil).Kind() {
		id = units[id.Node()].Inputs[0]
	}
	return id
}
