package runtime

import "edgeclassify/int8"

// operands are the planes of an operation that works value by value. The second input is
// the first one again where there is but one, and one pixel for all where broadcast.
type operands struct {
	dst, x, y *plane
	broadcast bool
}

// operands finds those of a layer.
func (s *Session) operands(n *node) *operands {
	in := n.layer.Inputs
	o := &operands{dst: s.plane(n.out), x: s.plane(in[0]), y: s.plane(in[len(in)-1])}
	o.broadcast = o.y.shape != o.dst.shape
	return o
}

// zeros are the zero points.
func (o *operands) zeros() int8.Zeros {
	return int8.Zeros{Dst: o.dst.zero[0] ^ o.dst.flip, X: o.x.zero[0] ^ o.x.flip, Y: o.y.zero[0] ^ o.y.flip}
}

// each calls f with the part's rows in runs, as few as memory allows: there are gaps where
// a row has a halo or a pixel lies in a Concat's.
func (o *operands) each(part int8.Part, f func(dst, x, y []int8.Value, r int8.Runs)) {
	width, c, rows := o.dst.shape.W, o.dst.shape.C, part.Y1-part.Y0
	r := int8.Runs{Length: c, Count: width, Dst: o.dst.pixel, X: o.x.pixel, Y: o.y.pixel}
	joined := true // rows lie side by side
	planes := []*plane{o.dst, o.x, o.y}
	if o.broadcast {
		r.Y, planes = 0, planes[:2]
	}
	for _, p := range planes {
		joined = joined && p.row == width*p.pixel
	}
	if joined {
		r.Count, rows = rows*width, min(rows, 1)
	}
	if r.Dst == c && r.X == c && r.Y == c {
		r.Length, r.Count = c*r.Count, 1
	}
	for y := part.Y0; y < part.Y0+rows; y++ {
		second := o.y.at(0, 0)
		if !o.broadcast {
			second = o.y.at(y, 0)
		}
		f(o.dst.data[o.dst.at(y, 0):], o.x.data[o.x.at(y, 0):], o.y.data[second:], r)
	}
	o.dst.fillHalo(part)
}
