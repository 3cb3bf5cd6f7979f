package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/runtime"
)

const (
	wideWidth     = 900
	wideFont      = 12
	smallWidth    = 250
	smallFont     = 10
	histogramBars = 80
	marked        = 5   // layers named in the chart of SQNR
	lowestDB      = -20 // what is lower or higher is drawn at the edge
	highestDB     = 120
)

// depthChart draws how the signal-to-noise ratio changes from layer to layer.
// It is empty where no layer has one.
func depthChart(layers []Layer) (template.HTML, error) {
	c := layerChart(layers, 280)
	c.grid()
	alone, upToHere := runs(layers, isolated), runs(layers, cumulative)
	if len(alone)+len(upToHere) == 0 {
		return "", nil
	}
	err := cmp.Or(
		c.runs(draw.LineStyle{Color: warmTone, Width: 1.5, Dashes: []vg.Length{5, 3}}, alone),
		c.runs(draw.LineStyle{Color: accentTone, Width: 2.5}, upToHere),
		c.markLowest(slices.Concat(alone...)),
	)
	if err != nil {
		return "", fmt.Errorf("chart of SQNR by layer: %w", err)
	}
	c.Y.Min, c.Y.Max = 5*math.Floor(c.Y.Min/5-0.5), 5*math.Ceil(c.Y.Max/5+0.2)
	c.Y.Tick.Marker = ticks(c.Y.Min, c.Y.Max, 5, func(v float64) string { return fixed(v, 0) + " dB" })
	for i, l := range layers {
		c.layerTip(i, fmt.Sprintf("%d %s: alone %s dB, up to here %s dB", i+1, l.Name, optional(l.SQNR.Isolated), optional(l.SQNR.Cumulative)))
	}
	return c.svg("Line chart of SQNR in dB by layer, each layer alone and all layers up to it; the table of layers has the numbers")
}

func isolated(s *SQNR) *float64   { return s.Isolated }
func cumulative(s *SQNR) *float64 { return s.Cumulative }

// layerChart has the layers' numbers from left to right.
func layerChart(layers []Layer, height vg.Length) *chart {
	c := newChart(wideWidth, height, wideFont)
	c.X.Label.Text = "layer"
	c.X.Min, c.X.Max = 0.25, float64(len(layers))+0.75
	c.X.Tick.Marker = wholeTicks(1, c.X.Max, 12)
	return c
}

// layerTip is shown over a layer's part of the chart.
func (c *chart) layerTip(layer int, text string) {
	x := float64(layer + 1)
	c.tips = append(c.tips, tip{left: x - 0.5, right: x + 0.5, bottom: c.Y.Min, top: c.Y.Max, text: text})
}

// runs are the points of neighbouring layers that have the value.
func runs(layers []Layer, value func(*SQNR) *float64) []plotter.XYs {
	var all []plotter.XYs
	joined := false
	for i := range layers {
		v := value(&layers[i].SQNR)
		if v == nil || !finite(*v) {
			joined = false
			continue
		}
		if !joined {
			all = append(all, nil)
		}
		last := &all[len(all)-1]
		*last = append(*last, plotter.XY{X: float64(i + 1), Y: min(max(*v, lowestDB), highestDB)})
		joined = true
	}
	return all
}

// runs draws a line through each run, with a dot at each layer.
func (c *chart) runs(style draw.LineStyle, all []plotter.XYs) error {
	for _, points := range all {
		if err := c.line(style, points...); err != nil {
			return err
		}
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: 2.5, Shape: draw.CircleGlyph{}}
		c.Add(dots)
	}
	return nil
}

// markLowest writes the layers' numbers below the lowest points.
func (c *chart) markLowest(points plotter.XYs) error {
	slices.SortStableFunc(points, func(a, b plotter.XY) int { return cmp.Compare(a.Y, b.Y) })
	points = points[:min(len(points), marked)]
	var names []string
	for _, p := range points {
		names = append(names, fixed(p.X, 0))
	}
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: points, Labels: names})
	if err != nil {
		return err
	}
	for i := range labels.TextStyle {
		style := c.X.Tick.Label
		style.Color, style.XAlign, style.YAlign = warmTone, draw.XCenter, draw.YTop
		labels.TextStyle[i] = style
	}
	labels.Offset = vg.Point{Y: -5}
	c.Add(labels)
	return nil
}

// noiseChart divides each layer's own noise among its causes. It is empty
// where no layer tells them.
func noiseChart(layers []Layer) (template.HTML, error) {
	c := layerChart(layers, 180)
	c.Y.Min, c.Y.Max = 0, 1
	c.Y.Tick.Marker = ticks(0, 1, 4, func(v float64) string { return fixed(100*v, 0) + " %" })
	var bars [3][]plotter.XYer // by cause
	for i, l := range layers {
		shares, ok := l.SQNR.shares()
		if !ok {
			continue
		}
		x, below := float64(i+1), 0.0
		for cause, share := range shares {
			if share > 0 {
				bars[cause] = append(bars[cause], box(x-0.4, x+0.4, below, below+share))
			}
			below += share
		}
		c.layerTip(i, fmt.Sprintf("%d %s: weights %s, output %s, clipping %s", i+1, l.Name, percent(shares[0]), percent(shares[1]), percent(shares[2])))
	}
	if len(c.tips) == 0 {
		return "", nil
	}
	for cause, fill := range []tone{accentTone, coolTone, warmTone} {
		if err := c.boxes(fill, cardTone, bars[cause]); err != nil {
			return "", fmt.Errorf("chart of noise by layer: %w", err)
		}
	}
	return c.svg("Bar chart of each layer's noise, divided into weights, output and clipping; the table of layers has the numbers")
}

