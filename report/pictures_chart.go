package report

import (
	"fmt"
	"html/template"
	"slices"

	"gonum.org/v1/plot/plotter"

	"edgeclassify/evaluate"
)

// picturesChart counts pictures by the SQNR of their logits, those below the lowest
// decile apart. It is empty without counts.
func picturesChart(d *evaluate.Distribution) (template.HTML, error) {
	h := &d.Histogram
	if len(h.Counts) == 0 || !(h.Width > 0) || !finite(edge(h, 0), edge(h, len(h.Counts))) {
		return "", nil
	}
	left, width, highest := edge(h, 0), edge(h, len(h.Counts))-edge(h, 0), float64(max(1, slices.Max(h.Counts)))
	unit := func(v float64) float64 { return (v - left) / width }
	c := newChart(wideWidth, 180, wideFont)
	c.X.Label.Text = "SQNR of a picture’s logits, dB"
	var low, others []plotter.XYer
	for i, n := range h.Counts {
		from, to := edge(h, i), edge(h, i+1)
		if n == 0 || !finite(unit(from), unit(to)) {
			continue
		}
		bar := box(unit(from), unit(to), 0, float64(n)/highest)
		if to <= d.Deciles[1] {
			low = append(low, bar)
		} else {
			others = append(others, bar)
		}
		c.tips = append(c.tips, tip{left: unit(from), right: unit(to), top: 1, text: fmt.Sprintf("%s to %s: %d", number(from), decibels(to), n)})
	}
	if err := c.boxes(accentTone, cardTone, others); err != nil {
		return "", fmt.Errorf("chart of pictures: %w", err)
	}
	if err := c.boxes(warmTone, cardTone, low); err != nil {
		return "", fmt.Errorf("chart of pictures: %w", err)
	}
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = -0.01, 1.01, 0, 1.05
	marks := ticks(left, left+width, 12, significantTick)
	for i := range marks {
		marks[i].Value = unit(marks[i].Value)
	}
	counts := wholeTicks(0, highest, 4)
	for i := range counts {
		counts[i].Value /= highest
	}
	c.X.Tick.Marker, c.Y.Tick.Marker = marks, counts
	return c.svg(fmt.Sprintf("Histogram of pictures by SQNR, from %s to %s", number(left), decibels(left+width)))
}
