package models

import (
	"fmt"
	"io"

	"edgeclassify/tensor"
)

// Mul multiplies two tensors of one shape, or the first by a factor for each channel,
// as squeeze-and-excitation does (Hu et al., arXiv:1709.01507): the second is then
// 1x1.
type Mul struct{}

// Kind implements Op.
func (Mul) Kind() string { return "mul" }

// Infer implements Op.
func (Mul) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 2); err != nil {
		return tensor.Shape{}, err
	}
	if in[1] != in[0] && in[1] != (tensor.Shape{H: 1, W: 1, C: in[0].C}) {
		return tensor.Shape{}, fmt.Errorf("cannot multiply %v by %v: want the same shape, or a value for each channel", in[0], in[1])
	}
	return in[0], nil
}

// Digest implements Op.
func (Mul) Digest(w io.Writer) { fmt.Fprintln(w) }

func (Mul) nonNegative(inputs bool) bool { return inputs }
