package runtime

import "edgeclassify/int8"

// globalAveragePool is the sums of channels over the plane.
type globalAveragePool struct{ node }

func newGlobalAveragePool(n node) operator { return globalAveragePool{n} }

func (globalAveragePool) split() (byRows bool, channels int) { return false, 1 }

func (p globalAveragePool) bind(s *Session) task {
	src, dst := s.plane(p.layer.Inputs[0]), values[int16](s, p.out)
	return func(part int8.Part, _ []int64) { sum(dst[part.C0:part.C1], src, part) }
}

// sum is the sums of q - zero of the part's channels.
func sum[T int16 | int32](sums []T, p *plane, part int8.Part) {
	clear(sums)
	addTo(sums, p, p.data, p.zero, part)
	if p.low == nil {
		return
	}
	for i := range sums {
		sums[i] <<= 8 // may wrap around: only the total has to fit
	}
	addTo(sums, p, p.low, p.zeroLow, part)
}

// addTo adds the part's sums of q - zero over these bytes.
func addTo[T int16 | int32](sums []T, p *plane, data, zero []int8.Value, part int8.Part) {
	for i, zero := range zero[part.C0:part.C1] {
		sums[i] -= T(zero^p.flip) * T(p.shape.H*p.shape.W)
	}
	for y := range p.shape.H {
		for x := range p.shape.W {
			for i, v := range data[p.at(y, x)+part.C0:][:len(sums)] {
				sums[i] += T(v ^ p.flip)
			}
		}
	}
}
