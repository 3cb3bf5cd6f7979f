package runtime

import "edgeclassify/int8"

// concat copies the inputs that do not lie where they belong, see Plan.join.
type concat struct{ node }

func newConcat(n node) operator { return concat{n} }

func (c concat) bind(s *Session) task {
	dst := s.plane(c.out)
	var copied []*plane
	var channels []int
	for _, i := range s.plan.Copied(c.out) {
		first := 0
		for _, t := range c.in[:i] {
			first += t.Shape.C
		}
		copied, channels = append(copied, s.plane(c.layer.Inputs[i])), append(channels, first)
	}
	return func(part int8.Part, _ []int64) {
		for i := range copied {
			dst.copy(copied[i], channels[i], part)
		}
		dst.fillHalo(part)
	}
}

// copy copies rows of a plane to the channels from the first on.
func (p *plane) copy(src *plane, first int, part int8.Part) {
	for y := part.Y0; y < part.Y1; y++ {
		for x := range p.shape.W {
			to, from := p.at(y, x)+first, src.at(y, x)
			copy(p.data[to:], src.data[from:][:src.shape.C])
			if p.low != nil {
				copy(p.low[to:], src.low[from:][:src.shape.C])
			}
		}
	}
}
