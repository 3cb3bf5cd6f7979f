package quantize

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

// The methods that look at images.
const (
	ClipMSE    Method = "clip-mse"    // like MSE, but what is clipped counts four times
	MSE        Method = "mse"         // least squared error of the quantized values
	ChannelMSE Method = "channel-mse" // like ClipMSE, channels weighted by what their errors do to the output
	Entropy    Method = "entropy"     // least Kullback-Leibler divergence
	Percentile Method = "percentile"  // 99.99 % of the values
	MinMax     Method = "minmax"      // all values
)

// BatchNorm is the method of tables that are made of batch norms alone.
const BatchNorm Method = "batchnorm"

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

// Params are the real value of one step and the code of real zero.
func (r Range) Params() (scale float64, zero int8.Value) {
	scale = (r.Max - r.Min) / 255
	return scale, int8.Value(math.Round(-128 - r.Min/scale))
}

// RangeTable holds the range of every output that needs one (Activations) and the means
// of what weights multiply: all that quantization needs to know about activations.
// It is plain JSON, to be reviewed and reused.
type RangeTable struct {
	Model      string                `json:"model"`         // name of the float graph
	SourceHash string                `json:"source_sha256"` // SHA-256 of the float model
	Method     Method                `json:"method"`
	Images     int                   `json:"images"`
	ImagesHash string                `json:"images_sha256"`
	Seed       uint64                `json:"seed"`
	Ranges     map[string]Range      `json:"ranges"`                  // by layer
	Means      map[string]PerChannel `json:"means,omitempty"`         // by layer; without them biases are not corrected
	Shifts     map[string]PerChannel `json:"shifts,omitempty"`        // by layer: what is added to its real biases beside that
	Scales     map[string]PerChannel `json:"weight_scales,omitempty"` // by layer and output channel; others have the least squared error
	Steps      map[string]Steps      `json:"weight_steps,omitempty"`  // by layer: moves of weights rounded to nearest
	// Int16 are the layers whose output is int16.
	Int16 []string `json:"wide,omitempty"`
	// Equalization is that of the network that all else refers to.
	Equalization Equalization `json:"exponents,omitempty"`
}

// Blend returns the table with ranges and means moved towards those of a prior,
// which counts as one image: one made of batch norms mends one of very few
// images, whose ranges miss what others hold. Ends of ranges are averaged
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
			blended.Means[name] = PerChannel(sum).Rounded()
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

// Scaled is the range with its ends multiplied.
func (r Range) Scaled(lo, hi float64) Range { return Range{Min: r.Min * lo, Max: r.Max * hi} }

// GridMin returns the point of an even grid from lo to hi with the least loss.
func GridMin(lo, hi float64, steps int, loss func(float64) float64) float64 {
	best, least := hi, math.Inf(1)
	for i := range steps + 1 {
		a := lo + (hi-lo)*float64(i)/float64(steps)
		if l := loss(a); l < least {
			best, least = a, l
		}
	}
	return best
}
