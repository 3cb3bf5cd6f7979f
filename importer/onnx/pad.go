package onnx

import (
	"errors"
	"fmt"
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func convertPad(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	if mode := c.text("mode", "constant"); mode != "constant" {
		return nil, fmt.Errorf("mode %q has no form here: pad with zeros", mode)
	}
	pads, _, err := c.list("pads", 1)
	if err != nil {
		return nil, err
	}
	fill := c.real("value", 0)
	if c.attribute("pads") == nil {
		if fill, err = c.scalar(2, 0); err != nil {
			return nil, err
		}
	}
	along, given, err := c.list("axes", 3)
	if err != nil {
		return nil, err
	}
	if !given {
		for d := range x.axes {
			along = append(along, d)
		}
	}
	if len(pads) != 2*len(along) {
		return nil, fmt.Errorf("pads are %v for %d dimensions", pads, len(along))
	}
	order, row := nchw, 2 // its dimension, the column being the next
	if !x.is(nchw) {
		order, row = nhwc, 1
	}
	if !x.is(order) {
		row = far
	}
	var p models.Pad
	rows, columns := cut{0, 1, x.shape().H}, cut{0, 1, x.shape().W}
	for i, a := range along {
		if a, err = axis(a, len(x.axes)); err != nil {
			return nil, err
		}
		before, after := pads[i], pads[len(along)+i]
		switch {
		case before == 0 && after == 0:
		case a == row:
			p.Top, p.Bottom = max(0, before), max(0, after)
			rows = cut{max(0, -before), 1, x.shape().H - max(0, -before) - max(0, -after)}
		case a == row+1:
			p.Left, p.Right = max(0, before), max(0, after)
			columns = cut{max(0, -before), 1, x.shape().W - max(0, -before) - max(0, -after)}
		case x.axes[a] == "C" && fill == 0 && min(before, after) >= 0:
			if x, err = c.moreChannels(x, a, before, after); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("pads dimension %d of %v by %d and %d: no form here", a, x.dims(), before, after)
		}
	}
	if min(rows.n, columns.n) < 1 {
		return nil, errors.New("leaves nothing")
	}
	out, err := c.crop(x, rows, columns)
	if err != nil || p == (models.Pad{}) {
		return out, err
	}
	switch x = out[0].view; {
	case fill == 0:
		return c.emitAs(order, p, x.node)
	case fill <= -math.MaxFloat32/2:
		return c.emitAs(order, border{p}, x.node)
	}
	return nil, fmt.Errorf("pads with %v: only zeros have a form here", fill)
}

// crop takes rows and columns of a plane: by a pooling of single pixels where
// that takes all, else by a convolution of one weight that is 1.
func (c *call) crop(x *view, rows, columns cut) ([]value, error) {
	s := x.shape()
	whole := func(cut cut, n int) bool { return cut.start == 0 && cut.n == (n+cut.step-1)/cut.step }
	if rows.step*columns.step == 1 && whole(rows, s.H) && whole(columns, s.W) {
		return []value{{view: x}}, nil
	}
	w := tensor.Window{KH: 1, KW: 1, StrideH: rows.step, StrideW: columns.step}
	if whole(rows, s.H) && whole(columns, s.W) {
		return c.emit(&models.MaxPool{Window: w}, x)
	}
	if p, ok := x.node.op.(models.Pad); ok && rows.step*columns.step == 1 {
		less := models.Pad{Top: p.Top - rows.start, Left: p.Left - columns.start,
			Bottom: p.Bottom - (s.H - rows.start - rows.n), Right: p.Right - (s.W - columns.start - columns.n)}
		if min(less.Top, less.Left, less.Bottom, less.Right) >= 0 {
			return c.emit(less, x.with(x.node.inputs[0]))
		}
	}
	w.KH, w.KW = s.H-(rows.n-1)*rows.step, s.W-(columns.n-1)*columns.step
	if n := s.C * w.KH; n > maxElements/w.KW {
		return nil, fmt.Errorf("cuts %v too far", x.dims())
	}
	if err := c.allow(s.C * w.KH * w.KW); err != nil {
		return nil, err
	}
	conv := &models.Conv{Window: w, Groups: s.C, InC: s.C, OutC: s.C, Weight: make([]float32, s.C*w.KH*w.KW)}
	for o := range s.C {
		conv.Weight[(o*w.KH+rows.start)*w.KW+columns.start] = 1
	}
	return c.emit(conv, x)
}
