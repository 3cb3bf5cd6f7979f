package runtime

import (
	"encoding/binary"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// plane is an int8 tensor in the arena, its halo included.
type plane struct {
	data  []int8.Value
	shape tensor.Shape
	halo  halo
	row   int          // bytes from one row to the next
	flip  int8.Value   // what a stored byte is to be XORed with for its value
	zero  []int8.Value // per channel: what the halo holds, as stored
}

// bindPlane finds the plane of a buffer.
func (p *Plan) bindPlane(arena []byte, buffer int) plane {
	b := &p.buffers[buffer]
	pl := plane{
		data:  view[int8.Value](arena, b, b.rows()*b.rowBytes()),
		shape: b.tensor.Shape, halo: b.halo, row: b.rowBytes(),
		zero: make([]int8.Value, b.tensor.Shape.C),
	}
	if p.kernel.Unsigned {
		pl.flip = -128
	}
	for c := range pl.zero {
		pl.zero[c] = b.tensor.ZeroAt(c) ^ pl.flip
	}
	return pl
}

// at is the index of pixel (y, x), which may lie in the halo.
func (p *plane) at(y, x int) int {
	return (p.halo.top+y)*p.row + (p.halo.left+x)*p.shape.C
}

// fillHalo writes the zero point around the rows and channels of part. The
// arena is shared, so that earlier layers leave other values there.
func (p *plane) fillHalo(part int8.Part) {
	y0, y1 := part.Y0, part.Y1
	if y0 == 0 {
		y0 = -p.halo.top
	}
	if y1 == p.shape.H {
		y1 += p.halo.bottom
	}
	for y := y0; y < y1; y++ {
		if y < 0 || y >= p.shape.H {
			p.fill(y, -p.halo.left, p.shape.W+p.halo.right, part)
			continue
		}
		p.fill(y, -p.halo.left, 0, part)
		p.fill(y, p.shape.W, p.shape.W+p.halo.right, part)
	}
}

// fill writes the zero point to pixels [x0, x1) of row y.
func (p *plane) fill(y, x0, x1 int, part int8.Part) {
	for x := x0; x < x1; x++ {
		at := p.at(y, x)
		copy(p.data[at+part.C0:at+part.C1], p.zero[part.C0:part.C1])
	}
}

// loadImage stores RGB pixels minus 128.
func loadImage(dst *plane, rgb []uint8, part int8.Part) {
	width := dst.shape.W * dst.shape.C
	for y := part.Y0; y < part.Y1; y++ {
		row := cast[uint8](dst.data[dst.at(y, 0):][:width])
		copy(row, rgb[y*width:])
		if dst.flip == 0 {
			flipSigns(row)
		}
	}
}

// flipSigns subtracts 128 from every byte, eight at a time.
func flipSigns(b []uint8) {
	for ; len(b) >= 8; b = b[8:] {
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^0x8080808080808080)
	}
	for i := range b {
		b[i] ^= 0x80
	}
}

// span clips a window at output position i of one axis to the plane.
func span(i, stride, pad, kernel, length int) (lo, hi int) {
	lo = i*stride - pad
	return max(lo, 0), min(lo+kernel, length)
}

// maxPool takes the maximum over the rows of a window, for the whole width,
// and then over its columns, for all output pixels at once.
func maxPool(dst, src *plane, op *int8.MaxPool, larger maximum, part int8.Part, scratch []int8.Value) {
	c := dst.shape.C
	rows := scratch[:src.shape.W*c]
	for y := part.Y0; y < part.Y1; y++ {
		out := dst.data[dst.at(y, 0):][:dst.shape.W*c]
		fill(out, -128^dst.flip)
		top, bottom := span(y, op.StrideH, op.Top, op.KH, src.shape.H)
		if top >= bottom {
			continue
		}
		copy(rows, src.data[src.at(top, 0):])
		for iy := top + 1; iy < bottom; iy++ {
			larger(rows, src.data[src.at(iy, 0):], len(rows), 1, 0, 0)
		}
		for kx := range op.KW {
			// The outputs whose column kx lies in the plane.
			x := max(0, (op.Left-kx+op.StrideW-1)/op.StrideW)
			ix := x*op.StrideW - op.Left + kx
			if x < dst.shape.W && ix < src.shape.W {
				n := min(dst.shape.W-x, (src.shape.W-1-ix)/op.StrideW+1)
				larger(out[x*c:], rows[ix*c:], c, n, c, op.StrideW*c)
			}
		}
	}
}

// maximum is int8.Kernel.Max.
type maximum = func(dst, src []int8.Value, n, count, dstStep, srcStep int)

func fill(s []int8.Value, v int8.Value) {
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

func avgPool(dst, src *plane, op *int8.AvgPool, part int8.Part) {
	for y := part.Y0; y < part.Y1; y++ {
		top, bottom := span(y, op.StrideH, op.Top, op.KH, src.shape.H)
		for x := range dst.shape.W {
			left, right := span(x, op.StrideW, op.Left, op.KW, src.shape.W)
			count := (bottom - top) * (right - left)
			if op.CountPad {
				count = op.KH * op.KW
			}
			for c := range dst.shape.C {
				zero, sum := int32(src.zero[c]^src.flip), int32(0)
				for iy := top; iy < bottom; iy++ {
					for ix := left; ix < right; ix++ {
						sum += int32(src.data[src.at(iy, ix)+c]^src.flip) - zero
					}
				}
				dst.data[dst.at(y, x)+c] = int8.Value(int8.Average(sum, int32(count))+zero) ^ dst.flip
			}
		}
	}
}

func globalSum(dst []int16, src *plane, part int8.Part) {
	sums := dst[part.C0:part.C1]
	for i, zero := range src.zero[part.C0:part.C1] {
		sums[i] = -int16(zero^src.flip) * int16(src.shape.H*src.shape.W)
	}
	for y := range src.shape.H {
		for x := range src.shape.W {
			for i, v := range src.data[src.at(y, x)+part.C0:][:len(sums)] {
				sums[i] += int16(v ^ src.flip)
			}
		}
	}
}
