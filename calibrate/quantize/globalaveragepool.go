package quantize

import (
	"fmt"
	"math"

	"edgeclassify/int8"
)

// globalAveragePool leaves the division to the scale where the classifier alone reads
// it. Of planes too large for sums of int16 it makes means of int16, and for all other
// readers means that have a range.
var globalAveragePool = operation{ranged: true, pools: true, reads16: true, moves: always, layer: func(a *attempt, i int, in activation) (int8.Op, activation, error) {
	u, pixels := &a.units[i], float64(in.Shape.H*in.Shape.W)
	switch {
	case u.ranges != nil:
		out, err := a.rangedOutput(i)
		if err != nil {
			return nil, out, err
		}
		out.scale = max(out.scale, in.scale/(1<<12))
		return mean(in, out)
	case in.Type == int8.Int8 && in.SumBound() > math.MaxInt16:
		steps := math.MaxInt16 / math.MaxUint8
		out := int8.Tensor{Shape: u.Shape, Type: int8.Int16, Bound: int32(steps * math.MaxUint8)}
		return mean(in, activation{out, in.scale / float64(steps)})
	}
	out := int8.Tensor{Shape: u.Shape, Type: int8.Int16, Bound: int32(min(math.MaxInt16, in.SumBound()))}
	return int8.GlobalAveragePool{}, activation{out, in.scale / pixels}, nil
}}

// mean is the average of in.
func mean(in, out activation) (int8.Op, activation, error) {
	scale := in.scale / out.scale / float64(in.Shape.H*in.Shape.W)
	op := &int8.Mean{Shift: int8.ShiftFor(scale)}
	var err error
	op.Multiplier, err = int8.QuantizeMultiplier(scale, op.Shift)
	if err != nil {
		err = fmt.Errorf("the mean of %v: %w", in.Shape, err)
	}
	return op, out, err
}

func always(*Unit) bool { return true }
