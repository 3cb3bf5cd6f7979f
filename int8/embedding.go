package int8

import (
	"errors"
	"fmt"
	"math"

	"edgeclassify/tensor"
)

// Embedding is the vector of unit length that a taught classifier reads. Its first
// part is the direction of the image's features; the second, which needs the logits of
// the network's own classifier, is what that takes the image for: how far each logit
// stands out from the others. The length of each part is its weight.
//
// The inputs are the features, sums or an activation of one pixel, and those logits,
// which may be absent.
type Embedding struct {
	Pooled, Logits float32   // lengths of the two parts: Pooled^2 + Logits^2 = 1
	Threshold      float32   // standard deviations from which on a logit stands out
	Scale          []float32 // [classes], real value of one logit step; empty without logits
}

// Kind implements Op.
func (*Embedding) Kind() string { return "embedding" }

// Content implements Op.
func (*Embedding) Content() (in, out Content) { return Sums | Activation | Logits, Sums }

// Parameters implements Op.
func (*Embedding) Parameters() Parameters { return Parameters{} }

// Output is the tensor that an embedding makes of so many features. The bound is the
// value of a part of length 1.
func (e *Embedding) Output(features int, bound int32) Tensor {
	return Tensor{Shape: tensor.Shape{H: 1, W: 1, C: features + len(e.Scale)}, Type: Int16, Scale: 1 / float32(bound), Bound: bound}
}

func (e *Embedding) check(in []*Tensor, out *Tensor) error {
	if want := 1 + min(1, len(e.Scale)); len(in) != want {
		return fmt.Errorf("has %d inputs and %d scales of logits, want features, or features and logits", len(in), len(e.Scale))
	}
	if s := in[0].Shape; s.H != 1 || s.W != 1 {
		return fmt.Errorf("features are %v, want one pixel", s)
	}
	if err := checkActivation("first input", in[0]); err != nil {
		return err
	}
	if len(in) == 2 && (in[1].Type != Int32 || in[1].Shape.C != len(e.Scale)) {
		return fmt.Errorf("second input is %v %s, want %d int32 logits", in[1].Shape, in[1].Type, len(e.Scale))
	}
	if err := errors.Join(e.checkLengths(), out.checkType(0)); err != nil {
		return err
	}
	for class, s := range e.Scale {
		if err := checkScale("logit", s); err != nil {
			return fmt.Errorf("class %d: %w", class, err)
		}
	}
	if want := e.Output(in[0].Shape.C, out.Bound); out.Shape != want.Shape || out.Type != Int16 || out.Scale != want.Scale || out.NonNegative {
		return fmt.Errorf("output is %v %s of scale %v, want %v int16 of scale %v", out.Shape, out.Type, out.Scale, want.Shape, want.Scale)
	}
	return nil
}

func (e *Embedding) checkLengths() error {
	p, l := float64(e.Pooled), float64(e.Logits)
	if !(p >= 0 && p <= 1 && l >= 0 && l <= 1 && math.Abs(p*p+l*l-1) < 1e-6) || len(e.Scale) == 0 && l != 0 {
		return fmt.Errorf("lengths %v and %v of the two parts do not make one of 1", e.Pooled, e.Logits)
	}
	if t := float64(e.Threshold); !(t >= 0) || math.IsInf(t, 0) {
		return fmt.Errorf("threshold %v is not finite and at least 0", e.Threshold)
	}
	return nil
}

// Of writes the embedding to dst: len(pooled) values and one for each logit. Pooled is
// q - Zero of the features. It does not allocate.
func (e *Embedding) Of(dst, pooled []int16, logits []int32, bound int32) {
	var squares int64
	for _, x := range pooled {
		squares += int64(x) * int64(x)
	}
	norm, length := math.Sqrt(float64(squares)), float64(e.Pooled)*float64(bound)
	for i, x := range pooled {
		dst[i] = portion(float64(x), norm, length)
	}
	e.standOut(dst[len(pooled):], logits, float64(e.Logits)*float64(bound))
}

// portion is the part of a length that x is of a norm, rounded.
func portion(x, norm, length float64) int16 {
	if norm == 0 {
		return 0
	}
	return int16(math.Floor(float64(x/norm*length) + 0.5))
}

// standOut writes the second part. Products are rounded before they are added, as the
// conversions demand: a machine with fused operations gives the same bits.
func (e *Embedding) standOut(dst []int16, logits []int32, length float64) {
	scale, count := e.Scale, float64(len(logits))
	sum := 0.0
	for i, v := range logits {
		sum += float64(float64(v) * float64(scale[i]))
	}
	mean, squares := sum/count, 0.0
	for i, v := range logits {
		d := float64(float64(v)*float64(scale[i])) - mean
		squares += float64(d * d)
	}
	deviation := math.Sqrt(squares / count)
	if deviation == 0 {
		clear(dst)
		return
	}
	above := func(i int) float64 {
		d := float64(float64(logits[i])*float64(scale[i])) - mean
		return max(0, d/deviation-float64(e.Threshold))
	}
	squares = 0
	for i := range logits {
		t := above(i)
		squares += float64(t * t)
	}
	norm := math.Sqrt(squares)
	for i := range logits {
		dst[i] = portion(above(i), norm, length)
	}
}

func (e *Embedding) reference(operands []operand, out *Tensor) []int32 {
	in := operands[0]
	pooled, embedding := make([]int16, len(in.values)), make([]int16, out.Shape.C)
	for i, q := range in.values {
		pooled[i] = int16(q - int32(in.ZeroAt(0)))
	}
	var logits []int32
	if len(operands) == 2 {
		logits = operands[1].values
	}
	e.Of(embedding, pooled, logits, out.Bound)
	dst := make([]int32, len(embedding))
	for i, q := range embedding {
		dst[i] = int32(q)
	}
	return dst
}
