package quantize

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

var maxPool = operation{keeps: true, reads16: true, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	u := &a.units[i]
	in.Shape = u.Shape
	return &int8.MaxPool{Window: u.Op.(*models.MaxPool).Window}, in, nil
}}
