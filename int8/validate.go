package int8

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/tensor"
)

// Limits on geometry: far above any real network, small enough that no product
// of sizes overflows.
const (
	maxSide     = 1 << 14
	maxChannels = 1 << 16
	maxElements = 1 << 28
)

// Validate checks everything the arithmetic contract rests on: shapes follow
// from each other, all lengths fit, scales are positive, and no accumulator
// can leave int32 whatever the picture shows. Errors name the layer.
func (n *Network) Validate() error {
	if err := n.validateInput(); err != nil {
		return fmt.Errorf("int8: network %q: %w", n.Name, err)
	}
	outputs := map[string]*Layer{InputName: {Out: n.Input}}
	for i := range n.Layers {
		l := &n.Layers[i]
		if l.Op == nil {
			return fmt.Errorf("int8: layer %q has no operation", l.Name)
		}
		if err := l.validate(outputs); err != nil {
			return fmt.Errorf("int8: %v: %w", l, err)
		}
		outputs[l.Name] = l
	}
	return nil
}

func (n *Network) validateInput() error {
	if err := n.Preprocess.Validate(); err != nil {
		return err
	}
	if len(n.Layers) == 0 {
		return errors.New("no layers")
	}
	last, ok := n.Layers[len(n.Layers)-1].Op.(*Dense)
	if !ok {
		return errors.New("the last layer is not a dense classifier")
	}
	if len(n.Classes) != last.Out {
		return fmt.Errorf("%d class names for %d classes", len(n.Classes), last.Out)
	}
	want := tensor.Shape{H: n.Preprocess.Crop, W: n.Preprocess.Crop, C: 3}
	if n.Input.Shape != want || n.Input.Type != Int8 || len(n.Input.Zero) != 3 {
		return fmt.Errorf("input is %v %s with %d zero points, want %v int8 with 3", n.Input.Shape, n.Input.Type, len(n.Input.Zero), want)
	}
	return checkShape(n.Input.Shape)
}

// validate checks a layer, given the layers before it by name.
func (l *Layer) validate(before map[string]*Layer) error {
	if l.Name == "" {
		return errors.New("the name is empty")
	}
	if _, taken := before[l.Name]; taken {
		return errors.New("the name is used twice")
	}
	if err := checkShape(l.Out.Shape); err != nil {
		return err
	}
	in := make([]*Tensor, len(l.Inputs))
	for i, name := range l.Inputs {
		from, ok := before[name]
		if !ok {
			return fmt.Errorf("input %q does not exist before it", name)
		}
		if err := checkReader(l.Op, from.Op); err != nil {
			return fmt.Errorf("input %q: %w", name, err)
		}
		in[i] = &from.Out
	}
	return l.Op.check(in, &l.Out)
}

// checkReader checks that sums, and nothing else, go to a classifier, and that
// nothing reads its logits.
func checkReader(reader, from Op) error {
	_, dense := reader.(*Dense)
	_, sums := from.(GlobalAveragePool)
	_, logits := from.(*Dense)
	switch {
	case logits:
		return errors.New("nothing can read the logits of a dense layer")
	case dense && !sums:
		return errors.New("a dense layer follows the global average pool")
	case sums && !dense:
		return errors.New("the sums of a global average pool are for a dense layer only")
	}
	return nil
}

func checkShape(s tensor.Shape) error {
	if min(s.H, s.W, s.C) < 1 || max(s.H, s.W) > maxSide || s.C > maxChannels || int64(s.H)*int64(s.W)*int64(s.C) > maxElements {
		return fmt.Errorf("shape %v is out of range", s)
	}
	return nil
}

// checkWindow checks a window between an input and an output.
func checkWindow(w tensor.Window, in, out *Tensor) error {
	if max(w.KH, w.KW, w.StrideH, w.StrideW) > maxSide {
		return fmt.Errorf("kernel %dx%d, stride %dx%d is out of range", w.KH, w.KW, w.StrideH, w.StrideW)
	}
	h, wd, err := w.Infer(in.Shape.H, in.Shape.W)
	if err != nil {
		return err
	}
	if h != out.Shape.H || wd != out.Shape.W {
		return fmt.Errorf("output is %v, the window gives %dx%d", out.Shape, h, wd)
	}
	return nil
}

// checkActivation checks any activation but the image.
func checkActivation(what string, t *Tensor) error {
	if err := t.checkType(1); err != nil {
		return fmt.Errorf("%s %w", what, err)
	}
	return checkScale(what, t.Scale)
}

