package diagnose

import (
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
)

// noises are the errors in one layer's output.
type noises struct{ isolated, weights, rounding, clipping, cumulative Noise }

func (n *noises) add(other noises) {
	n.isolated.Add(other.isolated)
	n.weights.Add(other.weights)
	n.rounding.Add(other.rounding)
	n.clipping.Add(other.clipping)
	n.cumulative.Add(other.cumulative)
}

// comparison looks at one layer's output in the simulations, in steps of that
// output. Noises are those of the last image, all else is of all images.
type comparison struct {
	noise noises
	layer *int8.Layer
	// What the layer does to its output, and the two halves of that; nil where
	// it leaves values as they are.
	grid, rounding, clipping *grid

	histogram *observe.Histogram // in steps
	values    uint64
	saturated uint64
	codes     []bool // that occurred, from -2^15
	alive     []bool // channels
}

// codeSpan is the number of different q - Zero.
const codeSpan = 1 << 16

func newComparison(l *int8.Layer, u *quantize.Unit) *comparison {
	c := &comparison{layer: l, histogram: observe.NewHistogram(), alive: make([]bool, l.Out.Shape.C)}
	if l.Out.Type != int8.Int32 {
		c.codes = make([]bool, codeSpan)
	}
	if simulations[l.Op.Kind()].onGrid {
		out := output(u, &l.Out)
		c.grid = Precision{}.grid(out)
		c.rounding = Precision{Unclipped: true}.grid(out)
		c.clipping = Precision{Unrounded: true}.grid(out)
	}
	return c
}

// exactly takes the float network's values.
func (c *comparison) exactly(exact, _ []float32) error {
	c.noise = noises{}
	if err := c.histogram.Add(exact); err != nil {
		return err
	}
	c.values += uint64(len(exact))
	var signal, rounded, clipped, both float64
	for _, v := range exact {
		x := float64(v)
		signal += float64(x * x)
		if c.grid != nil {
			whole := c.rounding.nearest(x)
			code := max(c.grid.lo, min(c.grid.hi, whole))
			if code != whole {
				c.saturated++
			}
			rounded += square(whole - x)
			clipped += square(c.clipping.nearest(x) - x)
			both += square(code - x)
		}
	}
	c.noise.rounding, c.noise.clipping = Noise{signal, rounded}, Noise{signal, clipped}
	c.noise.weights, c.noise.isolated = Noise{Signal: signal}, Noise{signal, both}
	return nil
}

// weighed takes the values that integer weights give on float inputs.
func (c *comparison) weighed(exact, values []float32) error {
	var weights, all float64
	for i, v := range values {
		x, y := float64(exact[i]), float64(v)
		weights += square(y - x)
		if c.grid != nil {
			y = c.grid.nearest(y)
		}
		all += square(y - x)
	}
	c.noise.weights.Noise, c.noise.isolated.Noise = weights, all
	return nil
}

// quantized takes the integer network's values.
func (c *comparison) quantized(exact, values []float32) error {
	noise := 0.0
	for i, v := range values {
		noise += square(float64(v) - float64(exact[i]))
	}
	c.noise.cumulative = Noise{c.noise.weights.Signal, noise}
	for ; len(values) > 0; values = values[len(c.alive):] {
		for k, v := range values[:len(c.alive)] {
			if v != 0 {
				c.alive[k] = true
			}
			if c.codes != nil {
				c.codes[int(v)+codeSpan/2] = true
			}
		}
	}
	return nil
}

func square(v float64) float64 { return float64(v * v) }

func (c *comparison) join(other *comparison) {
	c.histogram.Join(other.histogram)
	c.values += other.values
	c.saturated += other.saturated
	for i, seen := range other.codes {
		c.codes[i] = c.codes[i] || seen
	}
	for i, alive := range other.alive {
		c.alive[i] = c.alive[i] || alive
	}
}

func (c *comparison) analysis(total noises, headroom float64) LayerAnalysis {
	scale := 1.0 // of logits
	if c.layer.Out.Scale != 0 {
		scale = float64(c.layer.Out.Scale)
	}
	from, width, counts := c.histogram.Bins(histogramBins)
	return LayerAnalysis{
		Layer:     c.layer.Name,
		Seen:      c.histogram.Limits().Scaled(scale, scale),
		Histogram: Histogram{From: scale * from, Width: scale * width, Counts: counts},
		Saturated: float64(c.saturated) / float64(c.values),
		Codes:     count(c.codes, true),
		Dead:      count(c.alive, false),
		Headroom:  headroom,
		Isolated:  total.isolated, Weights: total.weights, Rounding: total.rounding,
		Clipping: total.clipping, Cumulative: total.cumulative,
	}
}

// histogramBins is the largest number of bins of a Histogram.
const histogramBins = 256

func count(flags []bool, which bool) (n int) {
	for _, f := range flags {
		if f == which {
			n++
		}
	}
	return n
}
