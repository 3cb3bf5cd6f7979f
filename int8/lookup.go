package int8

import (
	"errors"
	"fmt"
)

// Lookup maps each int8 value by a table: any function of one value, for all channels or
// for each.
type Lookup struct {
	Table   []int8  // [tables][256]; what becomes of q stands at q + 128
	Channel []int32 // the table of each channel; nil where there is but one
}

// At is the table of channel c.
func (l *Lookup) At(c int) []int8 {
	if l.Channel == nil {
		return l.Table
	}
	return l.Table[256*l.Channel[c]:][:256]
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
	tables := 1
	if l.Channel != nil {
		tables = len(l.Table) / 256
	}
	if err := errors.Join(checkInt8("input", in[0]), checkInt8("output", out), checkLen("table", len(l.Table), 256*tables)); err != nil {
		return err
	}
	if l.Channel != nil {
		if err := checkLen("tables of channels", len(l.Channel), out.Shape.C); err != nil {
			return err
		}
	}
	for c, t := range l.Channel {
		if t < 0 || int(t) >= tables {
			return fmt.Errorf("channel %d has table %d of %d", c, t, tables)
		}
	}
	if in[0].Shape != out.Shape {
		return fmt.Errorf("input is %v, the output %v", in[0].Shape, out.Shape)
	}
	return nil
}

func (l *Lookup) reference(in []operand, _ *Tensor) []int32 {
	dst := make([]int32, len(in[0].values))
	for i, q := range in[0].values {
		dst[i] = int32(l.At(i % in[0].Shape.C)[q+128])
	}
	return dst
}
