package fp32

import "edgeclassify/tensor"

// window is a window that slides over one shape and makes another.
type window struct {
	tensor.Window
	in, out tensor.Shape
}

// span returns the first tap and the one behind the last which meet the n pixels of
// a side when the window begins at pixel first, in steps of the dilation.
func span(first, taps, step, n int) (from, to int) {
	return max(0, (step-1-first)/step), max(0, min(taps, (n-first+step-1)/step))
}

// eachTap calls do with the channels of every input pixel under the window of
// one output pixel, and the number of the tap that meets it. Padding is left
// out.
func (g window) eachTap(src []float32, oy, ox int, do func(tap int, x []float32)) {
	top, left := oy*g.StrideH-g.Top, ox*g.StrideW-g.Left
	stepH, stepW := g.Steps()
	fromY, toY := span(top, g.KH, stepH, g.in.H)
	fromX, toX := span(left, g.KW, stepW, g.in.W)
	for ky := fromY; ky < toY; ky++ {
		for kx := fromX; kx < toX; kx++ {
			do(ky*g.KW+kx, src[((top+ky*stepH)*g.in.W+left+kx*stepW)*g.in.C:][:g.in.C])
		}
	}
}

// eachPixel calls do with the channels of every output pixel of one worker.
func (g window) eachPixel(w Worker, dst []float32, do func(y []float32, oy, ox int)) {
	from, to := w.Part(g.out.H, 1)
	for oy := from; oy < to; oy++ {
		for ox := range g.out.W {
			do(dst[(oy*g.out.W+ox)*g.out.C:][:g.out.C], oy, ox)
		}
	}
}
