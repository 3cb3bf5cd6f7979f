package diagnose

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func writeAveragePool(s *simulator, l *layer) {
	op := l.Op.(*int8.AveragePool)
	s.add(l.out.node+averages, &models.AveragePool{Window: op.Window, CountPad: op.CountPad}, l.in[0].node)
	s.add(l.out.node, l.precision.grid(l.out), l.out.node+averages)
}
