package report

import (
	"encoding/base64"
	"html/template"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"edgeclassify/teach"
)

// WriteHTML writes the report as one HTML page that needs no other file and no script.
// Times are not on it: the same report gives the same bytes.
func (t *Teaching) WriteHTML(w io.Writer) error {
	return writePage(w, "teaching.html", t.Model.Name, t, template.FuncMap{
		"answers": t.answers, "between": between, "cells": t.cells, "learningChart": learningChart, "summary": t.Summary,
		"thumbnail": func(name string) string { return base64.StdEncoding.EncodeToString(t.thumbnails[name]) },
	})
}

// A cell is a place of the confusion matrix, the darker the larger its share of the row.
type cell struct {
	Count int
	Right bool
	Share float64 // per cent
}

func (t *Teaching) cells(class int) (cells []cell) {
	row := t.Taught.Confusion[class]
	sum := 0
	for _, n := range row {
		sum += n
	}
	for j, n := range row {
		cells = append(cells, cell{n, j == class, float64(100 * n / max(sum, 1))})
	}
	return cells
}

// learningChart draws accuracy over photographs of a class. It is empty where there are
// no two points.
func learningChart(curve []teach.Point) (template.HTML, error) {
	if len(curve) < 2 {
		return "", nil
	}
	c := newChart(wideWidth, 260, wideFont)
	c.grid()
	c.X.Label.Text = "photographs of a class"
	var measured, expected plotter.XYs
	low, last := 1.0, curve[len(curve)-1].Photographs
	for i, p := range curve {
		at := plotter.XY{X: p.Photographs, Y: p.Accuracy}
		low = min(low, p.Accuracy)
		if p.Expected {
			expected = append(expected, plotter.XY{X: curve[i-1].Photographs, Y: curve[i-1].Accuracy}, at)
		} else {
			measured = append(measured, at)
		}
	}
	err := c.runs(draw.LineStyle{Color: accentTone, Width: 2.5}, []plotter.XYs{measured})
	if err == nil && expected != nil {
		err = c.runs(draw.LineStyle{Color: accentTone, Width: 1.5, Dashes: []vg.Length{5, 3}}, []plotter.XYs{expected})
	}
	if err != nil {
		return "", err
	}
	c.X.Min, c.X.Max = 0, 1.03*last
	c.X.Tick.Marker = wholeTicks(0, c.X.Max, 10)
	if c.Y.Min, c.Y.Max = max(0, low-0.05), 1.02; c.Y.Min > 0.9 {
		c.Y.Min = 0.9
	}
	c.Y.Tick.Marker = plot.ConstantTicks(ticks(c.Y.Min, 1, 5, func(v float64) string { return fixed(100*v, 0) + " %" }))
	return c.svg("Line chart of accuracy by photographs of a class; the text below has the numbers")
}
