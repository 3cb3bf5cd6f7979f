package quantize

import (
	"math"

	"edgeclassify/int8"
)

// globalAveragePool leaves the division to the scale.
var globalAveragePool = operation{layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	out := int8.Tensor{Shape: a.units[i].Shape, Type: int8.Int16, Bound: int32(min(math.MaxInt16, in.SumBound()))}
	return int8.GlobalAveragePool{}, activation{out, in.scale / float64(in.Shape.H*in.Shape.W)}, nil
}}
