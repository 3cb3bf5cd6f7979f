package diagnose

import "edgeclassify/int8"

func writeMul(s *simulator, l *layer) {
	op := l.Op.(*int8.Mul)
	s.writePair(l, op.At, func(x, z float64) float64 {
		return float64(x*z) * float64(l.in[0].Scale) * float64(l.in[1].Scale) / float64(l.Out.Scale)
	})
}
