package runtime

import "edgeclassify/int8"

// averagePool is the average over windows.
type averagePool struct {
	node
	op *int8.AveragePool
}

func newAveragePool(n node) operator { return &averagePool{n, n.layer.Op.(*int8.AveragePool)} }

func (p *averagePool) bind(s *Session) task {
	src, dst := s.plane(p.layer.Inputs[0]), s.plane(p.out)
	return func(part int8.Part, _ []int64) {
		p.run(&dst, &src, part)
		dst.fillHalo(part)
	}
}

func (p *averagePool) run(dst, src *plane, part int8.Part) {
	op := p.op
	for y := part.Y0; y < part.Y1; y++ {
		top, bottom := span(y, op.StrideH, op.Top, op.KH, src.shape.H)
		for x := range dst.shape.W {
			left, right := span(x, op.StrideW, op.Left, op.KW, src.shape.W)
			count := (bottom - top) * (right - left)
			if op.CountPad {
				count = op.KH * op.KW
			}
			for c := range dst.shape.C {
				zero, sum := int32(src.zero[c]^src.flip), int32(0)
				for iy := top; iy < bottom; iy++ {
					for ix := left; ix < right; ix++ {
						sum += src.value(src.at(iy, ix)+c) - zero
					}
				}
				dst.set(dst.at(y, x)+c, int8.Average(sum, int32(count))+zero)
			}
		}
	}
}
