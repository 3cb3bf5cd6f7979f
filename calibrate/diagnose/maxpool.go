package diagnose

import (
	"edgeclassify/int8"
	"edgeclassify/models"
)

func writeMaxPool(s *simulator, l *layer) {
	l.out.codes = l.in[0].codes
	s.add(l.out.node, &models.MaxPool{Window: l.Op.(*int8.MaxPool).Window}, l.in[0].node)
}
