package observe

import (
	"math"

	"edgeclassify/calibrate/quantize"
)

// clipWeight is the weight of the squared error of clipped values. Errors of
// rounding have both signs and average out over a window and a pooled plane;
// those of clipping all point to zero and add up. With equal weights a few
// images of strong activations have most of the network's noise.
const clipWeight = 4

// Range picks the range of a tensor. One that is as good as zero everywhere gets
// an arbitrary range.
func (h *Histogram) Range(m quantize.Method) quantize.Range {
	full := h.Limits()
	if full.Max-full.Min < 1e-20 {
		return quantize.Range{Max: 1}
	}
	switch m {
	case quantize.Percentile:
		return h.percentile(full, 1e-4)
	case quantize.Entropy:
		return h.leastDivergence(full)
	case quantize.ClipMSE, quantize.ChannelMSE:
		return h.leastSquares(full, clipWeight)
	case quantize.MSE:
		return h.leastSquares(full, 1)
	default:
		return full
	}
}

// percentile cuts off the share of values that lie outside, half of it on each
// side of a tensor with both signs.
func (h *Histogram) percentile(full quantize.Range, share float64) quantize.Range {
	total := h.zeros()
	h.each(func(_ float64, n uint64) { total += n })
	cut := uint64(share * float64(total))
	positive, negative := h.sides()
	if h.signed() {
		cut /= 2
	}
	// edge is the outer edge of the first bin that the cut does not swallow.
	edge := func(counts []uint64) float64 {
		var outside uint64
		for i := len(counts) - 1; i >= 0; i-- {
			if outside += counts[i]; outside > cut {
				return float64(i+1) * float64(h.width)
			}
		}
		return float64(h.width)
	}
	r := quantize.Range{Max: min(full.Max, edge(positive))}
	if h.signed() {
		r.Min = max(full.Min, -edge(negative))
	}
	return r
}

// leastSquares searches the range with the least squared quantization error,
// sum of count * (x - Q(x))^2 over the bins, clipped ones weighted: 200 steps
// from 0.3 to 1 times the full range, then finer around the best, each end by
// itself where values have both signs.
func (h *Histogram) leastSquares(full quantize.Range, clipWeight float64) quantize.Range {
	best := quantize.GridMin(0.3, 1, 200, func(a float64) float64 { return h.loss(full.Scaled(a, a), clipWeight) })
	lo, hi := best, best
	for range 2 {
		hi = quantize.GridMin(max(0.2, hi-0.1), min(1, hi+0.1), 80, func(a float64) float64 { return h.loss(full.Scaled(lo, a), clipWeight) })
		if full.Min < 0 {
			lo = quantize.GridMin(max(0.2, lo-0.1), min(1, lo+0.1), 80, func(a float64) float64 { return h.loss(full.Scaled(a, hi), clipWeight) })
		}
	}
	return full.Scaled(lo, hi)
}

// loss is the sum of squared errors when values are quantized to r, those of
// clipped values times clipWeight.
func (h *Histogram) loss(r quantize.Range, clipWeight float64) float64 {
	scale, zero := r.Params()
	lo, hi := float64(-128-int(zero)), float64(127-int(zero))
	inverse, sum := 1/scale, 0.0
	h.each(func(x float64, n uint64) {
		exact, weight := math.Round(x*inverse), float64(n)
		q := max(lo, min(hi, exact))
		if q != exact {
			weight *= clipWeight
		}
		d := x - float64(q*scale)
		sum += float64(d * d * weight)
	})
	return sum
}