// checkType checks the type of an activation, and what belongs to it: an int8
// one's number of zero points, an int16 one's limits.
func (t *Tensor) checkType(zeros int) error {
	switch {
	case t.Type != Int8 && t.Type != Int16:
		return fmt.Errorf("is %s, want int8 or int16", t.Type)
	case t.Type == Int8 && len(t.Zero) != zeros:
		return fmt.Errorf("has %d zero points, want %d", len(t.Zero), zeros)
	case t.Type == Int8 && (t.Bound != 0 || t.NonNegative):
		return errors.New("is int8, which has no bound of its own")
	case t.Type == Int16 && len(t.Zero) != 0:
		return fmt.Errorf("is int16 and has %d zero points, want none", len(t.Zero))
	case t.Type == Int16 && (t.Bound < 1 || t.Bound > math.MaxInt16):
		return fmt.Errorf("has bound %d, want 1..%d", t.Bound, math.MaxInt16)
	}
	return nil
}

func checkScale(what string, s float32) error {
	if !(s > 0) || math.IsInf(float64(s), 0) {
		return fmt.Errorf("%s scale %v is not positive and finite", what, s)
	}
	return nil
}

func checkLen(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s has %d values, want %d", what, got, want)
	}
	return nil
}

func (c *Conv) check(in []*Tensor, out *Tensor) error {
	inputs := 1
	if c.Residual != 0 {
		inputs = 2
	}
	if len(in) != inputs {
		return fmt.Errorf("has %d inputs, want %d", len(in), inputs)
	}
	if err := checkActivation("output", out); err != nil {
		return err
	}
	if err := checkWindow(c.Window, in[0], out); err != nil {
		return err
	}
	if c.Groups < 1 || c.InC%c.Groups != 0 || c.OutC%c.Groups != 0 || c.InC != in[0].Shape.C || c.OutC != out.Shape.C {
		return fmt.Errorf("%d to %d channels in %d groups do not fit input %v and output %v", c.InC, c.OutC, c.Groups, in[0].Shape, out.Shape)
	}
	if depth := int64(c.KH) * int64(c.KW) * int64(c.InC/c.Groups); depth*int64(c.OutC) > maxElements {
		return fmt.Errorf("%d weights are out of range", depth*int64(c.OutC))
	}
	if err := errors.Join(
		checkLen("weight", len(c.Weight), c.OutC*c.depth()), checkLen("bias", len(c.Bias), c.OutC),
		checkLen("multiplier", len(c.Multiplier), c.OutC), checkLen("scale", len(c.Scale), c.OutC)); err != nil {
		return err
	}
	residual, err := c.checkResidual(in[1:], out)
	if err != nil {
		return err
	}
	return c.checkRange(in[0].magnitude(), residual)
}

// checkResidual also returns the largest magnitude of what the residual adds.
func (c *Conv) checkResidual(in []*Tensor, out *Tensor) (int64, error) {
	largest := uint8(0)
	if len(in) == 1 && in[0].Type == Int16 {
		largest = maxResidualShift
	}
	if c.ResidualShift > largest {
		return 0, fmt.Errorf("residual shift %d is not in 0..%d", c.ResidualShift, largest)
	}
	if len(in) == 0 {
		return 0, nil
	}
	if c.Residual < 1 || c.Residual > math.MaxInt16 {
		return 0, fmt.Errorf("residual ratio %d is not in 1..%d", c.Residual, math.MaxInt16)
	}
	if in[0].Shape != out.Shape {
		return 0, fmt.Errorf("residual is %v, want %v", in[0].Shape, out.Shape)
	}
	return int64(ScaleResidual(int32(in[0].magnitude()), c.Residual, c.ResidualShift)), nil
}

// checkRange proves that no intermediate of the epilogue leaves int32, with
// inputs and scaled residuals up to these magnitudes.
func (c *Conv) checkRange(input, residual int64) error {
	if c.Shift > 24 {
		return fmt.Errorf("shift %d is not in 0..24", c.Shift)
	}
	depth := c.depth()
	for o, m := range c.Multiplier {
		if m < 1 {
			return fmt.Errorf("channel %d: multiplier %d is not positive", o, m)
		}
		if err := checkScale("weight", c.Scale[o]); err != nil {
			return fmt.Errorf("channel %d: %w", o, err)
		}
		sum, err := weightSum(c.Weight[o*depth : (o+1)*depth])
		if err != nil {
			return fmt.Errorf("channel %d: %w", o, err)
		}
		acc := sum*input + abs64(c.Bias[o])
		if acc > math.MaxInt32>>c.Shift {
			return fmt.Errorf("channel %d: the accumulator can reach %d << %d, beyond int32", o, acc, c.Shift)
		}
		v := (acc<<c.Shift*int64(m))>>31 + 1 + residual + half
		if v > math.MaxInt32 {
			return fmt.Errorf("channel %d: the requantized value can reach %d, beyond int32", o, v)
		}
	}
	return nil
}

