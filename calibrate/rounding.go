package calibrate

import (
	"fmt"
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

// byTable returns the rounded weights of a unit that is a convolution or the
// classifier, with the scales and steps that the table may have.
func (r *rounder) byTable(u unit, t *RangeTable) (*rounded, error) {
	result := r.nearest(u)
	if scales := t.Scales[u.name]; scales != nil {
		if len(scales) != len(result.scales) {
			return nil, fmt.Errorf("the range table has %d scales of its weights, want %d, one for each output channel", len(scales), len(result.scales))
		}
		result = r.scaled(u, scales)
	}
	steps := t.Steps[u.name]
	if steps == nil {
		return result, nil
	}
	if len(steps) != len(result.weight) {
		return nil, fmt.Errorf("the range table has %d steps of its weights, want %d", len(steps), len(result.weight))
	}
	result = &rounded{result.scales, slices.Clone(result.weight)}
	for i, step := range steps {
		result.weight[i] = max(-127, min(127, result.weight[i]+step))
	}
	return result, nil
}

// nearest rounds to nearest, with the scales of least squared error.
func (r *rounder) nearest(u unit) *rounded {
	if r.done[u.name] == nil {
		weight, bias := r.exact(u)
		scales, depth := make([]float64, len(bias)), len(weight)/len(bias)
		parallel(len(bias), func(o int) { scales[o] = weightScale(weight[o*depth : (o+1)*depth]) })
		r.done[u.name] = r.scaled(u, scales)
	}
	return r.done[u.name]
}

// scaled rounds to nearest with the given scales.
func (r *rounder) scaled(u unit, scales []float64) *rounded {
	weight, _ := r.exact(u)
	result, depth := &rounded{scales, make([]int8.Value, len(weight))}, len(weight)/len(scales)
	parallel(len(scales), func(o int) {
		roundWeights(result.weight[o*depth:(o+1)*depth], weight[o*depth:(o+1)*depth], scales[o])
	})
	return result
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

// weightScale is the scale of a row of weights with the least squared error; 0
// for a row of zeros.
func weightScale(row []float32) float64 {
	return bestScale(row, func(scale float32) float64 { return roundingLoss(row, scale) })
}

// bestScale is the one of 64 scales with the least loss, from 0.6 to 1 times
// that which just holds the largest weight. 0 for a row of zeros.
func bestScale(row []float32, loss func(scale float32) float64) float64 {
	var largest float32
	for _, w := range row {
		largest = max(largest, w, -w)
	}
	if largest == 0 {
		return 0
	}
	return gridMin(0.6, 1, 63, func(t float64) float64 { return loss(float32(t * float64(largest) / 127)) }) * float64(largest) / 127
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
