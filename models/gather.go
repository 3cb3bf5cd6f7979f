package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Gather selects channels: output channel i is input channel Indices[i]. It splits
// tensors, and shuffles channels.
type Gather struct{ Indices []int }

// Kind implements Op.
func (*Gather) Kind() string { return "gather" }

// Infer implements Op.
func (g *Gather) Infer(in []tensor.Shape) (tensor.Shape, error) {
	s, err := unary(in)
	if err != nil {
		return s, err
	}
	for _, c := range g.Indices {
		if c < 0 || c >= s.C {
			return s, fmt.Errorf("selects channel %d of %d", c, s.C)
		}
	}
	s.C = len(g.Indices)
	return s, nil
}

// Digest implements Op.
func (g *Gather) Digest(w io.Writer) { fmt.Fprintln(w, "", g.Indices) }

func (*Gather) nonNegative(inputs bool) bool { return inputs }
