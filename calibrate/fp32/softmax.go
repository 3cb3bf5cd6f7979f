package fp32

import (
	"math"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newSoftmax(models.Softmax, tensor.Shape, tensor.Shape, models.Clip) (Operation, error) {
	return Operation{Run: softmax, OverX: true}, nil
}

// softmax subtracts the greatest logit first, so that no exponential overflows.
func softmax(w Worker, y []float32, in [][]float32) {
	x := in[0]
	if w.number > 0 {
		return
	}
	greatest := slices.Max(x)
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - float64(greatest))
	}
	for i, v := range x {
		y[i] = float32(math.Exp(float64(v)-float64(greatest)) / sum)
	}
}
