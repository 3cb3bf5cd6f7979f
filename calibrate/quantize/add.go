package quantize

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

// add is one that no convolution hosts.
var add = operation{ranged: true, makes16: true, reads16: true, hosts: clips, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	out, err := a.rangedOutput(i)
	if err != nil {
		return nil, out, err
	}
	out.Scale = float32(out.scale)
	second := a.tensors[a.units[i].Inputs[1]]
	op, err := int8.QuantizeAdd(&in.Tensor, &second.Tensor, &out.Tensor)
	return op, out, err
}}

// clips is for operations that saturate at the limits of a ReLU or Clip behind them.
func clips(behind models.Op) bool {
	_, sum := behind.(models.Add)
	return !sum
}
