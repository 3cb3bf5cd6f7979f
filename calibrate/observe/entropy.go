package observe

import (
	"math"

	"edgeclassify/calibrate/quantize"
)

// leastDivergence searches the range whose codes keep most of the information
// in the distribution of magnitudes: the Kullback-Leibler calibration of Migacz,
// "8-bit Inference with TensorRT" (GTC 2017). Exact zeros are left out: every
// range represents them exactly, and behind a ReLU they would outweigh the rest.
func (h *Histogram) leastDivergence(full quantize.Range) quantize.Range {
	counts := h.magnitudes()
	levels := 256
	if h.signed() {
		levels = 128 // on each side of zero
	}
	const candidates = 256
	best, least := len(counts), math.Inf(1)
	for k := candidates; k > 0; k-- {
		n := len(counts) * k / candidates
		if n < levels {
			break
		}
		if d := divergence(counts, n, levels); d < least {
			best, least = n, d
		}
	}
	reach := float64(best) * float64(h.width)
	return quantize.Range{Min: max(full.Min, -reach), Max: min(full.Max, reach)}
}

// magnitudes are the counts of both signs up to the last that is not zero.
func (h *Histogram) magnitudes() []float64 {
	counts, n := make([]float64, half), 0
	positive, negative := h.sides()
	for _, side := range [][]uint64{positive, negative} {
		for i, c := range side {
			counts[i] += float64(c)
			if c > 0 {
				n = max(n, i+1)
			}
		}
	}
	return counts[:n]
}

// divergence is how far the first n counts, to the last of which the others are
// added, are from what remains of them after quantization to the given number of
// levels: each level's sum, spread evenly over its bins that are not empty. It is
// infinite where clipped values fall on a level that has no others.
func divergence(counts []float64, n, levels int) float64 {
	clipped := 0.0
	for _, c := range counts[n:] {
		clipped += c
	}
	var d, total, kept float64
	for level := range levels {
		run := counts[level*n/levels : (level+1)*n/levels]
		sum, filled := 0.0, 0.0
		for _, c := range run {
			if c > 0 {
				sum, filled = sum+c, filled+1
			}
		}
		for i, c := range run {
			if level == levels-1 && i == len(run)-1 {
				c += clipped
			}
			if c > 0 {
				d += float64(c * math.Log(c*filled/sum))
			}
			total += c
		}
		kept += sum
	}
	if !(kept > 0 && d < math.Inf(1)) {
		return math.Inf(1)
	}
	return d/total + math.Log(kept/total)
}
