package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// MaxPool takes the maximum over each window; padding never wins.
type MaxPool struct{ tensor.Window }

// Kind implements Op.
func (*MaxPool) Kind() string { return "maxpool" }

// Infer implements Op.
func (p *MaxPool) Infer(in []tensor.Shape) (tensor.Shape, error) { return pool(p.Window, in) }

// Digest implements Op.
func (p *MaxPool) Digest(w io.Writer) { fmt.Fprintf(w, " %v\n", p.Window) }

// Homogeneous implements Homogeneous.
func (*MaxPool) Homogeneous() {}

func (*MaxPool) nonNegative(inputs bool) bool { return inputs }
