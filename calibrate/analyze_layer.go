package calibrate

import (
	"math"

	"edgeclassify/int8"
)

// noises are the errors in one layer's output.
type noises struct{ isolated, weights, rounding, clipping, cumulative Noise }

func (n *noises) add(other noises) {
	n.isolated.add(other.isolated)
	n.weights.add(other.weights)
	n.rounding.add(other.rounding)
	n.clipping.add(other.clipping)
	n.cumulative.add(other.cumulative)
}

// comparison looks at one layer's output in the simulations, in steps of that
// output. Noises are those of the last picture, all else is of all pictures.
type comparison struct {
	noise noises
	layer *int8.Layer
	// What the layer does to its output, and the two halves of that; nil where
	// it leaves values as they are.
	grid, rounding, clipping *grid

	histogram *histogram // in steps
	values    uint64
	saturated uint64
	codes     []bool // that occurred, from -2^15
	alive     []bool // channels
}

// codeSpan is the number of different q - Zero.
const codeSpan = 1 << 16

func newComparison(l *int8.Layer, relu bool) *comparison {
	c := &comparison{layer: l, histogram: newHistogram(), alive: make([]bool, l.Out.Shape.C)}
	if l.Out.Type != int8.Int32 {
		c.codes = make([]bool, codeSpan)
	}
	switch l.Op.(type) {
	case *int8.Conv, *int8.AveragePool:
		out := signal{Tensor: &l.Out, relu: relu}
		c.grid = Precision{}.grid(out)
		c.rounding = Precision{Unclipped: true}.grid(out)
		c.clipping = Precision{Unrounded: true}.grid(out)
	}
	return c
}

// exactly takes the float network's values.
func (c *comparison) exactly(exact, _ []float32) error {
	c.noise = noises{}
	if err := c.histogram.add(exact); err != nil {
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
	c.histogram.join(other.histogram)
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
	return LayerAnalysis{
		Layer:     c.layer.Name,
		Seen:      Range{Min: scale * float64(c.histogram.min), Max: scale * float64(c.histogram.max)},
		Histogram: c.histogram.summary(scale),
		Saturated: float64(c.saturated) / float64(c.values),
		Codes:     count(c.codes, true),
		Dead:      count(c.alive, false),
		Headroom:  headroom,
		Isolated:  total.isolated, Weights: total.weights, Rounding: total.rounding,
		Clipping: total.clipping, Cumulative: total.cumulative,
	}
}

func count(flags []bool, which bool) (n int) {
	for _, f := range flags {
		if f == which {
			n++
		}
	}
	return n
}

// summaryBins is the largest number of bins of a Histogram.
const summaryBins = 256

// summary is the histogram in at most summaryBins bins, as wide as a power of
// two, of values times scale.
func (h *histogram) summary(scale float64) Histogram {
	width := float64(h.width)
	bin := func(v float64) int { return int(math.Floor(v / width)) }
	for bin(float64(h.max))-bin(float64(h.min)) >= summaryBins {
		width *= 2
	}
	first := bin(float64(h.min))
	counts := make([]uint64, bin(float64(h.max))-first+1)
	counts[-first] += h.zeros()
	// A bin whose outer edge is the minimum has its centre beyond.
	h.each(func(value float64, n uint64) { counts[max(bin(value)-first, 0)] += n })
	return Histogram{From: scale * float64(first) * width, Width: scale * width, Counts: counts}
}
