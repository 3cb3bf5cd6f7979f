package diagnose

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

// writeGather leaves values as they are.
func writeGather(s *simulator, l *layer) {
	l.out.codes = l.in[0].codes
	op := &models.Gather{}
	for _, c := range l.Op.(*int8.Gather).Indices {
		op.Indices = append(op.Indices, int(c))
	}
	s.add(l.out.node, op, l.in[0].node)
}
