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
			done := gated(y, x, -1, false)
			for i, v := range x[done:] {
				y[done+i] = 1 / (1 + exp(-v))
			}
		}
	case models.Swish:
		return func(y, x []float32) {
			done := gated(y, x, -op.Alpha, true)
			for i, v := range x[done:] {
				y[done+i] = v / (1 + exp(float32(-op.Alpha*v)))
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

// exponential is what exp computes with: limits of x, 1 / ln 2, a number whose unit in the
// last place is 1, ln 2 in two parts, 1, and the polynomial's coefficients.
var exponential = [...]float32{
	-87, 88, math.Log2E, 3 << 22, 0.693359375, 2.12194440e-4, 1,
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
}

// exp is e^x to two units in the last place, between e^-87 and e^88: 2^n times e^r by
// the polynomial of Cephes (Moshier, expf).
func exp(x float32) float32 {
	k := &exponential
	if x < k[0] {
		x = k[0]
	}
	if x > k[1] {
		x = k[1]
	}
	n := float32(x*k[2]) + k[3] - k[3]
	r := x - float32(n*k[4]) + float32(n*k[5])
	p := k[7]
	for _, c := range k[8:] {
		p = float32(p*r) + c
	}
	p = float32(float32(p*r)*r) + r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}
