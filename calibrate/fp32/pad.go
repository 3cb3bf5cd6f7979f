package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func newPad(op models.Pad, in, out tensor.Shape, _ models.Clip) (Operation, error) {
	left, row, pitch := op.Left*in.C, in.W*in.C, out.W*out.C
	return Operation{Run: func(w Worker, y []float32, x [][]float32) {
		from, to := w.Part(out.H, 1)
		clear(y[from*pitch : to*pitch])
		for i := max(from, op.Top); i < min(to, op.Top+in.H); i++ {
			copy(y[i*pitch+left:], x[0][(i-op.Top)*row:][:row])
		}
	}}, nil
}
