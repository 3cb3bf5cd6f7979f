package fp32

import (
	"edgeclassify/internal/sgemm"
	"edgeclassify/models"
)

// depthwise is a convolution with as many groups as input channels, and the residual
// and limits behind it.
type depthwise struct {
	window
	taps     *sgemm.Taps
	limits   sgemm.Limits
	multiple int // output channels of an input channel
}

func newDepthwise(op *models.Conv, g window, clip models.Clip) Operation {
	d := depthwise{g, sgemm.PackTaps(op.Weight, op.Bias, op.OutC, op.KW), sgemm.Limits{Least: clip.Min, Greatest: clip.Max}, op.OutC / op.InC}
	o := Operation{Run: d.run}
	if d.multiple > 1 {
		o.Scratch = op.KH * g.in.W * op.OutC
	}
	return o
}

func (d depthwise) run(w Worker, y []float32, in [][]float32) {
	from, to := w.Part(d.out.H, 1)
	stepH, stepW := d.Steps()
	for oy := from; oy < to; oy++ {
		top := oy*d.StrideH - d.Top
		fromY, toY := span(top, d.KH, stepH, d.in.H)
		rows := behind(in[0], (top+fromY*stepH)*d.in.W*d.in.C)
		area := sgemm.Area{Rows: [2]int{fromY, toY}, RowStride: stepH * d.in.W * d.in.C, ColumnStride: stepW * d.out.C, Stride: d.StrideW * d.out.C}
		if d.multiple > 1 {
			rows, area.RowStride = d.repeat(w.scratch, rows, toY-fromY, area.RowStride), d.in.W*d.out.C
		}
		for ox := 0; ox < d.out.W; ox += area.Count {
			left, at := ox*d.StrideW-d.Left, (oy*d.out.W+ox)*d.out.C
			area.Columns[0], area.Columns[1] = span(left, d.KW, stepW, d.in.W)
			area.Values = behind(rows, (left+area.Columns[0]*stepW)*d.out.C)
			area.Count = d.alike(left, ox)
			results := sgemm.Results{Values: y[at:], Stride: d.out.C, Limits: &d.limits}
			if z := Residual(in); z != nil {
				results.Residual = z[at:]
			}
			d.taps.Mul(results, area)
		}
	}
}

// alike is how many windows from one on, the first of which begins at pixel left of the
// input's rows, meet the image with all columns; at least one.
func (d depthwise) alike(left, ox int) int {
	_, reach := d.Reach()
	if left < 0 || left+reach > d.in.W {
		return 1
	}
	return min(d.out.W-ox, (d.in.W-reach-left)/d.StrideW+1)
}

// repeat copies rows, pitch apart, with each channel as often as the output has it.
func (d depthwise) repeat(dst, src []float32, rows, pitch int) []float32 {
	n := d.in.W * d.in.C
	for row := range rows {
		for i, v := range src[row*pitch:][:n] {
			for k := range d.multiple {
				dst[(row*n+i)*d.multiple+k] = v
			}
		}
	}
	return dst
}

// behind leaves out the first n values, or all where a window meets none.
func behind(values []float32, n int) []float32 { return values[min(n, len(values)):] }
