package diagnose

import "edgeclassify/int8"

func writeAdd(s *simulator, l *layer) {
	op := l.Op.(*int8.Add)
	s.writePair(l, op.At, func(x, z float64) float64 {
		return (float64(x*float64(l.in[0].Scale)) + float64(z*float64(l.in[1].Scale))) / float64(l.Out.Scale)
	})
}

// writePair writes an operation on two tensors, given its formula in integers, in
// q - Zero of the inputs, and the same in real steps.
func (s *simulator) writePair(l *layer, at func(x, z int32, to int8.Range) int32, real func(x, z float64) float64) {
	grid, codes := l.precision.grid(l.out), l.Out.Range()
	function := func(x, z float64) float64 { return grid.nearest(real(x, z)) }
	if l.in[0].codes && l.in[1].codes && l.precision.exact() {
		function = func(x, z float64) float64 { return float64(at(int32(x), int32(z), codes) - codes.Zero) }
	}
	s.add(l.out.node, &pairwise{function: function}, l.in[0].node, l.in[1].node)
}
