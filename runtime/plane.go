package runtime

import (
	"encoding/binary"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// plane is an activation in the arena, its halo included.
type plane struct {
	data    []int8.Value // of an int16 tensor the high bytes, see int8.Split
	low     []int8.Value // the low ones; nil of an int8 tensor
	shape   tensor.Shape
	halo    halo
	row     int          // bytes from one row to the next
	flip    int8.Value   // what a stored byte is to be XORed with for its value
	zero    []int8.Value // per channel: what the halo holds, as stored
	zeroLow []int8.Value
}

// bindPlane finds the plane of a buffer.
func (p *Plan) bindPlane(arena []byte, buffer int) plane {
	b := &p.buffers[buffer]
	size := b.rows() * b.rowBytes()
	bytes := view[int8.Value](arena, b, b.planes*size)
	pl := plane{
		data:  bytes[:size],
		shape: b.tensor.Shape, halo: b.halo, row: b.rowBytes(),
		zero: make([]int8.Value, b.tensor.Shape.C),
	}
	if p.kernel.Unsigned {
		pl.flip = -128
	}
	for c := range pl.zero {
		pl.zero[c] = b.tensor.ZeroAt(c) ^ pl.flip
	}
	if b.planes == 2 {
		_, low := int8.Split(0)
		pl.low, pl.zeroLow = bytes[size:], slices.Repeat([]int8.Value{low ^ pl.flip}, b.tensor.Shape.C)
	}
	return pl
}

// at is the index of pixel (y, x), which may lie in the halo.
func (p *plane) at(y, x int) int {
	return (p.halo.top+y)*p.row + (p.halo.left+x)*p.shape.C
}

// from is the bytes from pixel (y, x) on.
func (p *plane) from(y, x int) (data, low []int8.Value) {
	if p.low != nil {
		low = p.low[p.at(y, x):]
	}
	return p.data[p.at(y, x):], low
}

// value is the value whose byte, or high byte, has that index.
func (p *plane) value(at int) int32 {
	if p.low == nil {
		return int32(p.data[at] ^ p.flip)
	}
	return int8.Join(p.data[at]^p.flip, p.low[at]^p.flip)
}

// set is the inverse of value.
func (p *plane) set(at int, q int32) {
	if p.low == nil {
		p.data[at] = int8.Value(q) ^ p.flip
		return
	}
	high, low := int8.Split(q)
	p.data[at], p.low[at] = high^p.flip, low^p.flip
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
		if p.low != nil {
			copy(p.low[at+part.C0:at+part.C1], p.zeroLow[part.C0:part.C1])
		}
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

// maxPool16 is maxPool for int16 tensors. Best has room for a pixel.
func maxPool16(dst, src *plane, op *int8.MaxPool, part int8.Part, best []int32) {
	c := dst.shape.C
	best = best[:c]
	for y := part.Y0; y < part.Y1; y++ {
		top, bottom := span(y, op.StrideH, op.Top, op.KH, src.shape.H)
		for x := range dst.shape.W {
			left, right := span(x, op.StrideW, op.Left, op.KW, src.shape.W)
			for i := range best {
				best[i] = math.MinInt16
			}
			for iy := top; iy < bottom; iy++ {
				for ix := left; ix < right; ix++ {
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

func avgPool(dst, src *plane, op *int8.AveragePool, part int8.Part) {
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
						sum += src.value(src.at(iy, ix)+c) - zero
					}
				}
				dst.set(dst.at(y, x)+c, int8.Average(sum, int32(count))+zero)
			}
		}
	}
}

func globalSum(dst []int16, src *plane, part int8.Part) {
	sums := dst[part.C0:part.C1]
	clear(sums)
	src.addTo(sums, src.data, src.zero, part)
	if src.low == nil {
		return
	}
	for i := range sums {
		sums[i] <<= 8 // may wrap around: only the total has to fit
	}
	src.addTo(sums, src.low, src.zeroLow, part)
}

// addTo adds the part's sums of q - zero over the plane with these bytes.
func (p *plane) addTo(sums []int16, data, zero []int8.Value, part int8.Part) {
	for i, zero := range zero[part.C0:part.C1] {
		sums[i] -= int16(zero^p.flip) * int16(p.shape.H*p.shape.W)
	}
	for y := range p.shape.H {
		for x := range p.shape.W {
			for i, v := range data[p.at(y, x)+part.C0:][:len(sums)] {
				sums[i] += int16(v ^ p.flip)
			}
		}
	}
}
