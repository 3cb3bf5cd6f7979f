package int8

import (
	"errors"
	"fmt"
)

// Concat puts the channels of its inputs behind each other. All of its tensors have
// one type, scale, zero point and limits.
type Concat struct{}

// Kind implements Op.
func (Concat) Kind() string { return "concat" }

// Content implements Op.
func (Concat) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (Concat) Parameters() Parameters { return Parameters{} }

func (Concat) check(in []*Tensor, out *Tensor) error {
	if len(in) == 0 {
		return errors.New("has no inputs")
	}
	if err := checkActivation("output", out); err != nil {
		return err
	}
	channels := 0
	for i, t := range in {
		what := fmt.Sprintf("input %d", i)
		if err := errors.Join(checkActivation(what, t), t.checkCode(out)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if t.Shape.H != out.Shape.H || t.Shape.W != out.Shape.W {
			return fmt.Errorf("%s is %v, the output %v", what, t.Shape, out.Shape)
		}
		channels += t.Shape.C
	}
	if channels != out.Shape.C {
		return fmt.Errorf("inputs have %d channels, the output has %d", channels, out.Shape.C)
	}
	return nil
}

func (Concat) reference(in []operand, to *Tensor) []int32 {
	dst := make([]int32, 0, to.Shape.Elements())
	for pixel := range to.Shape.H * to.Shape.W {
		for _, o := range in {
			dst = append(dst, o.values[pixel*o.Shape.C:][:o.Shape.C]...)
		}
	}
	return dst
}
