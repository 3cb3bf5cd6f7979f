package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Clip limits values to [Min, Max]: ReLU6 is Clip{0, 6}.
type Clip struct{ Min, Max float32 }

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
