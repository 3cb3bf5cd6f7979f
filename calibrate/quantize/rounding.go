package quantize

import (
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// rounded are a unit's weights as integers with a scale per output channel, 0
// for a channel without weights.
type rounded struct {
	scales []float64
	weight []int8.Value
}

// byTable returns the rounded weights of a unit, with the scales and steps that
// the table may have.
func (q *Quantizer) byTable(i int, t *RangeTable) (*rounded, error) {
	name, result := q.units[i].Name, q.nearest[i]()
	if scales := t.Scales[name]; scales != nil {
		if len(scales) != len(result.scales) {
			return nil, fmt.Errorf("the range table has %d scales of its weights, want %d, one for each output channel", len(scales), len(result.scales))
		}
		weight, _ := q.exact(i)
		result = roundTo(weight, scales)
	}
	steps := t.Steps[name]
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

// roundToNearest rounds with the scales of least squared error, one for each bias.
func roundToNearest(weight []float32, bias []float64) *rounded {
	scales, depth := make([]float64, len(bias)), len(weight)/len(bias)
	Parallel(len(bias), func(o int) { scales[o] = weightScale(weight[o*depth : (o+1)*depth]) })
	return roundTo(weight, scales)
}

// roundTo rounds to nearest with the given scales.
func roundTo(weight []float32, scales []float64) *rounded {
	result, depth := &rounded{scales, make([]int8.Value, len(weight))}, len(weight)/len(scales)
	Parallel(len(scales), func(o int) {
		roundWeights(result.weight[o*depth:(o+1)*depth], weight[o*depth:(o+1)*depth], scales[o])
	})
	return result
}

// exact returns the weights and biases of a unit, as its integer input asks for;
// the biases are the caller's.
func (q *Quantizer) exact(i int) (weight []float32, bias []float64) {
	u := &q.units[i]
	p := u.Op.(models.Linear).Parameters()
	weight, bias = p.Weight, FloatBias(p.Bias, p.Out)
	if u.Inputs[0] == tensor.Input {
		weight, bias = FoldImage(weight, bias, q.graph.Input().C, q.graph.Preprocess)
	}
	return weight, bias
}

// FloatBias is a bias of n channels, also of a nil one.
func FloatBias(bias []float32, n int) []float64 {
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
	return GridMin(0.6, 1, 63, func(t float64) float64 { return loss(float32(t * float64(largest) / 127)) }) * float64(largest) / 127
}

// roundingLoss is the squared error of weights rounded to a scale. Four sums go on
// side by side: one would wait for its last addition.
func roundingLoss(row []float32, scale float32) float64 {
	inverse := 1 / scale
	var a, b, c, d float64
	for ; len(row) >= 4; row = row[4:] {
		a += roundingError(row[0], scale, inverse)
		b += roundingError(row[1], scale, inverse)
		c += roundingError(row[2], scale, inverse)
		d += roundingError(row[3], scale, inverse)
	}
	for _, w := range row {
		a += roundingError(w, scale, inverse)
	}
	return a + b + (c + d)
}

// roundingError is the squared error of a weight.
func roundingError(w, scale, inverse float32) float64 {
	d := w - float32(roundWeight(w, inverse)*scale)
	return float64(float32(d * d))
}

// roundWeight is w in steps of the scale, rounded to nearest even and clipped.
// Adding and subtracting 1.5 * 2^23 rounds a float32 of that size.
func roundWeight(w, inverse float32) float32 {
	const magic = 3 << 22
	r := float32(float32(float32(w*inverse)+magic) - magic)
	if r > 127 { // branches, which are hardly ever taken, are faster than min and max
		return 127
	}
	if r < -127 {
		return -127
	}
	return r
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
