package runtime

import "edgeclassify/int8"

// globalAveragePool is the sums of channels over the plane.
type globalAveragePool struct{ node }

func newGlobalAveragePool(n node) operator { return globalAveragePool{n} }

// sumUnit is the channels that a thread's part of sums has: few share a cache line.
const sumUnit = 16

func (globalAveragePool) split() (byRows bool, channels int) { return false, sumUnit }

// scratch is the sums of all channels.
func (p globalAveragePool) scratch() int { return (p.layer.Out.Shape.C + 1) / 2 }

func (p globalAveragePool) bind(s *Session) task {
	src, dst := s.plane(p.layer.Inputs[0]), values[int16](s, p.out)
	return func(part int8.Part, scratch []int64) {
		for i, v := range p.sums(scratch, src, part) {
			dst[part.C0+i] = int16(v)
		}
	}
}

// sums is those of q - zero of the part's channels over the plane, in scratch.
func (n *node) sums(scratch []int64, p *plane, part int8.Part) []int32 {
	sums := cast[int32](scratch)[:part.C1-part.C0]
	clear(sums)
	n.addTo(sums, p, p.data, p.zero, part.C0)
	if p.low != nil {
		for i := range sums {
			sums[i] <<= 8 // may wrap around: only the total has to fit
		}
		n.addTo(sums, p, p.low, p.zeroLow, part.C0)
	}
	return sums
}

// addTo adds the sums of q - zero over these bytes, from a channel on.
func (n *node) addTo(sums []int32, p *plane, data, zero []int8.Value, channel int) {
	for i, zero := range zero[channel:][:len(sums)] {
		sums[i] -= int32(zero^p.flip) * int32(p.shape.H*p.shape.W)
	}
	rows, pixels := p.shape.H, p.shape.W
	if p.row == pixels*p.pixel { // rows lie side by side
		rows, pixels = 1, rows*pixels
	}
	for y := range rows {
		n.kernel.Sum(sums, data[p.at(y, 0)+channel:], pixels, p.pixel)
	}
}
