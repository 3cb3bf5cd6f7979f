package fp32

import "edgeclassify/tensor"

// window is a window that slides over one shape and makes another.
type window struct {
	tensor.Window
	in, out tensor.Shape
}

// span returns the input rows and columns under the window of one output pixel,
// and where its top left corner lies; the corner may be in the padding, the
// rows and columns are not.
func (g window) span(oy, ox int) (rows, cols [2]int, top, left int) {
	top, left = oy*g.StrideH-g.Top, ox*g.StrideW-g.Left
	rows = [2]int{max(top, 0), min(top+g.KH, g.in.H)}
	cols = [2]int{max(left, 0), min(left+g.KW, g.in.W)}
	return rows, cols, top, left
}

// eachTap calls do with the channels of every input pixel under the window of
// one output pixel, and the number of the tap that meets it. Padding is left
// out.
func (g window) eachTap(src []float32, oy, ox int, do func(tap int, x []float32)) {
	rows, cols, top, left := g.span(oy, ox)
	for iy := rows[0]; iy < rows[1]; iy++ {
		for ix := cols[0]; ix < cols[1]; ix++ {
			do((iy-top)*g.KW+ix-left, src[(iy*g.in.W+ix)*g.in.C:][:g.in.C])
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
