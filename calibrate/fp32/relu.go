package fp32

import (
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newReLU(models.ReLU, tensor.Shape, tensor.Shape, models.Clip) (Operation, error) {
	return Operation{Run: rectify, OverX: true}, nil
}

// rectify is ReLU as a convolution computes it, too: NaN and -0 stay.
func rectify(w Worker, y []float32, in [][]float32) {
	x := in[0]
	from, to := w.Part(len(y), Line)
	x, y = x[from:to], y[from:to]
	for i, v := range x {
		bits := math.Float32bits(v)
		if v < 0 {
			bits = 0
		}
		y[i] = math.Float32frombits(bits)
	}
}
