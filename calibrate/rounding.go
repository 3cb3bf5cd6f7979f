package calibrate

import (
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// rounder rounds the weights of a graph's units, those of each unit once.
type rounder struct {
	graph *models.Graph
	units []unit
	done  map[string]*rounded
}

// rounded are a unit's weights as integers with a scale per output channel, 0
// for a channel without weights.
type rounded struct {
	scales []float64
	weight []int8.Value
}

func newRounder(g *models.Graph, units []unit) *rounder {
	return &rounder{graph: g, units: units, done: map[string]*rounded{}}
}

// exact returns the weights and biases of a unit that is a convolution or the
// classifier, as its integer input asks for; the biases are the caller's.
func (r *rounder) exact(u unit) (weight []float32, bias []float64) {
	switch op := u.op.(type) {
	case *models.Conv:
		weight, bias = op.Weight, floatBias(op.Bias, op.OutC)
		if u.inputs[0] == r.graph.InputName {
			weight, bias = foldImage(op, bias, r.graph.Preprocess)
		}
	case *models.Dense:
		weight, bias = op.Weight, floatBias(op.Bias, op.Out)
	}
	return weight, bias
}

// round returns the rounded weights of such a unit.
func (r *rounder) round(u unit) *rounded {
	if done := r.done[u.name]; done != nil {
		return done
	}
	weight, bias := r.exact(u)
	result := &rounded{make([]float64, len(bias)), make([]int8.Value, len(weight))}
	depth := len(weight) / len(bias)
	parallel(len(bias), func(o int) {
		row := weight[o*depth : (o+1)*depth]
		result.scales[o] = weightScale(row)
		roundWeights(result.weight[o*depth:(o+1)*depth], row, result.scales[o])
	})
	r.done[u.name] = result
	return result
}

// foldImage rewrites the first convolution for raw RGB pixels: channel order,
// mean and standard deviation move into weights and bias. Its input's real
// value is then the pixel minus the mean as imageTensor rounds it.
func foldImage(op *models.Conv, bias []float64, p preprocess.Spec) ([]float32, []float64) {
	weight := make([]float32, len(op.Weight))
	bias = slices.Clone(bias)
	depth := len(op.Weight) / op.OutC
	for i, w := range op.Weight {
		c := i % 3
		scaled := float64(w) / float64(p.Std[c])
		weight[i-c+p.Channel(c)] = float32(scaled)
		mean := float64(p.Mean[c])
		bias[i/depth] += float64(scaled * (max(0, min(255, math.Round(mean))) - mean))
	}
	return weight, bias
}

func floatBias(bias []float32, n int) []float64 {
	out := make([]float64, n)
	for i, b := range bias {
		out[i] = float64(b)
	}
	return out
}

// weightScale is the scale of one output channel: of 64 candidates from 0.6 to
// 1 times the largest weight / 127 the one with the least squared error. 0 for
// a channel without weights.
func weightScale(row []float32) float64 {
	var largest float32
	for _, w := range row {
		largest = max(largest, w, -w)
	}
	if largest == 0 {
		return 0
	}
	return gridMin(0.6, 1, 63, func(t float64) float64 {
		return roundingLoss(row, float32(t*float64(largest)/127))
	}) * float64(largest) / 127
}

// roundingLoss is the squared error of weights rounded to a scale.
func roundingLoss(row []float32, scale float32) float64 {
	inverse, sum := 1/scale, 0.0
	for _, w := range row {
		d := w - float32(roundWeight(w, inverse)*scale)
		sum += float64(float32(d * d))
	}
	return sum
}

// roundWeight is w in steps of the scale, rounded to nearest even and clipped.
// Adding and subtracting 1.5 * 2^23 rounds a float32 of that size.
func roundWeight(w, inverse float32) float32 {
	const magic = 3 << 22
	return max(-127, min(127, float32(float32(float32(w*inverse)+magic)-magic)))
}

func roundWeights(dst []int8.Value, row []float32, scale float64) {
	if scale == 0 {
		clear(dst)
		return
	}
	for i, w := range row {
		dst[i] = int8.Value(max(-127, min(127, math.RoundToEven(float64(w)/scale))))
	}
}
