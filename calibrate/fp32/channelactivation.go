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
	plain, in, out := function(op.Activation), float32(1), float32(1)
	if op.In != nil {
		in = op.In[c]
	}
	if op.Out != nil {
		out = op.Out[c]
	}
	if op.Slopes == nil {
		return func(x float32) float32 {
			y := [1]float32{x * in}
			plain(y[:], y[:])
			return y[0] / out
		}
	}
	f := op.Func(c)
	return func(x float32) float32 { return float32(f(float64(x))) }
}
