package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

type globalAveragePool struct{ in tensor.Shape }

func newGlobalAveragePool(_ models.GlobalAveragePool, in, _ tensor.Shape, _ models.Clip) (Operation, error) {
	return Operation{Run: globalAveragePool{in}.run}, nil
}

func (p globalAveragePool) run(w Worker, y []float32, in [][]float32) {
	x := in[0]
	from, to := w.Part(p.in.C, Line)
	for c := from; c < to; c++ {
		sum := 0.0
		for i := c; i < len(x); i += p.in.C {
			sum += float64(x[i])
		}
		y[c] = float32(sum / float64(p.in.H*p.in.W))
	}
}
