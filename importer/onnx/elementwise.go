package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// perChannel broadcasts a constant to v: one number, or one for each channel.
func (c *call) perChannel(v *view, k *constant) ([]float64, error) {
	if err := c.allow(k.len()); err != nil {
		return nil, err
	}
	values := k.real()
	if k.len() == 0 {
		return nil, errors.New("computes with an empty constant")
	}
	same := !slices.ContainsFunc(values, func(x float32) bool { return x != values[0] })
	channels := true
	wide := v.broadcast(len(k.dims))
	for i, d := range k.dims {
		at := len(wide.axes) - len(k.dims) + i
		if n := wide.size(wide.axes[at]); d != 1 && d != n {
			return nil, fmt.Errorf("computes with a constant of dimensions %v, and a tensor of %v", k.dims, v.dims())
		}
		channels = channels && (d == 1 || wide.axes[at] == "C")
	}
	switch {
	case same:
		return []float64{float64(values[0])}, nil
	case !channels:
		return nil, fmt.Errorf("computes with a constant of dimensions %v, different for each pixel: only numbers for each channel have a form here", k.dims)
	}
	if err := c.allow(len(values)); err != nil {
		return nil, err
	}
	out := make([]float64, len(values))
	for i, x := range values {
		out[i] = float64(x)
	}
	return out, nil
}

// operands are the two inputs, a constant second; swapped tells whether it was
// first.
func (c *call) operands() (x *view, other *view, k *constant, swapped bool, err error) {
	if len(c.in) != 2 {
		return nil, nil, nil, false, fmt.Errorf("has %d inputs, want 2", len(c.in))
	}
	a, b := c.in[0], c.in[1]
	if a.view == nil {
		a, b, swapped = b, a, true
	}
	if b.view == nil && b.constant == nil || a.view == nil {
		return nil, nil, nil, false, errors.New("an input is missing")
	}
	return a.view, b.view, b.constant, swapped, nil
}

// arithmetic is scale * x + shift.
func (c *call) arithmetic(x *view, k *constant, scale, shift []float64) ([]value, error) {
	n, err := c.scaled(x.node, scale, shift)
	if err != nil {
		return nil, err
	}
	if k != nil {
		x = x.broadcast(len(k.dims))
	}
	return []value{{view: x.with(n)}}, nil
}

var one, zero, minus = []float64{1}, []float64{0}, []float64{-1}

func convertAdd(c *call) ([]value, error) {
	x, y, k, _, err := c.operands()
	if err != nil {
		return nil, err
	}
	if k == nil {
		return c.sum(x, y)
	}
	shift, err := c.perChannel(x, k)
	if err != nil {
		return nil, err
	}
	return c.arithmetic(x, k, one, shift)
}

func (c *call) sum(x, y *view) ([]value, error) {
	x, y = x.broadcast(len(y.axes)), y.broadcast(len(x.axes))
	if x.shape() != y.shape() || !slices.Equal(x.axes, y.axes) {
		return nil, fmt.Errorf("adds tensors of dimensions %v and %v: only equal ones have a form here", x.dims(), y.dims())
	}
	return c.emit(models.Add{}, x, y.node)
}

func convertSub(c *call) ([]value, error) {
	x, y, k, swapped, err := c.operands()
	if err != nil {
		return nil, err
	}
	if k == nil {
		n, err := c.scaled(y.node, minus, zero)
		if err != nil {
			return nil, err
		}
		return c.sum(x, y.with(n))
	}
	shift, err := c.perChannel(x, k)
	if err != nil {
		return nil, err
	}
	if swapped {
		return c.arithmetic(x, k, minus, shift)
	}
	for i := range shift {
		shift[i] = -shift[i]
	}
	return c.arithmetic(x, k, one, shift)
}

func convertNeg(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	return c.arithmetic(x, nil, minus, zero)
}

func convertDiv(c *call) ([]value, error) {
	x, _, k, swapped, err := c.operands()
	if err != nil {
		return nil, err
	}
	if k == nil || swapped {
		return nil, errors.New("divides by a tensor of the network: only constants have a form here")
	}
	scale, err := c.perChannel(x, k)
	if err != nil {
		return nil, err
	}
	for i := range scale {
		scale[i] = 1 / scale[i]
	}
	return c.arithmetic(x, k, scale, zero)
}

func convertMul(c *call) ([]value, error) {
	x, y, k, _, err := c.operands()
	if err != nil {
		return nil, err
	}
	if k == nil {
		return c.product(x, y)
	}
	scale, err := c.perChannel(x, k)
	if err != nil {
		return nil, err
	}
	return c.arithmetic(x, k, scale, zero)
}

