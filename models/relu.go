package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// ReLU is max(x, 0).
type ReLU struct{}

// Kind implements Op.
func (ReLU) Kind() string { return "relu" }

// Infer implements Op.
func (ReLU) Infer(in []tensor.Shape) (tensor.Shape, error) { return unary(in) }

// Digest implements Op.
func (ReLU) Digest(w io.Writer) { fmt.Fprintln(w) }

// Homogeneous implements Homogeneous.
func (ReLU) Homogeneous() {}

func (ReLU) nonNegative(bool) bool { return true }
