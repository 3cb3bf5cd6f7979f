package diagnose

import "edgeclassify/models"

// writeConcat leaves values as they are.
func writeConcat(s *simulator, l *layer) {
	l.out.codes = true
	var inputs []string
	for _, in := range l.in {
		l.out.codes = l.out.codes && in.codes
		inputs = append(inputs, in.node)
	}
	s.add(l.out.node, models.Concat{}, inputs...)
}
