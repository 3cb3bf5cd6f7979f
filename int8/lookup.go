package int8

import (
	"errors"
	"fmt"
)

// Lookup maps each int8 value by a table: any function of one value.
type Lookup struct {
	Table []int8 // [256]; that of q stands at q + 128
}

// Kind implements Op.
func (*Lookup) Kind() string { return "lookup" }

// Content implements Op.
func (*Lookup) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*Lookup) Parameters() Parameters { return Parameters{} }

func (l *Lookup) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := errors.Join(checkInt8("input", in[0]), checkInt8("output", out), checkLen("table", len(l.Table), 256)); err != nil {
		return err
	}
	if in[0].Shape != out.Shape {
		return fmt.Errorf("input is %v, the output %v", in[0].Shape, out.Shape)
	}
	return nil
}

func (l *Lookup) reference(in []operand, _ *Tensor) []int32 {
	dst := make([]int32, len(in[0].values))
	for i, q := range in[0].values {
		dst[i] = int32(l.Table[q+128])
	}
	return dst
}
