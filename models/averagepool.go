package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// AveragePool averages over each window. Padding counts as zeros if CountPad is
// set, and is left out of sum and count otherwise.
type AveragePool struct {
	tensor.Window
	CountPad bool
}

// Kind implements Op.
func (*AveragePool) Kind() string { return "avgpool" }

// Infer implements Op.
func (p *AveragePool) Infer(in []tensor.Shape) (tensor.Shape, error) { return pool(p.Window, in) }

// Digest implements Op.
func (p *AveragePool) Digest(w io.Writer) { fmt.Fprintf(w, " %v %v\n", p.Window, p.CountPad) }

// Homogeneous implements Homogeneous.
func (*AveragePool) Homogeneous() {}

func (*AveragePool) nonNegative(inputs bool) bool { return inputs }
