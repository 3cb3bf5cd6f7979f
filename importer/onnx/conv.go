package onnx

import (
	"fmt"

	"edgeclassify/importer/weights"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func convertConv(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	if err := x.plane(); err != nil {
		return nil, err
	}
	w, err := c.fixed(1)
	if err != nil {
		return nil, err
	}
	if len(w.dims) != 4 {
		return nil, fmt.Errorf("its weights have dimensions %v, want four", w.dims)
	}
	o, i, kh, kw := w.dims[0], w.dims[1], w.dims[2], w.dims[3]
	op := &models.Conv{Groups: c.integer("group", 1), OutC: o}
	op.InC = i * op.Groups
	if c.has(2) {
		if op.Bias, err = c.vector(2, o); err != nil {
			return nil, err
		}
	}
	if op.Window, err = c.window(x.shape(), kh, kw); err != nil {
		return nil, err
	}
	if x, err = c.surround(x, &op.Window); err != nil {
		return nil, err
	}
	if err := c.allow(w.len()); err != nil {
		return nil, err
	}
	op.Weight = weights.FromOIHW(w.real(), o, kh, kw, i)
	return c.emitAs(nchw, op, x.node)
}

// window is the geometry of a kernel of kh x kw on a plane.
func (c *call) window(plane tensor.Shape, kh, kw int) (tensor.Window, error) {
	w := tensor.Window{KH: kh, KW: kw}
	pair := func(name string) (int, int, error) {
		v := c.integers(name)
		if v == nil {
			return 1, 1, nil
		}
		if len(v) != 2 || min(v[0], v[1]) < 1 {
			return 0, 0, fmt.Errorf("%s are %v, want two positive numbers", name, v)
		}
		return v[0], v[1], nil
	}
	var err error
	if w.StrideH, w.StrideW, err = pair("strides"); err != nil {
		return w, err
	}
	if w.DilationH, w.DilationW, err = pair("dilations"); err != nil {
		return w, err
	}
	if w.DilationH == 1 && w.DilationW == 1 { // the usual form
		w.DilationH, w.DilationW = 0, 0
	}
	rh, rw := w.Reach()
	if min(kh, kw) < 1 || max(rh, rw) > maxSide {
		return w, fmt.Errorf("its kernel covers %dx%d pixels, want 1 to %d", rh, rw, maxSide)
	}
	switch auto := c.text("auto_pad", "NOTSET"); auto {
	case "NOTSET", "":
		if pads := c.integers("pads"); len(pads) == 4 {
			w.Top, w.Left, w.Bottom, w.Right = pads[0], pads[1], pads[2], pads[3]
		} else if pads != nil {
			return w, fmt.Errorf("pads are %v, want four numbers", pads)
		}
	case "SAME_UPPER":
		w.Top, w.Bottom = same(plane.H, rh, w.StrideH)
		w.Left, w.Right = same(plane.W, rw, w.StrideW)
	case "SAME_LOWER":
		w.Bottom, w.Top = same(plane.H, rh, w.StrideH)
		w.Right, w.Left = same(plane.W, rw, w.StrideW)
	case "VALID":
	default:
		return w, fmt.Errorf("auto_pad %q is unknown", auto)
	}
	return w, nil
}

// same is the padding for ceil(n / stride) outputs, the larger half last.
func same(n, reach, stride int) (less, more int) {
	total := max(0, ((n+stride-1)/stride-1)*stride+reach-n)
	return total / 2, total - total/2
}

// surround pads x where the window's padding is as large as its kernel, which no
// convolution takes.
func (c *call) surround(x *view, w *tensor.Window) (*view, error) {
	rh, rw := w.Reach()
	if max(w.Top, w.Bottom) < rh && max(w.Left, w.Right) < rw {
		return x, nil
	}
	n, err := c.add(c.name+".pad", models.Pad{Top: w.Top, Left: w.Left, Bottom: w.Bottom, Right: w.Right}, x.node)
	if err != nil {
		return nil, err
	}
	w.Top, w.Left, w.Bottom, w.Right = 0, 0, 0, 0
	return x.with(n), nil
}
