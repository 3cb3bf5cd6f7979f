package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// lookup maps values by a table.
type lookup struct {
	node
	op *int8.Lookup
}

func newLookup(n node) operator { return &lookup{n, n.layer.Op.(*int8.Lookup)} }

func (*lookup) window() (tensor.Window, bool) { return pixelwise() }

func (*lookup) inPlace() []int { return []int{0} }

func (l *lookup) bind(s *Session) task {
	src, dst := s.plane(l.layer.Inputs[0]), s.plane(l.out)
	var table [256]int8.Value // by stored byte
	for i, q := range l.op.Table {
		table[uint8(i-128)^uint8(dst.flip)] = q ^ dst.flip
	}
	return func(part int8.Part, _ []int64) {
		for y := part.Y0; y < part.Y1; y++ {
			for x := range dst.shape.W {
				to := dst.data[dst.at(y, x):][:dst.shape.C]
				for i, q := range src.data[src.at(y, x):][:len(to)] {
					to[i] = table[uint8(q)]
				}
			}
		}
		dst.fillHalo(part)
	}
}
