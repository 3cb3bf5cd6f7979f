package onnx

import (
	"fmt"
	"math"

	"edgeclassify/models"
)

// activation converts the functions that are operators of that name.
func activation(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	f := models.Activation{Function: models.Function(c.proto.GetOpType())}
	switch f.Function {
	case models.HardSigmoid:
		f.Alpha, f.Beta = c.real("alpha", 0.2), c.real("beta", 0.5)
	case models.LeakyReLU:
		f.Alpha = c.real("alpha", 0.01)
	case models.ELU, models.Swish:
		f.Alpha = c.real("alpha", 1)
	}
	return c.emit(f, x)
}

func convertPRelu(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	slope, err := c.fixed(1)
	if err != nil {
		return nil, err
	}
	slopes, err := c.perChannel(x, slope)
	if err != nil {
		return nil, err
	}
	if len(slopes) == 1 {
		return c.emit(models.Activation{Function: models.LeakyReLU, Alpha: float32(slopes[0])}, x)
	}
	p := &models.ChannelActivation{Activation: models.Activation{Function: models.LeakyReLU}}
	for _, s := range slopes {
		p.Slopes = append(p.Slopes, float32(s))
	}
	return c.emit(p, x)
}

// convertSelu is gamma times an ELU.
func convertSelu(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	n, err := c.add(c.name, models.Activation{Function: models.ELU, Alpha: c.real("alpha", 1.67326319)}, x.node)
	if err != nil {
		return nil, err
	}
	return c.arithmetic(x.with(n), nil, []float64{float64(c.real("gamma", 1.05070102))}, zero)
}

func convertGelu(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	switch approximate := c.text("approximate", "none"); approximate {
	case "none":
		return c.emit(models.Activation{Function: models.GELU}, x)
	case "tanh":
		return c.emit(models.Activation{Function: models.GELUTanh}, x)
	default:
		return nil, fmt.Errorf("approximate %q is unknown", approximate)
	}
}

func convertErf(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	return c.emit(fragment{function: "Erf"}, x)
}

// function is factor times an activation of a tensor.
type function struct {
	models.Activation
	base   *node
	factor float64
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-4*max(1e-2, math.Abs(b)) }

// linear takes arithmetic with single numbers off a node.
func linear(n *node) (base *node, scale, shift float64) {
	base, scales, shifts := unscaled(n)
	scale, same := uniform(scales)
	shift, equal := uniform(shifts)
	if !same || !equal {
		return n, 1, 0
	}
	return base, scale, shift
}

// hardSigmoid finds limits of arithmetic: clip(x + 3, 0, 6) / 6.
func hardSigmoid(limited *node, a affine) (function, bool) {
	clip, ok := limited.op.(models.Clip)
	scale, same := uniform(a.scale)
	shift, equal := uniform(a.shift)
	if !ok || !same || !equal || clip.Min != 0 || shift != 0 || !near(scale*float64(clip.Max), 1) {
		return function{}, false
	}
	base, k, b := linear(limited.inputs[0])
	if b == 0 { // a plain ReLU6
		return function{}, false
	}
	f := models.Activation{Function: models.HardSigmoid, Alpha: float32(k * scale), Beta: float32(b * scale)}
	return function{f, base, 1}, true
}

// gated finds activations that are the product of x and a function of it.
func gated(x, gate *node) (function, bool) {
	base, p, t := linear(x)
	inner, q, u := linear(gate)
	if t != 0 || len(inner.inputs) != 1 {
		return function{}, false
	}
	arg, k, b := linear(inner.inputs[0])
	found := func(name models.Function, alpha, factor float64) (function, bool) {
		return function{models.Activation{Function: name, Alpha: float32(alpha)}, base, p * factor}, arg == base || name == models.Mish || name == models.GELUTanh
	}
	switch op := inner.op.(type) {
	case models.Clip:
		if high := float64(op.Max); op.Min == 0 && u == 0 && near(k/high, 1.0/6) && near(b/high, 0.5) {
			return found(models.HardSwish, 0, q*high)
		}
	case models.Activation:
		switch {
		case op.Function == models.Sigmoid && u == 0 && b == 0:
			return found(models.Swish, k, q)
		case op.Function == models.HardSigmoid && u == 0 && near(float64(op.Alpha)*k, 1.0/6) && near(float64(op.Alpha)*b+float64(op.Beta), 0.5):
			return found(models.HardSwish, 0, q)
		case op.Function == models.Tanh && u == 0 && softplus(inner.inputs[0], base):
			return found(models.Mish, 0, q)
		case op.Function == models.Tanh && near(u, q) && cubic(arg, base, k, b):
			return found(models.GELUTanh, 0, 2*q)
		}
	case fragment:
		if op.function == "Erf" && near(u, q) && b == 0 && near(k, math.Sqrt2/2) {
			return found(models.GELU, 0, 2*q)
		}
	}
	return function{}, false
}

func softplus(n, x *node) bool {
	a, ok := n.op.(models.Activation)
	return ok && a.Function == models.Softplus && n.inputs[0] == x
}

// cubic tells whether k * sum + b is sqrt(2/pi) * (x + 0.044715 * x * x * x).
func cubic(sum, x *node, k, b float64) bool {
	if _, ok := sum.op.(models.Add); !ok || b != 0 || !near(k, math.Sqrt(2/math.Pi)) {
		return false
	}
	for i, other := range sum.inputs {
		cube, s, t := linear(sum.inputs[1-i])
		if _, ok := cube.op.(models.Mul); ok && other == x && near(s, 0.044715) && t == 0 && power(cube, x, 3) {
			return true
		}
	}
	return false
}

// power tells whether a tensor is x multiplied by itself.
func power(n, x *node, exponent int) bool {
	if exponent == 1 {
		return n == x
	}
	_, ok := n.op.(models.Mul)
	return ok && (n.inputs[1] == x && power(n.inputs[0], x, exponent-1) || n.inputs[0] == x && power(n.inputs[1], x, exponent-1))
}
