package runtime

import "edgeclassify/int8"

// gather copies channels. Of those that lie side by side it has nothing to do: they are
// a view, see Plan.join.
type gather struct {
	node
	runs []channels
}

// channels are some that lie side by side.
type channels struct{ from, n int }

func newGather(n node) operator {
	g := &gather{node: n}
	for _, c := range n.layer.Op.(*int8.Gather).Indices {
		if last := len(g.runs) - 1; last >= 0 && g.runs[last].from+g.runs[last].n == int(c) {
			g.runs[last].n++
		} else {
			g.runs = append(g.runs, channels{int(c), 1})
		}
	}
	return g
}

func (g *gather) bind(s *Session) task {
	src, dst := s.plane(g.layer.Inputs[0]), s.plane(g.out)
	return func(part int8.Part, _ []int64) {
		for y := part.Y0; y < part.Y1; y++ {
			for x := range dst.shape.W {
				to, from := dst.at(y, x), src.at(y, x)
				g.copy(dst.data[to:], src.data[from:])
				if dst.low != nil {
					g.copy(dst.low[to:], src.low[from:])
				}
			}
		}
		dst.fillHalo(part)
	}
}

// copy copies a pixel's channels.
func (g *gather) copy(dst, src []int8.Value) {
	for _, r := range g.runs {
		if r.n == 1 {
			dst[0] = src[r.from]
		} else {
			copy(dst[:r.n], src[r.from:])
		}
		dst = dst[r.n:]
	}
}
