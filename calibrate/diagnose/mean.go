package diagnose

import "edgeclassify/int8"

func writeMean(s *simulator, l *layer) {
	in, codes, op := l.in[0], l.Out.Range(), l.Op.(*int8.Mean)
	var function func(sum float64) float64
	if in.codes && l.precision.exact() {
		function = func(sum float64) float64 { return float64(op.At(int32(sum), codes) - codes.Zero) }
	} else {
		grid, step := l.precision.grid(l.out), float64(in.Scale)/float64(l.Out.Scale)/float64(in.Shape.H*in.Shape.W)
		function = func(sum float64) float64 { return grid.nearest(float64(sum * step)) }
	}
	s.addSums(l.out.node+sums, in)
	s.add(l.out.node, &apply{functions: []func(float64) float64{function}}, l.out.node+sums)
}

func largestPlane(_ int8.Op, in *int8.Tensor) int {
	low, high := codes(in, 0)
	return in.Shape.H * in.Shape.W * max(-low, high)
}
