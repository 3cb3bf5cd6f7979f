package diagnose

import "edgeclassify/int8"

func writeLookup(s *simulator, l *layer) {
	in, zero := l.in[0], int32(l.Out.ZeroAt(0))
	var function func(x float64) float64
	if in.codes && l.precision.exact() {
		table, from := l.Op.(*int8.Lookup).Table, 128+int(in.ZeroAt(0))
		function = func(x float64) float64 { return float64(int32(table[int(x)+from]) - zero) }
	} else {
		grid, real := l.precision.grid(l.out), l.unit.Function()
		function = func(x float64) float64 {
			return grid.nearest(real(float64(x*float64(in.Scale))) / float64(l.Out.Scale))
		}
	}
	s.add(l.out.node, &apply{function: function}, in.node)
}
