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
	o, look := s.operands(&l.node), l.kernel.Lookup
	var table [256]int8.Value // by stored byte
	for i, q := range l.op.Table {
		table[uint8(i-128)^uint8(o.dst.flip)] = q ^ o.dst.flip
	}
	run := func(dst, x, _ []int8.Value, r int8.Runs) { look(dst, x, &table, r) }
	return func(part int8.Part, _ []int64) { o.each(part, run) }
}
