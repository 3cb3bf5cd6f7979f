package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Add is the sum of two tensors of one shape.
type Add struct{}

// Kind implements Op.
func (Add) Kind() string { return "add" }

// Infer implements Op.
func (Add) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 2); err != nil {
		return tensor.Shape{}, err
	}
	if in[0] != in[1] {
		return tensor.Shape{}, fmt.Errorf("cannot add %v and %v: shapes differ", in[0], in[1])
	}
	return in[0], nil
}

// Digest implements Op.
func (Add) Digest(w io.Writer) { fmt.Fprintln(w) }

// Homogeneous implements Homogeneous.
func (Add) Homogeneous() {}

func (Add) nonNegative(inputs bool) bool { return inputs }
