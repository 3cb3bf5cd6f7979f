package fp32

import (
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

type maxPool struct{ window }

func newMaxPool(op *models.MaxPool, in, out tensor.Shape, _ models.Clip) (Operation, error) {
	return Operation{Run: maxPool{window{op.Window, in, out}}.run}, nil
}

func (p maxPool) run(w Worker, y []float32, in [][]float32) {
	x := in[0]
	p.eachPixel(w, y, func(y []float32, oy, ox int) {
		for c := range y {
			y[c] = float32(math.Inf(-1))
		}
		p.eachTap(x, oy, ox, func(_ int, x []float32) {
			for c, v := range x {
				y[c] = max(y[c], v)
			}
		})
	})
}
