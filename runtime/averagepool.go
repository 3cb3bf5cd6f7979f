package runtime

import (
	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// averagePool is the average over windows.
type averagePool struct {
	node
	op *int8.AveragePool
}

func newAveragePool(n node) operator { return &averagePool{n, n.layer.Op.(*int8.AveragePool)} }

func (p *averagePool) window() (tensor.Window, bool) { return p.op.Window, true }

// scratch is the sums of a pixel.
func (p *averagePool) scratch() int { return (p.layer.Out.Shape.C + 1) / 2 }

func (p *averagePool) bind(s *Session) task {
	src, dst := s.plane(p.layer.Inputs[0]), s.plane(p.out)
	return func(part int8.Part, scratch []int64) {
		p.run(dst, src, part, cast[int32](scratch)[:dst.shape.C])
		dst.fillHalo(part)
	}
}

func (p *averagePool) run(dst, src *plane, part int8.Part, sums []int32) {
	op, zero := p.op, int32(p.in[0].ZeroAt(0))
	dh, dw := op.Steps()
	for y := part.Y0; y < part.Y1; y++ {
		top, bottom := span(y, op.StrideH, op.Top, op.KH, dh, src.shape.H)
		for x := range dst.shape.W {
			left, right := span(x, op.StrideW, op.Left, op.KW, dw, src.shape.W)
			clear(sums)
			count := int32(0)
			for iy := top; iy < bottom; iy += dh {
				for ix := left; ix < right; ix += dw {
					src.addPixel(sums, src.at(iy, ix))
					count++
				}
			}
			inside := count
			if op.CountPad {
				count = int32(op.KH * op.KW)
			}
			averages, at := int8.AveragesOf(count), dst.at(y, x)
			for c, sum := range sums {
				dst.set(at+c, averages.Of(sum-inside*zero)+zero)
			}
		}
	}
}

// addPixel adds a pixel's values to the sums.
func (p *plane) addPixel(sums []int32, at int) {
	data := p.data[at:][:len(sums)]
	if p.low == nil {
		for i, v := range data {
			sums[i] += int32(v ^ p.flip)
		}
		return
	}
	low := p.low[at:][:len(sums)]
	for i, v := range data {
		sums[i] += int8.Join(v^p.flip, low[i]^p.flip)
	}
}
