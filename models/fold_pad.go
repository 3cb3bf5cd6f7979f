package models

import "edgeclassify/tensor"

// mergePads makes one of two pads.
func mergePads(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	outer, ok := n.Op.(Pad)
	if inner, both := as[Pad](f.producer(n.Inputs[0])); ok && both {
		sum := Pad{outer.Top + inner.Top, outer.Left + inner.Left, outer.Bottom + inner.Bottom, outer.Right + inner.Right}
		return one(n.Name, sum, f.producer(n.Inputs[0]).Inputs...), nil
	}
	return nil, nil
}

// padWindow makes a pad that of the convolution or pool behind it.
func padWindow(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	before := f.producer(n.Inputs[0])
	p, ok := as[Pad](before)
	if !ok {
		return nil, nil
	}
	var op Op
	switch o := n.Op.(type) {
	case *Conv:
		padded := *o
		padded.Window, op = p.around(o.Window), &padded
	case *AveragePool:
		if o.CountPad || !padded(o.Window) {
			op = &AveragePool{p.around(o.Window), true}
		}
	case *MaxPool:
		// Zeros of the pad never win where no value is negative, and each window has one.
		if h, w := o.Steps(); h == 1 && w == 1 && f.atLeastZero(before.Inputs[0]) {
			op = &MaxPool{p.around(o.Window)}
		}
	}
	if op == nil {
		return nil, nil
	}
	if shape, err := op.Infer([]tensor.Shape{f.Shape(before.Inputs[0])}); err != nil || shape != n.Shape {
		return nil, nil // wider than the kernel
	}
	return one(n.Name, op, before.Inputs...), nil
}

func (p Pad) around(w tensor.Window) tensor.Window {
	w.Top, w.Left, w.Bottom, w.Right = w.Top+p.Top, w.Left+p.Left, w.Bottom+p.Bottom, w.Right+p.Right
	return w
}

func padded(w tensor.Window) bool { return max(w.Top, w.Left, w.Bottom, w.Right) > 0 }

// maxPad bounds the windows that padAlone makes.
const maxPad = 32

// padAlone makes a pad that nothing takes a convolution: a single one among zeros, in
// a window that is padded as far as it reaches.
func padAlone(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	p, ok := n.Op.(Pad)
	if !ok {
		return nil, nil
	}
	h, w := p.Top+p.Bottom, p.Left+p.Right
	if max(h, w) > maxPad {
		return nil, nil
	}
	window := tensor.Window{KH: h + 1, KW: w + 1, StrideH: 1, StrideW: 1, Top: h, Left: w, Bottom: h, Right: w}
	ones := make([]float64, n.Shape.C)
	for c := range ones {
		ones[c] = 1
	}
	return one(n.Name, perChannel(window, p.Bottom*window.KW+p.Right, ones, n.Inputs[0] == tensor.Input), n.Inputs...), nil
}

// perChannel is a convolution that multiplies each channel by a factor at one tap of
// the window. That of an image is not in groups, which it has no integer form for.
func perChannel(w tensor.Window, tap int, factors []float64, image bool) *Conv {
	channels := len(factors)
	c := &Conv{Window: w, Groups: channels, InC: channels, OutC: channels}
	if image && channels <= 3 {
		c.Groups = 1
	}
	taps, depth := w.KH*w.KW, channels/c.Groups
	c.Weight = make([]float32, channels*taps*depth)
	for o, v := range factors {
		c.Weight[(o*taps+tap)*depth+o%depth] = float32(v)
	}
	return c
}
