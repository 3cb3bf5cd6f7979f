package quantize

import (
	"math"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

var dense = operation{
	layer: classifier, reads16: true,
	hosts:  func(models.Op) bool { return true }, // where it is none and becomes a convolution
	window: func(_ models.Op, in tensor.Shape) tensor.Window { return whole(in) },
}

// whole is the window of a plane.
func whole(in tensor.Shape) tensor.Window {
	return tensor.Window{KH: in.H, KW: in.W, StrideH: 1, StrideW: 1}
}

func classifier(a *attempt, i int, in activation) (int8.Op, activation, error) {
	op := a.units[i].Op.(*models.Dense)
	out := activation{Tensor: int8.Tensor{Shape: a.units[i].Shape, Type: int8.Int32}}
	l, err := a.linear(i, in)
	if err != nil {
		return nil, out, err
	}
	d := &int8.Dense{
		In: op.In, Out: op.Out, Weight: make([]int8.Value, len(op.Weight)),
		Bias: make([]int32, op.Out), Scale: make([]float32, op.Out),
	}
	reach := int64(max(math.MaxUint8, in.Bound)) // of q - Zero
	Parallel(op.Out, func(o int) {
		exact, integers := row(l.geometry, l.weight, o), row(l.geometry, d.Weight, o)
		copy(integers, row(l.geometry, l.rounded.weight, o))
		s := l.rounded.scales[o]
		if least := max(math.Abs(l.bias[o])/in.scale/(1<<28), math.SmallestNonzeroFloat32/in.scale*(1<<24)); s < least {
			s = least
			roundWeights(integers, exact, s)
		}
		for int8.AbsSum(integers)*reach > 1<<30 {
			s *= 1.0625 // coarser weights, until no image can overflow the sum
			roundWeights(integers, exact, s)
		}
		d.Scale[o] = float32(s * in.scale)
		l.correct(o, integers, s)
		zeros := ZeroSum(integers, &in.Tensor, 0, l.groupIn)
		d.Bias[o] = saturated(math.Round(l.bias[o]/(s*in.scale)) - float64(zeros))
	})
	return d, out, nil
}
