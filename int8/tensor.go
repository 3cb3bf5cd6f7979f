package int8

import (
	"errors"
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// Value is the built-in int8, whose name an import of this package hides.
type Value = int8

// Type is the integer type of a tensor.
type Type string

// The types of tensors: activations are Int8 or Int16, pooled sums Int16 and
// logits Int32.
const (
	Int8  Type = "int8"
	Int16 Type = "int16"
	Int32 Type = "int32"
)

// Size is the number of bytes of one value.
func (t Type) Size() int {
	switch t {
	case Int8:
		return 1
	case Int16:
		return 2
	default:
		return 4
	}
}

// Tensor describes the values of one tensor.
type Tensor struct {
	Shape tensor.Shape `json:"shape"`
	Type  Type         `json:"type"`
	// Scale is the real value of one step; 0 for logits, whose scales are per
	// class, and for the image, whose scales are folded into the first
	// convolution.
	Scale float32 `json:"scale"`
	// Zero is the value that stands for real zero: one for all channels or one
	// per channel. Empty for all but int8 activations, where it is 0.
	Zero []int8 `json:"zero,omitempty"`
	// Bound is the largest magnitude of an int16 value. That of sums is
	// SumBound of the tensor that is added up. 0 for other types.
	Bound int32 `json:"bound,omitempty"`
	// NonNegative says that an int16 activation is at least 0, as behind a ReLU.
	NonNegative bool `json:"non_negative,omitempty"`
}

// Limits are the least and the greatest value of an activation.
func (t *Tensor) Limits() (low, high int32) {
	switch {
	case t.Type == Int8:
		return math.MinInt8, math.MaxInt8
	case t.NonNegative:
		return 0, t.Bound
	default:
		return -t.Bound, t.Bound
	}
}

// SumBound is the Bound of the sums over an activation's plane.
func (t *Tensor) SumBound() int64 {
	reach := int64(t.Bound)
	if t.Type == Int8 {
		reach = math.MaxUint8
	}
	return reach * int64(t.Shape.H) * int64(t.Shape.W)
}

// reach is the largest |q - Zero| of an activation but the image.
func (t *Tensor) reach() int64 {
	low, high := t.Limits()
	zero := int32(t.ZeroAt(0))
	return int64(max(zero-low, high-zero))
}

// magnitude is the largest |q|.
func (t *Tensor) magnitude() int64 {
	low, high := t.Limits()
	return int64(max(-low, high))
}

// ZeroAt is the zero point of channel c.
func (t *Tensor) ZeroAt(c int) int8 {
	switch len(t.Zero) {
	case 0:
		return 0
	case 1:
		return t.Zero[0]
	default:
		return t.Zero[c]
	}
}

// checkActivation checks any activation but the image.
func checkActivation(what string, t *Tensor) error {
	if err := t.checkType(1); err != nil {
		return fmt.Errorf("%s %w", what, err)
	}
	return checkScale(what, t.Scale)
}

// checkInt8 is checkActivation for what has no int16 form.
func checkInt8(what string, t *Tensor) error {
	if t.Type != Int8 {
		return fmt.Errorf("%s is %s, want int8", what, t.Type)
	}
	return checkActivation(what, t)
}

// checkCode checks that values of two activations stand for the same real ones.
func (t *Tensor) checkCode(o *Tensor) error {
	if t.Type != o.Type || t.Bound != o.Bound || t.NonNegative != o.NonNegative {
		return errors.New("input and output differ in type or bound")
	}
	if t.Scale != o.Scale || t.ZeroAt(0) != o.ZeroAt(0) {
		return errors.New("input and output differ in scale or zero point")
	}
	return nil
}

// checkType checks the type of an activation, and what belongs to it: an int8
// one's number of zero points, an int16 one's limits.
func (t *Tensor) checkType(zeros int) error {
	switch {
	case t.Type != Int8 && t.Type != Int16:
		return fmt.Errorf("is %s, want int8 or int16", t.Type)
	case t.Type == Int8 && len(t.Zero) != zeros:
		return fmt.Errorf("has %d zero points, want %d", len(t.Zero), zeros)
	case t.Type == Int8 && (t.Bound != 0 || t.NonNegative):
		return errors.New("is int8, which has no bound of its own")
	case t.Type == Int16 && len(t.Zero) != 0:
		return fmt.Errorf("is int16 and has %d zero points, want none", len(t.Zero))
	case t.Type == Int16 && (t.Bound < 1 || t.Bound > math.MaxInt16):
		return fmt.Errorf("has bound %d, want 1..%d", t.Bound, math.MaxInt16)
	}
	return nil
}

func checkScale(what string, s float32) error {
	if !(s > 0) || math.IsInf(float64(s), 0) {
		return fmt.Errorf("%s scale %v is not positive and finite", what, s)
	}
	return nil
}
