package quantize

import (
	"math"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// errorGains tell how much of a squared error in a channel arrives at the output,
// by tensor of a folded graph: every convolution and dense layer multiplies by its
// squared weights, what has no weights passes an error on as it is. Errors are
// taken for independent, ReLUs for open and factors for 1.
func errorGains(g *models.Graph) [][]float64 {
	all := make([][]float64, g.Topology().Len())
	for i := range all {
		all[i] = make([]float64, g.Shape(tensor.ID(i)).C)
	}
	for c := range all[g.Output()] {
		all[g.Output()][c] = 1
	}
	for i, n := range slices.Backward(g.Nodes) {
		output := all[tensor.Output(i)]
		for _, in := range n.Inputs {
			addGain(all[in], n.Op, output)
			if _, ok := n.Op.(models.Concat); ok {
				output = output[len(all[in]):]
			}
		}
	}
	return all
}

// addGain adds to an input's gain that through op, given the output's.
func addGain(gain []float64, op models.Op, output []float64) {
	if g, ok := op.(*models.Gather); ok {
		for i, c := range g.Indices {
			gain[c] += output[i]
		}
		return
	}
	l, ok := op.(models.Linear)
	if !ok {
		for c := range gain {
			gain[c] += output[c]
		}
		return
	}
	l.Parameters().Each(len(gain), func(_, in, out int, w float32) {
		gain[in] += float64(float64(w) * float64(w) * output[out])
	})
}

// finest is the ratio of the largest channel weight to the smallest.
const finest = 1 << 10

// ChannelWeights says how much each channel's values count for ChannelMSE, by
// float tensor: integers, so that histograms stay exact.
func ChannelWeights(g *models.Graph, units []Unit) map[tensor.ID][]uint64 {
	gains, weights := errorGains(g), map[tensor.ID][]uint64{}
	for _, u := range Activations(units) {
		w, gain := make([]uint64, u.Shape.C), gains[u.Output]
		largest := slices.Max(gain)
		for c := range w {
			w[c] = 1
			if largest > 0 {
				w[c] = max(1, uint64(math.Round(gain[c]/largest*finest)))
			}
		}
		weights[u.Output] = w
	}
	return weights
}
