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
// an arbitrary range. Where only a function of the values counts, the methods of
// squared errors take those behind it; nil stands for the values themselves.
func (h *Histogram) Range(m quantize.Method, f func(x float64) float64) quantize.Range {
	full := h.Limits()
	if full.Max-full.Min < 1e-20 {
		return quantize.Range{Max: 1}
	}
	weight := 1.0
	switch m {
	case quantize.Percentile:
		return h.percentile(full, 1e-4)
	case quantize.Entropy:
		return h.leastDivergence(full)
	case quantize.MinMax:
		return full
	case quantize.ClipMSE, quantize.ChannelMSE:
		weight = clipWeight
	}
	if f == nil {
		return h.leastSquares(full, weight)
	}
	return h.leastSquaresBehind(full, weight, f)
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
	bins := h.bins()
	best := quantize.GridMin(0.3, 1, 200, func(a float64) float64 { return bins.loss(full.Scaled(a, a), clipWeight) })
	lo, hi := best, best
	for range 2 {
		hi = quantize.GridMin(max(0.2, hi-0.1), min(1, hi+0.1), 80, func(a float64) float64 { return bins.loss(full.Scaled(lo, a), clipWeight) })
		if full.Min < 0 {
			lo = quantize.GridMin(max(0.2, lo-0.1), min(1, lo+0.1), 80, func(a float64) float64 { return bins.loss(full.Scaled(a, hi), clipWeight) })
		}
	}
	return full.Scaled(lo, hi)
}

// bins are the centres of those that are not empty, and their counts.
type bins []struct{ x, n float64 }

func (h *Histogram) bins() (b bins) {
	h.each(func(x float64, n uint64) { b = append(b, struct{ x, n float64 }{x, float64(n)}) })
	return b
}

// loss is the sum of squared errors when values are quantized to r, those of
// clipped values times clipWeight.
func (b bins) loss(r quantize.Range, clipWeight float64) float64 {
	scale, zero := r.Params()
	lo, hi := float64(-128-int(zero)), float64(127-int(zero))
	inverse, sum := 1/scale, 0.0
	for _, bin := range b {
		v, weight := float64(bin.x*inverse), bin.n
		exact := math.Trunc(v) // rounded as math.Round does, without a call
		if v-exact >= 0.5 {
			exact++
		} else if exact-v >= 0.5 {
			exact--
		}
		q := max(lo, min(hi, exact))
		if q != exact {
			weight *= clipWeight
		}
		d := bin.x - float64(q*scale)
		sum += float64(d * d * weight)
	}
	return sum
}

// leastSquaresBehind searches the range with the least squared error of f: each end by
// itself, from a 64th of the full range in steps of an eighth, the other one first
// where it is widest, until neither moves.
func (h *Histogram) leastSquaresBehind(full quantize.Range, clipWeight float64, f func(x float64) float64) quantize.Range {
	const steps = 48
	end := func(loss func(a float64) float64) float64 {
		return math.Exp2(quantize.GridMin(-6, 0, steps, func(e float64) float64 { return loss(math.Exp2(e)) }))
	}
	bins := h.behind(f)
	lo, hi := 1.0, 1.0
	for range 4 {
		before := [2]float64{lo, hi}
		lo = end(func(a float64) float64 { return bins.loss(full.Scaled(a, hi), clipWeight, f) })
		hi = end(func(a float64) float64 { return bins.loss(full.Scaled(lo, a), clipWeight, f) })
		if before == [2]float64{lo, hi} {
			break
		}
	}
	return full.Scaled(lo, hi)
}

// curved are bins with what a function makes of their centres.
type curved []struct{ x, fx, n float64 }

func (h *Histogram) behind(f func(x float64) float64) (c curved) {
	h.each(func(x float64, n uint64) { c = append(c, struct{ x, fx, n float64 }{x, f(x), float64(n)}) })
	return c
}

// loss is the sum of squared errors of f when values are quantized to r, those of
// clipped values times clipWeight.
func (c curved) loss(r quantize.Range, clipWeight float64, f func(x float64) float64) float64 {
	scale, zero := r.Params()
	lo, hi := float64(-128-int(zero)), float64(127-int(zero))
	var values [256]float64
	for i := range values {
		values[i] = f((lo + float64(i)) * scale)
	}
	sum := 0.0
	for _, b := range c {
		exact, weight := math.Round(b.x/scale), b.n
		q := max(lo, min(hi, exact))
		if q != exact {
			weight *= clipWeight
		}
		d := b.fx - values[int(q-lo)]
		sum += float64(d * d * weight)
	}
	return sum
}
