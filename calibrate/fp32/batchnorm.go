package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// batchNorm is y = scale * x + shift, per channel.
type batchNorm struct{ scale, shift []float32 }

func newBatchNorm(op *models.BatchNorm, _, _ tensor.Shape, _ models.Clip) (Operation, error) {
	scale, shift, err := op.Affine()
	if err != nil {
		return Operation{}, err
	}
	b := batchNorm{make([]float32, len(scale)), make([]float32, len(shift))}
	for c := range scale {
		b.scale[c], b.shift[c] = float32(scale[c]), float32(shift[c])
	}
	return Operation{Run: b.run, OverX: true}, nil
}

func (b batchNorm) run(w Worker, y []float32, in [][]float32) {
	x := in[0]
	channels := len(b.scale)
	from, to := w.Part(len(y)/channels, 1)
	for i := from * channels; i < to*channels; i += channels {
		x, y := x[i:][:channels], y[i:][:channels]
		for c, v := range x {
			y[c] = float32(b.scale[c]*v) + b.shift[c]
		}
	}
}
