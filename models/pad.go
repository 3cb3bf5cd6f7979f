package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Pad surrounds a plane with zeros. Fold gives it to the convolution or pool behind
// it where that takes it.
type Pad struct{ Top, Left, Bottom, Right int }

// Kind implements Op.
func (Pad) Kind() string { return "pad" }

// Infer implements Op.
func (p Pad) Infer(in []tensor.Shape) (tensor.Shape, error) {
	s, err := unary(in)
	if err != nil {
		return s, err
	}
	if min(p.Top, p.Left, p.Bottom, p.Right) < 0 {
		return s, fmt.Errorf("padding %v must not be negative", p)
	}
	return tensor.Shape{H: s.H + p.Top + p.Bottom, W: s.W + p.Left + p.Right, C: s.C}, nil
}

// Digest implements Op.
func (p Pad) Digest(w io.Writer) { fmt.Fprintf(w, " %v\n", p) }

// Homogeneous implements Homogeneous.
func (Pad) Homogeneous() {}

func (Pad) nonNegative(inputs bool) bool { return inputs }
