package fp32

import (
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// newChannelActivation has the bits of the Activation that its scales, powers of two, were
// made of.
func newChannelActivation(op *models.ChannelActivation, in, _ tensor.Shape, _ models.Clip) (Operation, error) {
	functions := make([]func(x float32) float32, in.C)
	for c := range functions {
		functions[c] = channelFunction(op, c)
	}
	return Operation{Run: func(w Worker, y []float32, in [][]float32) {
		from, to := w.Part(len(y), Line)
		for i, v := range in[0][from:to] {
			y[from+i] = functions[(from+i)%len(functions)](v)
		}
	}, OverX: true}, nil
}

func channelFunction(op *models.ChannelActivation, c int) func(x float32) float32 {
	if op.Function == models.Swish && op.Scales != nil {
		alpha := op.Alpha * op.Scales[c]
		return func(x float32) float32 { return x / (1 + exp(float32(-alpha*x))) }
	}
	f := op.Func(c)
	return func(x float32) float32 { return float32(f(float64(x))) }
}
