package calibrate

import (
	"math"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// errorGains tell how much of a squared error in a channel arrives at the output, by
// tensor of a folded graph of these shapes: every convolution and dense layer
// multiplies by its squared weights, what has no weights passes an error on as it
// is. Errors are taken for independent and ReLUs for open.
func errorGains(g *models.Graph, shapes map[string]tensor.Shape) map[string][]float64 {
	all := map[string][]float64{}
	for name, shape := range shapes {
		all[name] = make([]float64, shape.C)
	}
	output := all[g.Nodes[len(g.Nodes)-1].Name]
	for c := range output {
		output[c] = 1
	}
	for _, n := range slices.Backward(g.Nodes) {
		for _, in := range n.Inputs {
			addGain(all[in], n.Op, all[n.Name])
		}
	}
	return all
}

// addGain adds to an input's gain that through op, given the output's.
func addGain(gain []float64, op models.Op, output []float64) {
	if !weighted(op) {
		for c, v := range output {
			gain[c] += v
		}
		return
	}
	eachWeight(op, len(gain), func(_, in, out int, w float32) {
		gain[in] += float64(float64(w) * float64(w) * output[out])
	})
}

// eachWeight calls f with the index of every weight of a Conv or Dense that
// reads a tensor of so many channels, and the channels it leads from and to.
func eachWeight(op models.Op, channels int, f func(i, in, out int, w float32)) {
	switch op := op.(type) {
	case *models.Conv:
		depth, groupIn, groupOut := len(op.Weight)/op.OutC, op.InC/op.Groups, op.OutC/op.Groups
		for i, w := range op.Weight {
			out := i / depth
			f(i, out/groupOut*groupIn+i%groupIn, out, w)
		}
	case *models.Dense:
		for i, w := range op.Weight {
			f(i, i%op.In%channels, i/op.In, w)
		}
	}
}

// finest is the ratio of the largest channel weight to the smallest.
const finest = 1 << 10

// channelWeights says how much each channel's values count for ChannelMSE, by
// tensor: integers, so that histograms stay exact.
func channelWeights(g *models.Graph, units []unit) (map[string][]uint64, error) {
	shapes, err := g.Shapes()
	if err != nil {
		return nil, err
	}
	gains, weights := errorGains(g, shapes), map[string][]uint64{}
	for _, u := range units {
		if _, conv := u.op.(*models.Conv); !conv {
			continue
		}
		w, gain := make([]uint64, u.shape.C), gains[u.tensor]
		largest := slices.Max(gain)
		for c := range w {
			w[c] = 1
			if largest > 0 {
				w[c] = max(1, uint64(math.Round(gain[c]/largest*finest)))
			}
		}
		weights[u.tensor] = w
	}
	return weights, nil
}
