package runtime

import (
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// plane is the feature map of an activation in the arena, its halo included.
type plane struct {
	data    []int8.Value // of an int16 tensor the high bytes, see int8.Split
	low     []int8.Value // the low bytes; nil of an int8 tensor
	shape   tensor.Shape
	halo    halo
	origin  int          // the row that data begins with, negative in the halo
	row     int          // bytes from one row to the next
	pixel   int          // bytes from one pixel to the next
	flip    int8.Value   // what a stored byte is to be XORed with for its value
	zero    []int8.Value // per channel: what the halo holds, as stored
	zeroLow []int8.Value
}

// plane finds that of a tensor, an activation: in the arena or, where a chain is
// bound, in one of its bands.
func (s *Session) plane(id tensor.ID) *plane {
	if band := s.bands[id]; band != nil {
		return band
	}
	b := &s.plan.buffers[id]
	root := &s.plan.buffers[b.root]
	size := root.rows() * root.rowBytes()
	bytes := view[int8.Value](s.arena, root, b.halves*size)
	p := s.plan.newPlane(id)
	p.data = bytes[b.channel:size]
	if b.halves == 2 {
		p.low = bytes[size+b.channel:]
	}
	return p
}

// newPlane is a tensor's plane without memory.
func (p *Plan) newPlane(id tensor.ID) *plane {
	b := &p.buffers[id]
	root, channels := &p.buffers[b.root], b.tensor.Shape.C
	n := &plane{
		shape: b.tensor.Shape, halo: root.halo, origin: -root.halo.top, row: root.rowBytes(), pixel: root.tensor.Shape.C,
		zero: make([]int8.Value, channels),
	}
	if p.kernel.Unsigned {
		n.flip = -128
	}
	for c := range n.zero {
		n.zero[c] = b.tensor.ZeroAt(c) ^ n.flip
	}
	if b.halves == 2 {
		_, low := int8.Split(0)
		n.zeroLow = slices.Repeat([]int8.Value{low ^ n.flip}, channels)
	}
	return n
}

// at is the index of pixel (y, x), which may lie in the halo.
func (p *plane) at(y, x int) int {
	return (y-p.origin)*p.row + (p.halo.left+x)*p.pixel
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
		y0 = max(-p.halo.top, p.origin)
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

// span is the values of a window at output position i of one axis that lie in the
// plane: from lo to below hi, step apart.
func span(i, stride, pad, kernel, step, length int) (lo, hi int) {
	lo = i*stride - pad
	hi = min(lo+(kernel-1)*step+1, length)
	if lo < 0 {
		lo += (step - 1 - lo) / step * step
	}
	return lo, hi
}
