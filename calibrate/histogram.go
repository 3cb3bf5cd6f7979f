package calibrate

import (
	"fmt"
	"math"
	"slices"
)

// bins is the number of bins on each side of zero. The bin width is a power of
// two, doubled whenever a value falls outside; at least half of the bins then
// span the largest magnitude, many for each of the 255 steps of an int8.
const bins = 1 << 13

// histogram counts the values of one tensor over any number of images in
// constant memory. Because widths are powers of two and bins merge exactly, it
// depends on the values alone, not on their order, and histograms of parts add
// up to the histogram of the whole.
type histogram struct {
	exponent int // the bin width is 2^exponent
	width    float32
	negative []uint64 // |v| in [i, i+1) * width; nil until a value is negative
	positive []uint64
	zeros    uint64
	min, max float32
}

func newHistogram() *histogram {
	h := &histogram{positive: make([]uint64, bins)}
	h.setExponent(-40)
	return h
}

func (h *histogram) setExponent(e int) {
	h.exponent, h.width = e, float32(math.Ldexp(1, e))
}

// add counts values; it fails on NaN and infinities.
func (h *histogram) add(values []float32) error {
	if err := h.reach(values); err != nil {
		return err
	}
	scale := 1 / h.width // exact: a power of two
	for _, v := range values {
		switch {
		case v > 0:
			h.positive[int(v*scale)]++
		case v < 0:
			h.negative[int(-v*scale)]++
		default:
			h.zeros++
		}
	}
	return nil
}

// addWeighted counts values in HWC order, each as often as the weight of its
// channel says.
func (h *histogram) addWeighted(values []float32, weights []uint64) error {
	if err := h.reach(values); err != nil {
		return err
	}
	scale := 1 / h.width // exact: a power of two
	for ; len(values) > 0; values = values[len(weights):] {
		for c, v := range values[:len(weights)] {
			switch {
			case v > 0:
				h.positive[int(v*scale)] += weights[c]
			case v < 0:
				h.negative[int(-v*scale)] += weights[c]
			default:
				h.zeros += weights[c]
			}
		}
	}
	return nil
}

// reach makes room for values.
func (h *histogram) reach(values []float32) error {
	lo, hi := h.min, h.max
	for _, v := range values {
		lo, hi = min(lo, v), max(hi, v) // NaN wins
	}
	if !(lo >= -math.MaxFloat32 && hi <= math.MaxFloat32) {
		return fmt.Errorf("a value is NaN or infinite")
	}
	h.min, h.max = lo, hi
	h.cover(max(-lo, hi))
	if lo < 0 && h.negative == nil {
		h.negative = make([]uint64, bins)
	}
	return nil
}

func (h *histogram) clone() *histogram {
	c := *h
	c.negative, c.positive = slices.Clone(h.negative), slices.Clone(h.positive)
	return &c
}

// cover widens the bins until the magnitude falls into one.
func (h *histogram) cover(magnitude float32) {
	steps := 0
	for float64(magnitude) >= math.Ldexp(bins, h.exponent+steps) {
		steps++
	}
	if steps > 0 {
		merge(h.positive, steps)
		merge(h.negative, steps)
		h.setExponent(h.exponent + steps)
	}
}

// merge adds up runs of 2^steps bins.
func merge(counts []uint64, steps int) {
	for i, n := range counts {
		counts[i] = 0
		if steps < 64 {
			counts[i>>steps] += n
		} else {
			counts[0] += n
		}
	}
}

// join adds the counts of other.
func (h *histogram) join(other *histogram) {
	h.min, h.max = min(h.min, other.min), max(h.max, other.max)
	largest := max(-h.min, h.max)
	h.cover(largest)
	if other.exponent < h.exponent {
		other = other.clone()
		other.cover(largest)
	}
	h.zeros += other.zeros
	for i, n := range other.positive {
		h.positive[i] += n
	}
	if other.negative != nil && h.negative == nil {
		h.negative = make([]uint64, bins)
	}
	for i, n := range other.negative {
		h.negative[i] += n
	}
}

// each calls f with the centre and count of every bin that is not empty, zero
// apart.
func (h *histogram) each(f func(value float64, count uint64)) {
	width := float64(h.width)
	for i, n := range h.positive {
		if n > 0 {
			f((float64(i)+0.5)*width, n)
		}
	}
	for i, n := range h.negative {
		if n > 0 {
			f(-(float64(i)+0.5)*width, n)
		}
	}
}
