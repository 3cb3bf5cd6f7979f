package fp32

import "edgeclassify/models"

type depthwise struct {
	window
	weight []float32 // [KH*KW][C]
	bias   []float32 // [C]
}

func newDepthwise(op *models.Conv, g window) Operation {
	d := depthwise{g, make([]float32, len(op.Weight)), make([]float32, op.OutC)}
	taps := op.KH * op.KW
	for i, v := range op.Weight {
		d.weight[i%taps*op.OutC+i/taps] = v
	}
	copy(d.bias, op.Bias)
	return Operation{Run: d.run}
}

func (d depthwise) run(w Worker, y []float32, in [][]float32) {
	x := in[0]
	d.eachPixel(w, y, func(y []float32, oy, ox int) {
		copy(y, d.bias)
		d.eachTap(x, oy, ox, func(tap int, x []float32) {
			weight := d.weight[tap*len(y):][:len(y)]
			for c, v := range x {
				y[c] += float32(v * weight[c])
			}
		})
	})
}
