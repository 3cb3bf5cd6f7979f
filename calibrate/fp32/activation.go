package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newActivation(op models.Activation, _, _ tensor.Shape, _ models.Clip) (Operation, error) {
	f := op.Func()
	return Operation{Run: func(w Worker, y []float32, in [][]float32) {
		from, to := w.Part(len(y), Line)
		x, y := in[0][from:to], y[from:to]
		for i, v := range x {
			y[i] = float32(f(float64(v)))
		}
	}, OverX: true}, nil
}
