package runtime

import "edgeclassify/int8"

// gather copies channels. Of those that lie side by side it has nothing to do: they are
// a view, see Plan.join.
type gather struct {
	node
	op *int8.Gather
}

func newGather(n node) operator { return &gather{n, n.layer.Op.(*int8.Gather)} }

// channels is the first of the channels if they lie side by side.
func (g *gather) channels() (first int, ok bool) {
	for i, c := range g.op.Indices {
		if c != g.op.Indices[0]+int32(i) {
			return 0, false
		}
	}
	return int(g.op.Indices[0]), true
}

func (g *gather) bind(s *Session) task {
	src, dst := s.plane(g.layer.Inputs[0]), s.plane(g.out)
	return func(part int8.Part, _ []int64) {
		for y := part.Y0; y < part.Y1; y++ {
			for x := range dst.shape.W {
				to, from := dst.at(y, x), src.at(y, x)
				take(dst.data[to:], src.data[from:], g.op.Indices)
				if dst.low != nil {
					take(dst.low[to:], src.low[from:], g.op.Indices)
				}
			}
		}
		dst.fillHalo(part)
	}
}

// take copies a pixel's channels.
func take(dst, src []int8.Value, indices []int32) {
	dst = dst[:len(indices)]
	for i, c := range indices {
		dst[i] = src[c]
	}
}
