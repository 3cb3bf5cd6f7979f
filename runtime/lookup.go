package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// lookup maps values by a table.
type lookup struct {
	node
	op *int8.Lookup
	// By stored byte, and which of them is each channel's, nil where one is all's: sessions
	// and their threads share them.
	tables   [][256]int8.Value
	channels []*[256]int8.Value
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
	for _, t := range l.op.Channel {
		l.channels = append(l.channels, &l.tables[t])
	}
	return l
}

func (*lookup) window() (tensor.Window, bool) { return pixelwise() }

func (*lookup) inPlace() []int { return []int{0} }

func (l *lookup) bind(s *Session) task {
	o, look := s.operands(&l.node), l.kernel.Lookup
	run := func(dst, x, _ []int8.Value, r int8.Runs) { look(dst, x, &l.tables[0], r) }
	if l.channels != nil {
		run = l.lookUpChannels
	}
	return func(part int8.Part, _ []int64) { o.each(part, run) }
}

// lookUpChannels looks values up in the tables of their channels.
func (l *lookup) lookUpChannels(dst, x, _ []int8.Value, r int8.Runs) {
	if c := len(l.channels); r.Length > c { // pixels that lie side by side
		r = int8.Runs{Length: c, Count: r.Length / c, Dst: c, X: c}
	}
	l.kernel.LookupChannels(dst, x, l.channels, r)
}
