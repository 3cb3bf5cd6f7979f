package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newGather(op *models.Gather, in, out tensor.Shape, _ models.Clip) (Operation, error) {
	return Operation{Run: func(w Worker, y []float32, inputs [][]float32) {
		from, to := w.Part(out.H*out.W, 1)
		for i := from; i < to; i++ {
			x, y := inputs[0][i*in.C:][:in.C], y[i*out.C:][:out.C]
			for k, c := range op.Indices {
				y[k] = x[c]
			}
		}
	}}, nil
}
