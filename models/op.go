package models

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"edgeclassify/tensor"
)

// Op is an operation. Each stands in a file of its own, in this package and in
// those that quantize, run and export it.
type Op interface {
	// Kind is the operation's name for people: "conv", "batchnorm", ...
	Kind() string
	// Infer checks the operation against its input shapes and returns the
	// output's shape.
	Infer(in []tensor.Shape) (tensor.Shape, error)
	// Digest writes all that the operation computes with, and a line break.
	Digest(w io.Writer)
}

// Linear is an operation whose outputs are sums of weights times inputs, plus a
// bias.
type Linear interface {
	Op
	Parameters() Parameters
	// WithParameters is the operation with others of the same lengths.
	WithParameters(weight, bias []float32) Linear
}

// Parameters are the weights of a linear operation.
type Parameters struct {
	Weight []float32 // [Out][depth], input channels of the group innermost
	Bias   []float32 // [Out], or nil
	Out    int       // output channels
	Groups int       // of input and output channels
}

// Each calls f with the index of every weight of an operation that reads a tensor
// of so many channels, and the channels that it leads from and to.
func (p Parameters) Each(channels int, f func(i, in, out int, w float32)) {
	depth, groupIn, groupOut := len(p.Weight)/p.Out, channels/p.Groups, p.Out/p.Groups
	for i, w := range p.Weight {
		out := i / depth
		f(i, out/groupOut*groupIn+i%depth%groupIn, out, w)
	}
}

// Homogeneous is an operation that passes a positive factor of a channel on: that
// of its inputs is that of its output.
type Homogeneous interface {
	Op
	Homogeneous()
}

// signed is an operation that tells whether its output has no negative value, given
// whether none of its inputs has one.
type signed interface {
	nonNegative(inputs bool) bool
}

// digestFloats writes the lengths and bits of tensors.
func digestFloats(w io.Writer, tensors ...[]float32) {
	const size = 1 << 16
	buf := make([]byte, 0, size)
	for _, t := range tensors {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(len(t)))
		for _, v := range t {
			if buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v)); len(buf) > size-8 {
				w.Write(buf)
				buf = buf[:0]
			}
		}
		w.Write(buf)
		buf = buf[:0]
	}
}

func unary(in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	return in[0], nil
}

func pool(w tensor.Window, in []tensor.Shape) (tensor.Shape, error) {
	if err := arity(in, 1); err != nil {
		return tensor.Shape{}, err
	}
	h, wd, err := w.Infer(in[0].H, in[0].W)
	return tensor.Shape{H: h, W: wd, C: in[0].C}, err
}

func arity(in []tensor.Shape, n int) error {
	if len(in) != n {
		return fmt.Errorf("has %d inputs, want %d", len(in), n)
	}
	return nil
}

func length(what string, v []float32, n int) error {
	if len(v) != n {
		return fmt.Errorf("%s has %d values, want %d", what, len(v), n)
	}
	return nil
}
