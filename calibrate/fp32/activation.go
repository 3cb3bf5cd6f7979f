package fp32

import (
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newActivation(op models.Activation, _, _ tensor.Shape, _ models.Clip) (Operation, error) {
	apply := function(op)
	return Operation{Run: func(w Worker, y []float32, in [][]float32) {
		from, to := w.Part(len(y), Line)
		apply(y[from:to], in[0][from:to])
	}, OverX: true}, nil
}

// function is the activation of slices. Those by exp alone, which networks have behind
// most convolutions, are computed in float32.
func function(op models.Activation) func(y, x []float32) {
	switch op.Function {
	case models.Sigmoid:
		return func(y, x []float32) {
			for i, v := range x {
				y[i] = 1 / (1 + exp(-v))
			}
		}
	case models.Swish:
		return func(y, x []float32) {
			for i, v := range x {
				y[i] = v / (1 + exp(float32(-op.Alpha*v)))
			}
		}
	}
	f := op.Func()
	return func(y, x []float32) {
		for i, v := range x {
			y[i] = float32(f(float64(v)))
		}
	}
}

// exp is e^x to two units in the last place, between e^-87 and e^88: 2^n times e^r by
// the polynomial of Cephes (Moshier, expf).
func exp(x float32) float32 {
	const round = 3 << 22 // whose unit in the last place is 1
	if x < -87 {
		x = -87
	}
	if x > 88 {
		x = 88
	}
	n := float32(x*math.Log2E) + round - round
	r := x - float32(n*0.693359375) + float32(n*2.12194440e-4)
	p := float32(1.9875691500e-4)
	p = float32(p*r) + 1.3981999507e-3
	p = float32(p*r) + 8.3334519073e-3
	p = float32(p*r) + 4.1665795894e-2
	p = float32(p*r) + 1.6666665459e-1
	p = float32(p*r) + 5.0000001201e-1
	p = float32(float32(p*r)*r) + r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}
