package int8

import "fmt"

// Gather selects channels: output channel i is input channel Indices[i]. Its tensors
// have one type, scale, zero point and limits.
type Gather struct{ Indices []int32 }

// Kind implements Op.
func (*Gather) Kind() string { return "gather" }

// Content implements Op.
func (*Gather) Content() (in, out Content) { return Activation, Activation }

// Parameters implements Op.
func (*Gather) Parameters() Parameters { return Parameters{} }

func (g *Gather) check(in []*Tensor, out *Tensor) error {
	if len(in) != 1 {
		return fmt.Errorf("has %d inputs, want 1", len(in))
	}
	if err := checkActivation("input", in[0]); err != nil {
		return err
	}
	if err := checkActivation("output", out); err != nil {
		return err
	}
	if err := in[0].checkCode(out); err != nil {
		return err
	}
	s := in[0].Shape
	if s.C = len(g.Indices); s != out.Shape {
		return fmt.Errorf("%d channels of %v are no output %v", len(g.Indices), in[0].Shape, out.Shape)
	}
	for _, c := range g.Indices {
		if c < 0 || int(c) >= in[0].Shape.C {
			return fmt.Errorf("selects channel %d of %d", c, in[0].Shape.C)
		}
	}
	return nil
}

func (g *Gather) reference(in []operand, to *Tensor) []int32 {
	dst := make([]int32, 0, to.Shape.Elements())
	for pixel := range to.Shape.H * to.Shape.W {
		for _, c := range g.Indices {
			dst = append(dst, in[0].values[pixel*in[0].Shape.C+int(c)])
		}
	}
	return dst
}
