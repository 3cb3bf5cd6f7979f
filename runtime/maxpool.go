package runtime

import (
	"math"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// maxPool is the maximum over windows.
type maxPool struct {
	node
	op *int8.MaxPool
}

func newMaxPool(n node) operator { return &maxPool{n, n.layer.Op.(*int8.MaxPool)} }

func (p *maxPool) window() (tensor.Window, bool) { return p.op.Window, true }

// scratch is a row of bytes, or a pixel of int32.
func (p *maxPool) scratch() int {
	in := p.in[0].Shape
	return (max(in.W, 4)*in.C + 7) / 8
}

func (p *maxPool) bind(s *Session) task {
	src, dst := s.plane(p.layer.Inputs[0]), s.plane(p.out)
	if p.hasInt16() {
		return func(part int8.Part, scratch []int64) {
			p.run16(dst, src, part, cast[int32](scratch))
			dst.fillHalo(part)
		}
	}
	return func(part int8.Part, scratch []int64) {
		p.run8(dst, src, part, cast[int8.Value](scratch))
		dst.fillHalo(part)
	}
}

// run8 takes the maximum over the rows of a window, for the whole width, and then
// over its columns, for all output pixels at once.
func (p *maxPool) run8(dst, src *plane, part int8.Part, scratch []int8.Value) {
	op, larger, c := p.op, p.kernel.Max, dst.shape.C
	dh, dw := op.Steps()
	rows := scratch[:src.shape.W*c]
	n, count := len(rows), 1 // of the runs of values in a row of src
	if src.pixel != c {
		n, count = c, src.shape.W
	}
	for y := part.Y0; y < part.Y1; y++ {
		out := dst.data[dst.at(y, 0):]
		fill(out[:c], -128^dst.flip)
		for x := 1; x < dst.shape.W; x++ {
			copy(out[x*dst.pixel:], out[:c])
		}
		top, bottom := span(y, op.StrideH, op.Top, op.KH, dh, src.shape.H)
		for i := range count {
			copy(rows[i*n:][:n], src.data[src.at(top, i):])
		}
		for iy := top + dh; iy < bottom; iy += dh {
			larger(rows, src.data[src.at(iy, 0):], n, count, n, src.pixel)
		}
		for kx := range op.KW {
			// The outputs whose column kx lies in the plane.
			x := max(0, (op.Left-kx*dw+op.StrideW-1)/op.StrideW)
			ix := x*op.StrideW - op.Left + kx*dw
			if x < dst.shape.W && ix < src.shape.W {
				n := min(dst.shape.W-x, (src.shape.W-1-ix)/op.StrideW+1)
				larger(out[x*dst.pixel:], rows[ix*c:], c, n, dst.pixel, op.StrideW*c)
			}
		}
	}
}

func fill(s []int8.Value, v int8.Value) {
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

// run16 takes the maximum of one window after the other. Best has room for a
// pixel.
func (p *maxPool) run16(dst, src *plane, part int8.Part, best []int32) {
	op, c := p.op, dst.shape.C
	dh, dw := op.Steps()
	best = best[:c]
	for y := part.Y0; y < part.Y1; y++ {
		top, bottom := span(y, op.StrideH, op.Top, op.KH, dh, src.shape.H)
		for x := range dst.shape.W {
			left, right := span(x, op.StrideW, op.Left, op.KW, dw, src.shape.W)
			for i := range best {
				best[i] = math.MinInt16
			}
			for iy := top; iy < bottom; iy += dh {
				for ix := left; ix < right; ix += dw {
					high, low := src.data[src.at(iy, ix):][:c], src.low[src.at(iy, ix):][:c]
					for i := range best {
						best[i] = max(best[i], int8.Join(high[i]^src.flip, low[i]^src.flip))
					}
				}
			}
			for i, q := range best {
				dst.set(dst.at(y, x)+i, q)
			}
		}
	}
}
