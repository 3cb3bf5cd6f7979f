package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// GlobalAveragePool averages each channel over the whole plane.
type GlobalAveragePool struct{}

// Kind implements Op.
func (GlobalAveragePool) Kind() string { return "globalavgpool" }

// Infer implements Op.
func (GlobalAveragePool) Infer(in []tensor.Shape) (tensor.Shape, error) {
	s, err := unary(in)
	return tensor.Shape{H: 1, W: 1, C: s.C}, err
}

// Digest implements Op.
func (GlobalAveragePool) Digest(w io.Writer) { fmt.Fprintln(w) }

// Homogeneous implements Homogeneous.
func (GlobalAveragePool) Homogeneous() {}

func (GlobalAveragePool) nonNegative(inputs bool) bool { return inputs }
