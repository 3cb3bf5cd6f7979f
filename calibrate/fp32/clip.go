package fp32

import (
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newReLU(models.ReLU, tensor.Shape, tensor.Shape, models.Clip) (Operation, error) {
	return newClip(models.Clip{Max: models.Unlimited().Max}, tensor.Shape{}, tensor.Shape{}, models.Unlimited())
}

func newClip(op models.Clip, _, _ tensor.Shape, _ models.Clip) (Operation, error) {
	return Operation{Run: func(w Worker, y []float32, in [][]float32) {
		from, to := w.Part(len(y), Line)
		limit(y[from:to], in[0][from:to], op)
	}, OverX: true}, nil
}

// limit clips as a convolution does, too: NaN and -0 stay.
func limit(y, x []float32, c models.Clip) {
	least, greatest := math.Float32bits(c.Min), math.Float32bits(c.Max)
	for i, v := range x {
		bits := math.Float32bits(v)
		if v < c.Min {
			bits = least
		}
		if v > c.Max {
			bits = greatest
		}
		y[i] = math.Float32frombits(bits)
	}
}
