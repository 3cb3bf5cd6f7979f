package quantize

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

var averagePool = operation{keeps: true, reads16: true, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	u := &a.units[i]
	op := u.Op.(*models.AveragePool)
	in.Shape = u.Shape
	return &int8.AveragePool{Window: op.Window, CountPad: op.CountPad}, in, nil
}}
