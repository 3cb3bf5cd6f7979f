package onnx

import (
	"errors"
	"fmt"

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
		x = &view{node: x.node.inputs[0], axes: x.axes}
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
			over *= x.size(letters)
		case dims[d] && letters != "":
			return nil, fmt.Errorf("reduces dimension %d of %v: only whole planes have a form here, layer normalization has none: train with batch normalization", d, x.dims())
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
