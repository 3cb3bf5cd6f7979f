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
	means := p.means()
	return func(part int8.Part, scratch []int64) {
		p.run(dst, src, part, cast[int32](scratch)[:dst.shape.C], means)
		dst.fillHalo(part)
	}
}

// means are those of each number of values that a window may have, one less in their
// places; nil where not all are int8.MeanOf, or tensors are int16.
func (p *averagePool) means() (means []int8.Mean) {
	for i := range p.op.KH * p.op.KW {
		m, ok := int8.MeanOf(int32(i + 1))
		if !ok || p.hasInt16() {
			return nil
		}
		means = append(means, m)
	}
	return means
}

// run averages the part's windows: by means, or where there are none by int8.Averages.
func (p *averagePool) run(dst, src *plane, part int8.Part, sums []int32, means []int8.Mean) {
	op, zero := p.op, int32(p.in[0].ZeroAt(0))
	dh, dw := op.Steps()
	for y := part.Y0; y < part.Y1; y++ {
		top, bottom := span(y, op.StrideH, op.Top, op.KH, dh, src.shape.H)
		for x := range dst.shape.W {
			left, right := span(x, op.StrideW, op.Left, op.KW, dw, src.shape.W)
			columns := (right - left + dw - 1) / dw
			count := (bottom - top + dh - 1) / dh * columns
			clear(sums)
			if all := op.KH * op.KW; op.CountPad && count < all {
				for i := range sums {
					sums[i] = int32(all-count) * zero
				}
				count = all
			}
			if means != nil {
				for iy := top; iy < bottom; iy += dh {
					p.kernel.Sum(sums, src.data[src.at(iy, left):], columns, dw*src.pixel)
				}
				p.kernel.Mean(dst.data[dst.at(y, x):], sums, &means[count-1], 0)
				continue
			}
			for iy := top; iy < bottom; iy += dh {
				for ix := left; ix < right; ix += dw {
					src.addPixel(sums, src.at(iy, ix))
				}
			}
			averages, at := int8.AveragesOf(int32(count)), dst.at(y, x)
			for c, sum := range sums {
				dst.set(at+c, averages.Of(sum-int32(count)*zero)+zero)
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
