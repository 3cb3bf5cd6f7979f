package runtime

import "edgeclassify/int8"

// globalAveragePool is the sums of channels over the plane.
type globalAveragePool struct{ node }

func newGlobalAveragePool(n node) operator { return globalAveragePool{n} }

func (globalAveragePool) split() (byRows bool, channels int) { return false, 1 }

func (p globalAveragePool) bind(s *Session) task {
	src, dst := s.plane(p.layer.Inputs[0]), values[int16](s, p.out)
	return func(part int8.Part, _ []int64) { src.sum(dst[part.C0:part.C1], part) }
}

// sum is the sums of q - zero of the part's channels.
func (p *plane) sum(sums []int16, part int8.Part) {
	clear(sums)
	p.addTo(sums, p.data, p.zero, part)
	if p.low == nil {
		return
	}
	for i := range sums {
		sums[i] <<= 8 // may wrap around: only the total has to fit
	}
	p.addTo(sums, p.low, p.zeroLow, part)
}

// addTo adds the part's sums of q - zero over these bytes.
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
