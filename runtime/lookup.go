package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// lookup maps values by a table.
type lookup struct {
	node
	op     *int8.Lookup
	tables [][256]int8.Value // by stored byte; sessions and their threads share them
}

func newLookup(n node) operator {
	l := &lookup{node: n, op: n.layer.Op.(*int8.Lookup)}
	l.tables = make([][256]int8.Value, len(l.op.Table)/256)
	flip := int8.Value(0)
	if n.kernel.Unsigned {
		flip = -128
	}
	for i, q := range l.op.Table {
		l.tables[i/256][uint8(i%256-128)^uint8(flip)] = q ^ flip
	}
	return l
}

func (*lookup) window() (tensor.Window, bool) { return pixelwise() }

func (*lookup) inPlace() []int { return []int{0} }

func (l *lookup) bind(s *Session) task {
	o, look, tables := s.operands(&l.node), l.kernel.Lookup, l.tables
	run := func(dst, x, _ []int8.Value, r int8.Runs) { look(dst, x, &tables[0], r) }
	if l.op.Channel != nil {
		run = l.channels(tables)
	}
	return func(part int8.Part, _ []int64) { o.each(part, run) }
}

// channels looks values up in the tables of their channels.
func (l *lookup) channels(stored [][256]int8.Value) func(dst, x, _ []int8.Value, r int8.Runs) {
	c, look := len(l.op.Channel), l.kernel.LookupChannels
	tables := make([]*[256]int8.Value, c)
	for i, t := range l.op.Channel {
		tables[i] = &stored[t]
	}
	return func(dst, x, _ []int8.Value, r int8.Runs) {
		if r.Length > c { // pixels that lie side by side
			r = int8.Runs{Length: c, Count: r.Length / c, Dst: c, X: c}
		}
		look(dst, x, tables, r)
	}
}
