package quantize

import "edgeclassify/int8"

// mul moves the output's scale where one step of the product is worth hundreds of it.
var mul = operation{ranged: true, hosts: clips, moves: always, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	out, err := a.rangedOutput(i)
	if err != nil {
		return nil, out, err
	}
	product := in.scale * a.tensors[a.units[i].Inputs[1]].scale
	out.scale = max(out.scale, product/(1<<8))
	op := &int8.Mul{Shift: int8.ShiftFor(product / out.scale)}
	op.Multiplier, err = int8.QuantizeMultiplier(product/out.scale, op.Shift)
	return op, out, err
}}
