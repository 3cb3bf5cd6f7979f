package observe

import (
	"errors"
	"math"
	"slices"

	"edgeclassify/calibrate/quantize"
)

// half is the number of bins on each side of zero. The bin width is a power of
// two, doubled whenever a value falls outside; at least half of the bins then
// span the largest magnitude, many for each of the 255 steps of an int8.
const half = 1 << 13

// lanes are further places behind the bins, where zeros are counted in turn: half of
// all values are, and an addition to one place waits for the one before.
const lanes = 8

// Histogram counts the values of one tensor over any number of images in
// constant memory. Because widths are powers of two and bins merge exactly, it
// depends on the values alone, not on their order, and histograms of parts add
// up to the histogram of the whole.
type Histogram struct {
	exponent int // the bin width is 2^exponent
	width    float32
	// counts[half] counts zeros, counts[half+1+i] values in [i, i+1) * width and
	// counts[half-1-i] those of the opposite sign.
	counts   []uint64
	min, max float32
}

// NewHistogram is one of no values.
func NewHistogram() *Histogram {
	h := &Histogram{counts: newCounts()}
	h.setExponent(-40)
	return h
}

func newCounts() []uint64 { return make([]uint64, 2*half+1, 2*half+1+lanes) }

func (h *Histogram) setExponent(e int) {
	h.exponent, h.width = e, float32(math.Ldexp(1, e))
}

// bin is the place of a value in counts, given 1 / width, which is exact.
// Branches on signs and zeros, which no CPU predicts, would take longer than all
// else in observing a network.
func bin(v, inverse float32) int {
	bits := int32(math.Float32bits(v + 0)) // which gives negative zero the sign of zero
	sign := bits>>31 | int32(uint32(bits|-bits)>>31)
	return half + int(int32(v*inverse)) + int(sign)
}

// Add counts values; it fails on NaN and infinities.
func (h *Histogram) Add(values []float32) error {
	lo, hi, err := extremes(values)
	if err != nil {
		return err
	}
	h.reach(lo, hi)
	inverse := 1 / h.width
	for _, v := range values {
		h.counts[bin(v, inverse)]++
	}
	return nil
}

// addBoth counts values in HWC order: in plain once, in weighted as often as the
// weight of their channel says. Both must have counted the same values before.
func addBoth(plain, weighted *Histogram, values []float32, weights []uint64) error {
	lo, hi, err := extremes(values)
	if err != nil {
		return err
	}
	countBoth(plain, weighted, values, weights, lo, hi)
	return nil
}

// countBoth is addBoth of values from lo to hi.
func countBoth(plain, weighted *Histogram, values []float32, weights []uint64, lo, hi float32) {
	plain.reach(lo, hi)
	weighted.reach(lo, hi)
	inverse := 1 / plain.width
	once, often := plain.counts[:2*half+1+lanes], weighted.counts[:2*half+1+lanes]
	places := make([]uint16, len(weights)*(1+1000/len(weights))) // of whole pixels
	for ; len(values) > 0; values = values[len(places):] {
		places = places[:min(len(places), len(values))]
		number(places, values[:len(places)], inverse)
		for rest := places; len(rest) > 0; rest = rest[len(weights):] {
			for c, at := range rest[:len(weights)] {
				once[at]++
				often[at] += weights[c]
			}
		}
	}
	plain.settle()
	weighted.settle()
}

// settle brings the zeros home.
func (h *Histogram) settle() {
	outside := h.counts[len(h.counts):cap(h.counts)]
	for _, n := range outside {
		h.counts[half] += n
	}
	clear(outside)
}

// extremes are the least and the greatest value, or zero where that is less or
// greater. Floats of one sign compare as their bits do, NaN beyond infinity.
func extremes(values []float32) (lo, hi float32, err error) {
	var least uint32
	var greatest int32
	for _, v := range values {
		bits := math.Float32bits(v)
		least, greatest = max(least, bits), max(greatest, int32(bits))
	}
	return limits(least, greatest)
}

// limits are extremes by their bits.
func limits(least uint32, greatest int32) (lo, hi float32, err error) {
	hi = math.Float32frombits(uint32(greatest))
	if least > 1<<31 {
		lo = math.Float32frombits(least)
	}
	if !(lo >= -math.MaxFloat32 && hi <= math.MaxFloat32) {
		return 0, 0, errors.New("a value is NaN or infinite")
	}
	return lo, hi, nil
}

// reach makes room for values from lo to hi.
func (h *Histogram) reach(lo, hi float32) {
	h.min, h.max = min(h.min, lo), max(h.max, hi)
	h.cover(max(-lo, hi))
}

// Limits are the least and the greatest value, or zero where that is less or
// greater.
func (h *Histogram) Limits() quantize.Range {
	return quantize.Range{Min: float64(h.min), Max: float64(h.max)}
}

// Bins are the counts in at most n bins from a value on, as wide as a power of
// two.
func (h *Histogram) Bins(n int) (from, width float64, counts []uint64) {
	width = float64(h.width)
	bin := func(v float64) int { return int(math.Floor(v / width)) }
	for bin(float64(h.max))-bin(float64(h.min)) >= n {
		width *= 2
	}
	first := bin(float64(h.min))
	counts = make([]uint64, bin(float64(h.max))-first+1)
	counts[-first] += h.zeros()
	// A bin whose outer edge is the minimum has its centre beyond.
	h.each(func(value float64, n uint64) { counts[max(bin(value)-first, 0)] += n })
	return float64(first) * width, width, counts
}

// signed tells whether any value was negative.
func (h *Histogram) signed() bool { return h.min < 0 }

func (h *Histogram) zeros() uint64 { return h.counts[half] }

// sides are the counts of positive and of negative values by magnitude.
func (h *Histogram) sides() (positive, negative []uint64) {
	negative = slices.Clone(h.counts[:half])
	slices.Reverse(negative)
	return h.counts[half+1:], negative
}

func (h *Histogram) clone() *Histogram {
	c := *h
	c.counts = append(newCounts()[:0], h.counts...)
	return &c
}

// cover widens the bins until the magnitude falls into one.
func (h *Histogram) cover(magnitude float32) {
	steps := 0
	for float64(magnitude) >= math.Ldexp(half, h.exponent+steps) {
		steps++
	}
	if steps == 0 {
		return
	}
	h.setExponent(h.exponent + steps)
	merged := newCounts()
	merged[half] = h.counts[half]
	for i := range half {
		to := i >> steps
		merged[half+1+to] += h.counts[half+1+i]
		merged[half-1-to] += h.counts[half-1-i]
	}
	h.counts = merged
}

// Join adds the counts of other.
func (h *Histogram) Join(other *Histogram) {
	h.reach(other.min, other.max)
	if other.exponent < h.exponent {
		other = other.clone()
		other.cover(max(-h.min, h.max))
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
}

// each calls f with the centre and count of every bin that is not empty, zero
// apart.
func (h *Histogram) each(f func(value float64, count uint64)) {
	width := float64(h.width)
	for i, n := range h.counts[half+1:] {
		if n > 0 {
			f((float64(i)+0.5)*width, n)
		}
	}
	for i := 0; h.signed() && i < half; i++ {
		if n := h.counts[half-1-i]; n > 0 {
			f(-(float64(i)+0.5)*width, n)
		}
	}
}
