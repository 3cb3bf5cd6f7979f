package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func convertMaxPool(c *call) ([]value, error) {
	x, w, _, err := c.pool()
	if err != nil {
		return nil, err
	}
	if before, ok := x.node.op.(border); ok {
		w.Top, w.Left, w.Bottom, w.Right = w.Top+before.Top, w.Left+before.Left, w.Bottom+before.Bottom, w.Right+before.Right
		x = &view{x.node.inputs[0], x.axes}
	}
	return c.emitAs(nchw, &models.MaxPool{Window: w}, x.node)
}

func convertAveragePool(c *call) ([]value, error) {
	x, w, beyond, err := c.pool()
	if err != nil {
		return nil, err
	}
	padded := w.Top+w.Left+w.Bottom+w.Right > 0
	count := c.integer("count_include_pad", 0) != 0 && padded
	if beyond != (tensor.Shape{}) && count {
		return nil, errors.New("ceil_mode with count_include_pad: windows beyond the padding have no form here, export without ceil_mode")
	}
	w.Bottom, w.Right = w.Bottom+beyond.H, w.Right+beyond.W
	return c.emitAs(nchw, &models.AveragePool{Window: w, CountPad: count}, x.node)
}

// pool is the geometry of a pooling, and how far ceil_mode lets windows reach beyond
// the padding: a maximum counts that in.
func (c *call) pool() (x *view, w tensor.Window, beyond tensor.Shape, err error) {
	if x, err = c.x(); err != nil {
		return
	}
	if err = x.plane(); err != nil {
		return
	}
	kernel := c.integers("kernel_shape")
	if len(kernel) != 2 {
		err = fmt.Errorf("kernel_shape is %v, want two numbers", kernel)
		return
	}
	if w, err = c.window(x.shape(), kernel[0], kernel[1]); err != nil || c.integer("ceil_mode", 0) == 0 {
		return
	}
	rh, rw := w.Reach()
	beyond.H = past(x.shape().H, w.Top, w.Bottom, rh, w.StrideH)
	beyond.W = past(x.shape().W, w.Left, w.Right, rw, w.StrideW)
	if c.proto.GetOpType() == "MaxPool" {
		w.Bottom, w.Right = w.Bottom+beyond.H, w.Right+beyond.W
	}
	return
}

// past is how far the last window reaches beyond the padding if outputs are rounded
// up. It begins within the input or the padding before it.
func past(n, before, after, reach, stride int) int {
	rest := n + before + after - reach
	last := (rest + stride - 1) / stride * stride
	if last >= n+before {
		last -= stride
	}
	return max(0, last-rest)
}

func convertGlobalAveragePool(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	if err := x.plane(); err != nil {
		return nil, err
	}
	return c.emit(models.GlobalAveragePool{}, x)
}

func convertGlobalMaxPool(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	if err := x.plane(); err != nil {
		return nil, err
	}
	return c.emit(wholePlane(x.shape()), x)
}

// wholePlane is the maximum over a plane.
func wholePlane(s tensor.Shape) models.Op {
	return &models.MaxPool{Window: tensor.Window{KH: s.H, KW: s.W, StrideH: 1, StrideW: 1}}
}

func convertReduceMean(c *call) ([]value, error) {
	return c.reduce(func(tensor.Shape) (models.Op, float64) { return models.GlobalAveragePool{}, 1 })
}

func convertReduceSum(c *call) ([]value, error) {
	return c.reduce(func(s tensor.Shape) (models.Op, float64) { return models.GlobalAveragePool{}, float64(s.H * s.W) })
}

func convertReduceMax(c *call) ([]value, error) {
	return c.reduce(func(s tensor.Shape) (models.Op, float64) { return wholePlane(s), 1 })
}

// reduce reduces a plane to a pixel by an operation and a factor.
func (c *call) reduce(by func(tensor.Shape) (models.Op, float64)) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	dims, keep, err := c.reduced(len(x.axes))
	if err != nil {
		return nil, err
	}
	over := 1
	var kept []int
	for d, letters := range x.axes {
		switch {
		case dims[d] && (letters == "H" || letters == "W" || letters == "HW" || letters == "WH"):
			over *= size(letters, x.shape())
		case dims[d] && letters != "":
			return nil, fmt.Errorf("reduces dimension %d of %v: only whole planes have a form here", d, x.dims())
		}
		if !dims[d] {
			kept = append(kept, d)
		} else if keep {
			kept = append(kept, -1)
		}
	}
	n := x.node
	if plane := x.shape().H * x.shape().W; over != plane {
		return nil, fmt.Errorf("reduces a part of the plane of %v: only whole planes have a form here", x.dims())
	} else if plane > 1 {
		op, factor := by(x.shape())
		if n, err = c.add(c.name, op, n); err != nil {
			return nil, err
		}
		if n, err = c.scaled(n, []float64{factor}, []float64{0}); err != nil {
			return nil, err
		}
	}
	return []value{{view: x.arranged(kept).with(n)}}, nil
}

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

// moreChannels puts channels of zeros before and behind those of x.
func (c *call) moreChannels(x *view, a, before, after int) (*view, error) {
	if err := c.allow(before); err != nil {
		return nil, err
	}
	if err := c.allow(after); err != nil {
		return nil, err
	}
	indices := slices.Repeat([]int{-1}, before+x.shape().C+after)
	for i := range x.shape().C {
		indices[before+i] = i
	}
	order := slices.Clone(x.axes)
	order[a] = "C"
	out, err := c.emitAs(order, selection{indices}, x.node)
	if err != nil {
		return nil, err
	}
	return out[0].view, nil
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
