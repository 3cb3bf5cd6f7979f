package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

type averagePool struct {
	window
	countPad bool
}

func newAveragePool(op *models.AveragePool, in, out tensor.Shape, _ models.Clip) (Operation, error) {
	return Operation{Run: averagePool{window{op.Window, in, out}, op.CountPad}.run}, nil
}

func (p averagePool) run(w Worker, y []float32, in [][]float32) {
	x := in[0]
	p.eachPixel(w, y, func(y []float32, oy, ox int) {
		clear(y)
		count := 0
		p.eachTap(x, oy, ox, func(_ int, x []float32) {
			count++
			for c, v := range x {
				y[c] += v
			}
		})
		if p.countPad {
			count = p.KH * p.KW
		}
		for c := range y {
			y[c] /= float32(count)
		}
	})
}
