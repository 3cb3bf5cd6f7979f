package calibrate

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"edgeclassify/int8"
)

// Method says how a tensor's range is chosen from its values.
type Method string

// The methods, see Observe.
const (
	ClipMSE    Method = "clip-mse"    // like MSE, but what is clipped counts clipWeight times
	MSE        Method = "mse"         // least squared error of the quantized values
	ChannelMSE Method = "channel-mse" // like ClipMSE, channels weighted by what their errors do to the output
	Entropy    Method = "entropy"     // least Kullback-Leibler divergence
	Percentile Method = "percentile"  // 99.99 % of the values
	MinMax     Method = "minmax"      // all values
)

// BatchNorm is the method of tables that DataFree makes.
const BatchNorm Method = "batchnorm"

// clipWeight is the weight of the squared error of clipped values. Errors of
// rounding have both signs and average out over a window and a pooled plane;
// those of clipping all point to zero and add up. With equal weights a few
// pictures of strong activations have most of the network's noise.
const clipWeight = 4

// Methods are all methods, the recommended one first.
func Methods() []Method { return []Method{ClipMSE, MSE, ChannelMSE, Entropy, Percentile, MinMax} }

// Valid tells whether m is one of them.
func (m Method) Valid() bool { return slices.Contains(Methods(), m) }

// Range is the span of real values that the codes -128 to 127 of a tensor
// cover. It always contains 0.
type Range struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// scale is the real value of one step, zero the code of real zero.
func (r Range) params() (scale float64, zero int8.Value) {
	scale = (r.Max - r.Min) / 255
	return scale, int8.Value(math.Round(-128 - r.Min/scale))
}

// RangeTable holds the range of every convolution's output and the means of
// what weights multiply: all that quantization needs to know about activations.
// It is plain JSON, to be reviewed and reused.
type RangeTable struct {
	Model      string           `json:"model"`         // name of the float graph
	SourceHash string           `json:"source_sha256"` // SHA-256 of the float model
	Method     Method           `json:"method"`
	Images     int              `json:"images"`
	ImagesHash string           `json:"images_sha256"`
	Seed       uint64           `json:"seed"`
	Ranges     map[string]Range `json:"ranges"`                  // by layer
	Means      map[string]Means `json:"means,omitempty"`         // by layer; without them biases are not corrected
	Shifts     map[string]Means `json:"shifts,omitempty"`        // by layer: what is added to its real biases beside that
	Scales     map[string]Means `json:"weight_scales,omitempty"` // by layer and output channel; others have the least squared error
	Steps      map[string]Steps `json:"weight_steps,omitempty"`  // by layer: moves of weights rounded to nearest
	// Wide are the layers whose output is int16.
	Wide []string `json:"wide,omitempty"`
	// Exponents are those of the equalization that all else refers to.
	Exponents Exponents `json:"exponents,omitempty"`
}

// Blend returns the table with ranges and means moved towards those of a prior,
// which counts as one picture: a table that DataFree made mends one of very few
// pictures, whose ranges miss what others hold. Ends of ranges are averaged
// geometrically. Layers that the prior lacks stay as they are.
func (t *RangeTable) Blend(prior *RangeTable) *RangeTable {
	weight := 1 / float64(t.Images+1)
	blended := *t
	blended.Ranges, blended.Means = maps.Clone(t.Ranges), maps.Clone(t.Means)
	for name, r := range t.Ranges {
		if p, ok := prior.Ranges[name]; ok {
			blended.Ranges[name] = Range{Min: -between(-r.Min, -p.Min, weight), Max: between(r.Max, p.Max, weight)}
		}
	}
	for name, means := range t.Means {
		if p := prior.Means[name]; len(p) == len(means) {
			sum := make([]float64, len(means))
			for c, m := range means {
				sum[c] = m + float64(weight*(p[c]-m))
			}
			blended.Means[name] = Means(sum).rounded()
		}
	}
	return &blended
}

// between is a^(1-weight) * b^weight, or the greater where one is zero.
func between(a, b, weight float64) float64 {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return a * math.Pow(b/a, weight)
}

// Write stores the table as indented JSON.
func (t *RangeTable) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(t)
}

// ReadRanges reads a table that Write stored and checks its values.
func ReadRanges(r io.Reader) (*RangeTable, error) {
	var t RangeTable
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("calibrate: range table: %w", err)
	}
	for name, v := range t.Ranges {
		if err := v.check(); err != nil {
			return nil, fmt.Errorf("calibrate: range table: layer %q: %w", name, err)
		}
	}
	return &t, nil
}

// huge is more than any activation of a sound network.
const huge = 1e30

func (r Range) check() error {
	if !(r.Min <= 0 && r.Max >= 0 && r.Max-r.Min > 1/huge && r.Max-r.Min < huge) {
		return fmt.Errorf("range [%g, %g] is empty, infinite or does not contain 0", r.Min, r.Max)
	}
	return nil
}

// choose picks the range of a tensor from its histogram. A tensor that is as
// good as zero everywhere gets an arbitrary range.
func (m Method) choose(h *histogram) Range {
	full := Range{Min: float64(h.min), Max: float64(h.max)}
	if full.Max-full.Min < 1e-20 {
		return Range{Max: 1}
	}
	switch m {
	case Percentile:
		return h.percentile(full, 1e-4)
	case Entropy:
		return h.leastDivergence(full)
	case ClipMSE, ChannelMSE:
		return h.leastSquares(full, clipWeight)
	case MSE:
		return h.leastSquares(full, 1)
	default:
		return full
	}
}

// percentile cuts off the share of values that lie outside, half of it on each
// side of a tensor with both signs.
func (h *histogram) percentile(full Range, share float64) Range {
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
	r := Range{Max: min(full.Max, edge(positive))}
	if h.signed() {
		r.Min = max(full.Min, -edge(negative))
	}
	return r
}

// leastSquares searches the range with the least squared quantization error,
// sum of count * (x - Q(x))^2 over the bins, clipped ones weighted: 200 steps
// from 0.3 to 1 times the full range, then finer around the best, each end by
// itself where values have both signs.
func (h *histogram) leastSquares(full Range, clipWeight float64) Range {
	best := gridMin(0.3, 1, 200, func(a float64) float64 { return h.loss(full.times(a, a), clipWeight) })
	lo, hi := best, best
	for range 2 {
		hi = gridMin(max(0.2, hi-0.1), min(1, hi+0.1), 80, func(a float64) float64 { return h.loss(full.times(lo, a), clipWeight) })
		if full.Min < 0 {
			lo = gridMin(max(0.2, lo-0.1), min(1, lo+0.1), 80, func(a float64) float64 { return h.loss(full.times(a, hi), clipWeight) })
		}
	}
	return full.times(lo, hi)
}

func (r Range) times(lo, hi float64) Range { return Range{Min: r.Min * lo, Max: r.Max * hi} }

// gridMin returns the point of an even grid from lo to hi with the least loss.
func gridMin(lo, hi float64, steps int, loss func(float64) float64) float64 {
	best, least := hi, math.Inf(1)
	for i := range steps + 1 {
		a := lo + (hi-lo)*float64(i)/float64(steps)
		if l := loss(a); l < least {
			best, least = a, l
		}
	}
	return best
}

// loss is the sum of squared errors when values are quantized to r, those of
// clipped values times clipWeight.
func (h *histogram) loss(r Range, clipWeight float64) float64 {
	scale, zero := r.params()
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
