package calibrate

import (
	"math"
	"slices"
)

// Margin is how far a picture's best class is ahead of the second in the float
// network's logits, and what quantization adds to that distance.
type Margin struct{ Float, Error float64 }

// NewMargin compares the logits of the two networks for one picture.
func NewMargin(float, quantized []float32) Margin {
	if len(float) < 2 {
		return Margin{Float: math.Inf(1)}
	}
	first, second := 0, 1
	if float[1] > float[0] {
		first, second = 1, 0
	}
	for c := 2; c < len(float); c++ {
		switch {
		case float[c] > float[first]:
			first, second = c, first
		case float[c] > float[second]:
			second = c
		}
	}
	m := Margin{Float: float64(float[first]) - float64(float[second])}
	m.Error = float64(quantized[first]) - float64(quantized[second]) - m.Float
	return m
}

// Disagreement estimates the share of pictures whose best class quantization
// changes, far below what counting them in a sample could tell. With a density
// f(0) of margins near zero it is f(0) times the mean of what errors take away
// from a margin, max(0, -error): for normal errors 0.4 * f(0) times their
// standard deviation.
func Disagreement(margins []Margin) float64 {
	if len(margins) == 0 {
		return 0
	}
	loss, floats := 0.0, make([]float64, len(margins))
	for i, m := range margins {
		loss += max(0, -m.Error)
		floats[i] = m.Float
	}
	if loss == 0 {
		return 0
	}
	return min(1, densityAtZero(floats)*loss/float64(len(margins)))
}

// densityAtZero estimates the density at zero of values that are not negative
// from the nearest sqrt(n) of them. (Loftsgaarden, Quesenberry: A Nonparametric
// Estimate of a Multivariate Density Function, 1965.)
func densityAtZero(values []float64) float64 {
	slices.Sort(values)
	k := int(math.Ceil(math.Sqrt(float64(len(values)))))
	return float64(k) / (float64(len(values)) * values[k-1])
}
