package models

import (
	"fmt"
	"io"
	"math"

	"edgeclassify/tensor"
)

// Clip limits values to [Min, Max]: ReLU6 is Clip{0, 6}.
type Clip struct{ Min, Max float32 }

// Unlimited is the Clip that changes nothing.
func Unlimited() Clip { return Clip{float32(math.Inf(-1)), float32(math.Inf(1))} }

// relu are the limits of a ReLU.
var relu = Clip{Max: Unlimited().Max}

// NonNegative tells whether nothing below zero is left.
func (c Clip) NonNegative() bool { return c.Min >= 0 }

// saturation returns the limits of a ReLU or Clip, if they are those of a range that
// holds zero, as a quantized tensor's does.
func saturation(op Op) (c Clip, ok bool) {
	switch op := op.(type) {
	case ReLU:
		return relu, true
	case Clip:
		return op, op.Min <= 0 && op.Max >= 0
	}
	return Unlimited(), false
}

// Kind implements Op.
func (Clip) Kind() string { return "clip" }

// Infer implements Op.
func (c Clip) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if !(c.Min < c.Max) {
		return tensor.Shape{}, fmt.Errorf("limits %v and %v are no range", c.Min, c.Max)
	}
	return unary(in)
}

// Digest implements Op.
func (c Clip) Digest(w io.Writer) { fmt.Fprintf(w, " %v %v\n", c.Min, c.Max) }

func (c Clip) nonNegative(bool) bool { return c.NonNegative() }