// product is that of two tensors, or an activation that is written so.
func (c *call) product(x, y *view) ([]value, error) {
	x, y = x.broadcast(len(y.axes)), y.broadcast(len(x.axes))
	if slices.Equal(x.axes, y.axes) {
		for _, pair := range [][2]*node{{x.node, y.node}, {y.node, x.node}} {
			if f, ok := gated(pair[0], pair[1]); ok {
				n, err := c.add(c.name, f.Activation, f.base)
				if err == nil {
					n, err = c.scaled(n, []float64{f.factor}, zero)
				}
				if err != nil {
					return nil, err
				}
				return []value{{view: x.with(n)}}, nil
			}
		}
	}
	if y.shape().Elements() > x.shape().Elements() {
		x, y = y, x
	}
	factor := y.shape() == tensor.Shape{H: 1, W: 1, C: x.shape().C}
	for i, letters := range y.axes {
		if letters != x.axes[i] && !(factor && letters == "") {
			factor = false
			break
		}
		factor = factor || i == len(y.axes)-1 && y.shape() == x.shape()
	}
	if !factor {
		return nil, fmt.Errorf("multiplies tensors of dimensions %v and %v: only equal ones, or numbers for each channel, have a form here", x.dims(), y.dims())
	}
	return c.emit(models.Mul{}, x, y.node)
}

func convertSum(c *call) ([]value, error) {
	for i, in := range c.in {
		if in.view == nil {
			return nil, fmt.Errorf("input %d is a constant, want tensors of the network", i)
		}
	}
	out := []value{c.in[0]}
	for _, in := range c.in[1:] {
		var err error
		if out, err = c.sum(out[0].view, in.view); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func convertPow(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	exponent, err := c.scalar(1, 0)
	if err != nil {
		return nil, err
	}
	if exponent != 1 && exponent != 2 && exponent != 3 {
		return nil, fmt.Errorf("the power %v has no form here", exponent)
	}
	out := []value{{view: x}}
	for i := float32(1); i < exponent && err == nil; i++ {
		out, err = c.emit(models.Mul{}, out[0].view, x.node)
	}
	return out, err
}

func convertRelu(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	return c.emit(models.ReLU{}, x)
}

func convertClip(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	low, high, err := c.limits()
	if err != nil {
		return nil, err
	}
	return c.clip(x, low, high)
}

// limits are those of a Clip.
func (c *call) limits() (low, high float32, err error) {
	low, high = c.real("min", -math.MaxFloat32), c.real("max", math.MaxFloat32)
	if c.opset >= 11 {
		if low, err = c.scalar(1, low); err != nil {
			return 0, 0, err
		}
		if high, err = c.scalar(2, high); err != nil {
			return 0, 0, err
		}
	}
	return low, high, nil
}

func convertMin(c *call) ([]value, error) {
	x, k, err := c.limit()
	if err != nil {
		return nil, err
	}
	return c.clip(x, -math.MaxFloat32, k)
}

func convertMax(c *call) ([]value, error) {
	x, k, err := c.limit()
	if err != nil {
		return nil, err
	}
	return c.clip(x, k, math.MaxFloat32)
}

// limit are a tensor and a number.
func (c *call) limit() (*view, float32, error) {
	x, _, k, _, err := c.operands()
	if err != nil {
		return nil, 0, err
	}
	if k == nil || k.len() != 1 {
		return nil, 0, errors.New("compares with more than one number: no form here")
	}
	return x.broadcast(len(k.dims)), k.real()[0], nil
}

// clip limits x, together with the limits that it may have.
func (c *call) clip(x *view, low, high float32) ([]value, error) {
	n := x.node
	switch op := n.op.(type) {
	case models.ReLU:
		n, low, high = n.inputs[0], max(low, 0), max(high, 0)
	case models.Clip:
		n, low, high = n.inputs[0], min(max(low, op.Min), op.Max), max(min(high, op.Max), op.Min)
	}
	x = &view{node: n, axes: x.axes}
	if low == 0 && high >= math.MaxFloat32 {
		return c.emit(models.ReLU{}, x)
	}
	return c.emit(models.Clip{Min: low, Max: high}, x)
}

func convertSoftmax(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	otherwise := 1
	if c.opset >= 13 {
		otherwise = -1
	}
	a, err := axis(c.integer("axis", otherwise), len(x.axes))
	if err != nil {
		return nil, err
	}
	last := c.opset < 13 && !slices.ContainsFunc(x.axes[:a], func(letters string) bool { return letters != "" })
	if s := x.shape(); s.H*s.W != 1 || x.axes[a] != "C" && !last {
		return nil, fmt.Errorf("is over dimension %d of %v: only over the classes, at the end, has it a form here", a, x.dims())
	}
	return c.emit(models.Softmax{}, x)
}
