package diagnose

import "edgeclassify/int8"

func writeLookup(s *simulator, l *layer) {
	in, zero := l.in[0], int32(l.Out.ZeroAt(0))
	var functions []func(x float64) float64 // one, or one for each channel
	if op := l.Op.(*int8.Lookup); in.codes && l.precision.exact() {
		from := 128 + int(in.ZeroAt(0))
		for c := range max(1, len(op.Channel)) {
			table := op.At(c)
			functions = append(functions, func(x float64) float64 { return float64(int32(table[int(x)+from]) - zero) })
		}
	} else {
		grid := l.precision.grid(l.out)
		for _, real := range l.unit.Functions() {
			functions = append(functions, func(x float64) float64 {
				return grid.nearest(real(float64(x*float64(in.Scale))) / float64(l.Out.Scale))
			})
		}
	}
	s.add(l.out.node, &apply{functions: functions}, in.node)
}
