package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newMul(_ models.Mul, in, _ tensor.Shape, _ models.Clip) (Operation, error) {
	return Operation{Run: func(w Worker, y []float32, in [][]float32) { mul(w, y, in[0], in[1]) }, OverX: true}, nil
}

// mul multiplies by values of y's shape, or by one for each channel.
func mul(w Worker, y, x, z []float32) {
	from, to := w.Part(len(y)/len(z), 1)
	if len(y) == len(z) {
		from, to = w.Part(len(y), Line)
		z = z[from:to]
	} else {
		from, to = from*len(z), to*len(z)
	}
	for ; from < to; from += len(z) {
		x, y := x[from:][:len(z)], y[from:][:len(z)]
		for c, v := range z {
			y[c] = x[c] * v
		}
	}
}
