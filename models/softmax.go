package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Softmax turns logits into probabilities.
type Softmax struct{}

// Kind implements Op.
func (Softmax) Kind() string { return "softmax" }

// Infer implements Op.
func (Softmax) Infer(in []tensor.Shape) (tensor.Shape, error) { return unary(in) }

// Digest implements Op.
func (Softmax) Digest(w io.Writer) { fmt.Fprintln(w) }

func (Softmax) nonNegative(bool) bool { return true }
