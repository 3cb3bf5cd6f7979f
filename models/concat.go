package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Concat puts the channels of tensors behind each other.
type Concat struct{}

// Kind implements Op.
func (Concat) Kind() string { return "concat" }

// Infer implements Op.
func (Concat) Infer(in []tensor.Shape) (out tensor.Shape, err error) {
	if len(in) < 2 {
		return out, fmt.Errorf("has %d inputs, want two or more", len(in))
	}
	out = in[0]
	for _, s := range in[1:] {
		if s.H != out.H || s.W != out.W {
			return out, fmt.Errorf("cannot put %v behind %v: planes differ", s, in[0])
		}
		out.C += s.C
	}
	return out, nil
}

// Digest implements Op.
func (Concat) Digest(w io.Writer) { fmt.Fprintln(w) }

func (Concat) nonNegative(inputs bool) bool { return inputs }
