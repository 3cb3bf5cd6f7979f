package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// conv is a convolution with its residual.
type conv struct {
	node
	op     *int8.Conv
	packed int8.Convolution
}

func newConv(n node) operator {
	c := &conv{node: n, op: n.layer.Op.(*int8.Conv)}
	if c.hasInt16() {
		c.packed = c.kernel.ConvolutionInt16(c.layer, c.in[0])
	} else {
		c.packed = c.kernel.Convolution(c.layer)
	}
	return c
}

func (c *conv) halo() halo {
	w, in, out := c.op.Window, c.in[0].Shape, c.layer.Out.Shape
	kh, kw := w.Reach()
	return halo{
		top:    w.Top,
		left:   w.Left,
		bottom: max(0, (out.H-1)*w.StrideH+kh-w.Top-in.H),
		right:  max(0, (out.W-1)*w.StrideW+kw-w.Left-in.W),
	}
}

// window leaves out what is best computed so many rows at a time.
func (c *conv) window() (tensor.Window, bool) {
	rows, _ := c.packed.Split(c.threads)
	return c.op.Window, rows <= 1
}

// inPlace is the residual: each of its values is read before it is replaced, and
// by the same thread.
func (c *conv) inPlace() []int {
	if len(c.in) == 2 {
		return []int{1}
	}
	return nil
}

// split is by rows where activations outweigh weights, so that a thread's rows
// stay in its cache; else by channels, so that each weight is read by one thread
// only; or as the packed layer has it.
func (c *conv) split() (byRows bool, unit int) {
	rows, channels := c.packed.Split(c.threads)
	switch {
	case rows > 0:
		return true, rows
	case channels > 0:
		return false, channels
	case c.layer.Out.Shape.Elements() > len(c.op.Weight):
		return true, 1
	}
	return false, c.op.Unit(c.kernel.NR)
}

func (c *conv) pack(memory []int8.Value, packed func(weights []int8.Value)) {
	c.packed.Pack(memory)
	if packed != nil && c.packed.Bytes() > 0 {
		packed(c.op.Weight)
	}
}

func (c *conv) take(from operator) bool {
	f, ok := from.(*conv)
	ok = ok && f.op == c.op && f.kernel.Name == c.kernel.Name && f.layer.Out.Shape == c.layer.Out.Shape && !f.hasInt16() && !c.hasInt16()
	if ok {
		c.packed = f.packed
	}
	return ok
}

func (c *conv) packedBytes() int { return c.packed.Bytes() }

func (c *conv) scratch() int { return c.packed.Scratch() }

func (c *conv) bind(s *Session) task {
	src, dst := s.plane(c.layer.Inputs[0]), s.plane(c.out)
	t := &int8.ConvTask{Conv: c.op, OH: dst.shape.H, OW: dst.shape.W, SrcRow: src.row, DstRow: dst.row, SrcStep: src.pixel, DstStep: dst.pixel}
	var res *plane
	if len(c.in) == 2 {
		res = s.plane(c.layer.Inputs[1])
		t.ResRow, t.ResStep = res.row, res.pixel
	}
	begin := func(y int) { // at a row of the output
		t.Src, t.SrcLow = src.from(y*c.op.StrideH-c.op.Top, -c.op.Left)
		t.Dst, t.DstLow = dst.from(y, 0)
		if res != nil {
			t.Res, t.ResLow = res.from(y, 0)
		}
	}
	if s.bands == nil {
		begin(0)
		return func(part int8.Part, scratch []int64) {
			c.packed.Run(t, part, scratch)
			dst.fillHalo(part)
		}
	}
	return func(part int8.Part, scratch []int64) {
		begin(part.Y0)
		t.OH = part.Y1 - part.Y0
		c.packed.Run(t, int8.Part{Y1: t.OH, C0: part.C0, C1: part.C1}, scratch)
		dst.fillHalo(part)
	}
}