// shares are the parts of the noise of weights, output and clipping, which
// are taken to add up as independent noises do. It tells whether any is known.
func (s *SQNR) shares() (parts [3]float64, ok bool) {
	var sum float64
	for i, v := range []*float64{s.Weights, s.Activations, s.Clipping} {
		if v != nil && finite(*v) {
			parts[i] = math.Pow(10, -min(max(*v, lowestDB), highestDB)/10)
			sum += parts[i]
		}
	}
	if sum == 0 {
		return parts, false
	}
	for i := range parts {
		parts[i] /= sum
	}
	return parts, true
}

// histogramChart draws logarithms of a layer's counts, between 0 and 1 both
// ways, and what of them its codes cover. It is empty without counts.
func histogramChart(l Layer) (template.HTML, error) {
	left, right, ok := l.extent()
	if !ok {
		return "", nil
	}
	unit := func(v float64) float64 { return (v - left) / (right - left) }
	c := newChart(smallWidth, 92, smallFont)
	inside, outside := l.bars(left, right)
	if err := c.boxes(accentTone, nil, inside); err != nil {
		return "", fmt.Errorf("histogram of layer %s: %w", l.Name, err)
	}
	if err := c.boxes(warmTone, nil, outside); err != nil {
		return "", fmt.Errorf("histogram of layer %s: %w", l.Name, err)
	}
	if l.Range != nil {
		for _, edge := range []float64{l.Range.Min, l.Range.Max} {
			style := draw.LineStyle{Color: textTone, Width: 1, Dashes: []vg.Length{3, 2}}
			if err := c.line(style, plotter.XY{X: unit(edge), Y: 0}, plotter.XY{X: unit(edge), Y: 1.08}); err != nil {
				return "", fmt.Errorf("histogram of layer %s: %w", l.Name, err)
			}
		}
	}
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = -0.01, 1.01, 0, 1.1
	marks := ticks(left, right, 3, significantTick)
	for i := range marks {
		marks[i].Value = unit(marks[i].Value)
	}
	c.X.Tick.Marker, c.Y.Tick.Marker = marks, plot.ConstantTicks{}
	return c.svg(fmt.Sprintf("Histogram of layer %s from %s to %s; its codes cover %s", l.Name, significant(left), significant(right), span(l.Range)))
}

// extent is where the histogram has counts, widened to what the codes cover.
func (l *Layer) extent() (left, right float64, ok bool) {
	h := l.Histogram
	if h == nil {
		return 0, 0, false
	}
	left, right = math.Inf(1), math.Inf(-1)
	for i, n := range h.Counts {
		if n > 0 {
			left, right = min(left, edge(h, i)), max(right, edge(h, i+1))
		}
	}
	if l.Range != nil {
		left, right = min(left, l.Range.Min), max(right, l.Range.Max)
	}
	return left, right, left < right && h.Width > 0 && finite(left, right, right-left)
}

func edge(h *diagnose.Histogram, bin int) float64 { return h.From + float64(float64(bin)*h.Width) }

// bars divide the extent evenly and hold the counts of bins by their middle,
// apart for those that the codes cover and those beyond.
func (l *Layer) bars(left, right float64) (inside, outside []plotter.XYer) {
	h := l.Histogram
	var counts [histogramBars]float64
	for i, n := range h.Counts {
		middle := (edge(h, i) + h.Width/2 - left) / (right - left)
		bar := min(max(int(middle*histogramBars), 0), histogramBars-1)
		counts[bar] += float64(n)
	}
	highest := 0.0
	for _, n := range counts {
		highest = max(highest, math.Log1p(n))
	}
	for i, n := range counts {
		if n == 0 {
			continue
		}
		b := box(float64(i)/histogramBars, float64(i+1)/histogramBars, 0, math.Log1p(n)/highest)
		middle := left + float64((float64(i)+0.5)/histogramBars*(right-left))
		if l.Range != nil && (middle < l.Range.Min || middle > l.Range.Max) {
			outside = append(outside, b)
		} else {
			inside = append(inside, b)
		}
	}
	return inside, outside
}

// arenaChart draws each buffer as a rectangle: steps from left to right,
// bytes from bottom to top. It is empty without buffers.
func arenaChart(buffers []runtime.Buffer) (template.HTML, error) {
	if len(buffers) == 0 {
		return "", nil
	}
	c := newChart(wideWidth, 320, wideFont)
	c.X.Label.Text = "step"
	var rings [2][]plotter.XYer // neighbours in the list get different tones
	var end, last float64
	for i, b := range buffers {
		t := tip{
			left: float64(b.First), right: float64(b.Last) + 1,
			bottom: float64(b.Offset), top: float64(b.Offset) + float64(b.Bytes),
			text: fmt.Sprintf("%s: %s at %s, steps %d to %d", b.Name, size(int64(b.Bytes)), size(int64(b.Offset)), b.First, b.Last),
		}
		rings[i%2] = append(rings[i%2], box(t.left, t.right, t.bottom, t.top))
		c.tips = append(c.tips, t)
		end, last = max(end, t.top), max(last, t.right)
	}
	for i, fill := range []tone{accentTone, softTone} {
		if err := c.boxes(fill, cardTone, rings[i]); err != nil {
			return "", fmt.Errorf("diagram of the arena: %w", err)
		}
	}
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = 0, last, 0, end
	c.X.Tick.Marker = wholeTicks(0, last, 12)
	c.Y.Tick.Marker = ticks(0, end, 5, func(v float64) string { return size(int64(v)) })
	return c.svg("Diagram of the arena: each buffer is a rectangle over the steps it lives in, as high as its bytes; the table of buffers has the numbers")
}

// significantTick is as short as it can be.
func significantTick(v float64) string {
	s := significant(v)
	if strings.Contains(s, ".") && !strings.Contains(s, "e") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