func (p *MaxPool) check(in []*Tensor, out *Tensor) error {
	return checkPool(p.Window, in, out)
}

func (p *AveragePool) check(in []*Tensor, out *Tensor) error {
	if p.KH*p.KW > maxWindow {
		return fmt.Errorf("window %dx%d has more than %d pixels", p.KH, p.KW, maxWindow)
	}
	return checkPool(p.Window, in, out)
}

func checkPool(w tensor.Window, in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := errors.Join(checkActivation("input", in[0]), checkActivation("output", out)); err != nil {
		return err
	}
	if in[0].Type != out.Type || in[0].Bound != out.Bound || in[0].NonNegative != out.NonNegative {
		return errors.New("input and output differ in type or bound")
	}
	if in[0].Scale != out.Scale || in[0].ZeroAt(0) != out.ZeroAt(0) || in[0].Shape.C != out.Shape.C {
		return errors.New("input and output differ in scale, zero point or channels")
	}
	return checkWindow(w, in[0], out)
}

// maxWindow is the largest number of pixels that are averaged: their sum of
// q - Zero, each at most 255 away from zero, fits int16, and twice that of
// int16 activations fits int32.
const maxWindow = math.MaxInt16 / 255

func (GlobalAveragePool) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := checkActivation("input", in[0]); err != nil {
		return err
	}
	s, bound := in[0].Shape, in[0].SumBound()
	if bound > math.MaxInt16 {
		return fmt.Errorf("the sum over %dx%d pixels reaches %d and does not fit int16; at most %d pixels do", s.H, s.W, bound, math.MaxInt16/(bound/int64(s.H*s.W)))
	}
	if want := (tensor.Shape{H: 1, W: 1, C: s.C}); out.Shape != want || out.Type != Int16 || len(out.Zero) != 0 || out.NonNegative {
		return fmt.Errorf("output is %v %s, want %v int16 without zero point", out.Shape, out.Type, want)
	}
	if int64(out.Bound) != bound {
		return fmt.Errorf("bound of the sums is %d, want %d", out.Bound, bound)
	}
	return checkScale("output", out.Scale)
}

func (d *Dense) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 || in[0].Type != Int16 {
		return errors.New("want one int16 input: a dense layer follows the global average pool")
	}
	if d.In != in[0].Shape.Elements() || d.Out < 1 || int64(d.In)*int64(d.Out) > maxElements {
		return fmt.Errorf("%d inputs and %d outputs do not fit input %v", d.In, d.Out, in[0].Shape)
	}
	if want := (tensor.Shape{H: 1, W: 1, C: d.Out}); out.Shape != want || out.Type != Int32 || len(out.Zero) != 0 {
		return fmt.Errorf("output is %v %s, want %v int32 without zero point", out.Shape, out.Type, want)
	}
	if err := errors.Join(
		checkLen("weight", len(d.Weight), d.In*d.Out), checkLen("bias", len(d.Bias), d.Out), checkLen("scale", len(d.Scale), d.Out)); err != nil {
		return err
	}
	for o := range d.Out {
		if err := checkScale("logit", d.Scale[o]); err != nil {
			return fmt.Errorf("class %d: %w", o, err)
		}
		sum, err := weightSum(d.Weight[o*d.In : (o+1)*d.In])
		if err != nil {
			return fmt.Errorf("class %d: %w", o, err)
		}
		if acc := sum*int64(in[0].Bound) + abs64(d.Bias[o]); acc > math.MaxInt32 {
			return fmt.Errorf("class %d: the accumulator can reach %d, beyond int32", o, acc)
		}
	}
	return nil
}

// weightSum checks that weights are symmetric and is their AbsSum.
func weightSum(w []int8) (int64, error) {
	if slices.Contains(w, -128) {
		return 0, errors.New("a weight is -128; weights are in -127..127")
	}
	return AbsSum(w), nil
}

// AbsSum is the sum of |w|: the largest |sum of w*x| for |x| <= 1.
func AbsSum(w []int8) int64 {
	var sum int64
	for _, v := range w {
		sum += abs64(int32(v))
	}
	return sum
}

// abs64 compiles to a conditional move: branches on the signs of weights, which
// no CPU predicts, would take longer than all else in loading a model.
func abs64(v int32) int64 { return max(int64(v), -int64(v)) }
