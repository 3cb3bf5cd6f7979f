package calibrate

import (
	"fmt"
	"iter"
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func compileOp(op models.Op, in, out tensor.Shape) (operation, error) {
	switch op := op.(type) {
	case *models.Conv:
		if op.Groups > 1 && op.Groups == op.InC && op.Groups == op.OutC {
			return newDepthwise(op, window{op.Window, in, out}), nil
		}
		return newConv(op, window{op.Window, in, out})
	case *models.Dense:
		return newDense(op)
	case *models.BatchNorm:
		return newBatchNorm(op)
	case models.ReLU:
		return operation{run: relu, inPlace: true}, nil
	case models.Add:
		return operation{run: add, inPlace: true}, nil
	case *models.MaxPool:
		return operation{run: maxPool{window{op.Window, in, out}}.run}, nil
	case *models.AvgPool:
		return operation{run: avgPool{window{op.Window, in, out}, op.CountPad}.run}, nil
	case models.GlobalAvgPool:
		return operation{run: globalAvgPool{in}.run}, nil
	case models.Softmax:
		return operation{run: softmax, inPlace: true}, nil
	}
	return operation{}, fmt.Errorf("the float executor does not know %T", op)
}

// grain is a number of values worth a thread.
const grain = 4096

func relu(w workers, dst []float32, src [][]float32) {
	w.split(len(dst), grain, func(_ []float32, from, to int) {
		x, y := src[0][from:to], dst[from:to]
		for i, v := range x {
			y[i] = max(v, 0)
		}
	})
}

func add(w workers, dst []float32, src [][]float32) {
	w.split(len(dst), grain, func(_ []float32, from, to int) {
		a, b, y := src[0][from:to], src[1][from:to], dst[from:to]
		for i, v := range a {
			y[i] = v + b[i]
		}
	})
}

// softmax subtracts the greatest logit first, so that no exponential overflows.
func softmax(_ workers, dst []float32, src [][]float32) {
	greatest := src[0][0]
	for _, v := range src[0] {
		greatest = max(greatest, v)
	}
	sum := 0.0
	for _, v := range src[0] {
		sum += math.Exp(float64(v) - float64(greatest))
	}
	for i, v := range src[0] {
		dst[i] = float32(math.Exp(float64(v)-float64(greatest)) / sum)
	}
}

// batchNorm is y = scale * x + shift, per channel.
type batchNorm struct{ scale, shift []float32 }

func newBatchNorm(op *models.BatchNorm) (operation, error) {
	scale, shift, err := affine(op)
	if err != nil {
		return operation{}, err
	}
	b := batchNorm{make([]float32, len(scale)), make([]float32, len(shift))}
	for c := range scale {
		b.scale[c], b.shift[c] = float32(scale[c]), float32(shift[c])
	}
	return operation{run: b.run, inPlace: true}, nil
}

func (b batchNorm) run(w workers, dst []float32, src [][]float32) {
	channels := len(b.scale)
	w.split(len(dst)/channels, 1, func(_ []float32, from, to int) {
		for i := from * channels; i < to*channels; i += channels {
			x, y := src[0][i:][:channels], dst[i:][:channels]
			for c, v := range x {
				y[c] = float32(b.scale[c]*v) + b.shift[c]
			}
		}
	})
}

type globalAvgPool struct{ in tensor.Shape }

func (p globalAvgPool) run(w workers, dst []float32, src [][]float32) {
	w.split(p.in.C, 1, func(_ []float32, from, to int) {
		for c := from; c < to; c++ {
			sum := 0.0
			for i := c; i < len(src[0]); i += p.in.C {
				sum += float64(src[0][i])
			}
			dst[c] = float32(sum / float64(p.in.H*p.in.W))
		}
	})
}

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

// taps yields the channels of every input pixel under the window of one output
// pixel, with the number of the tap that meets it. Padding is left out.
func (g window) taps(src []float32, oy, ox int) iter.Seq2[int, []float32] {
	return func(yield func(int, []float32) bool) {
		rows, cols, top, left := g.span(oy, ox)
		for iy := rows[0]; iy < rows[1]; iy++ {
			for ix := cols[0]; ix < cols[1]; ix++ {
				tap := (iy-top)*g.KW + ix - left
				if !yield(tap, src[(iy*g.in.W+ix)*g.in.C:][:g.in.C]) {
					return
				}
			}
		}
	}
}

// eachPixel calls do with the channels of every output pixel, on all workers.
func (g window) eachPixel(w workers, dst []float32, do func(y []float32, oy, ox int)) {
	w.split(g.out.H, 1, func(_ []float32, from, to int) {
		for oy := from; oy < to; oy++ {
			for ox := range g.out.W {
				do(dst[(oy*g.out.W+ox)*g.out.C:][:g.out.C], oy, ox)
			}
		}
	})
}

type maxPool struct{ window }

func (p maxPool) run(w workers, dst []float32, src [][]float32) {
	p.eachPixel(w, dst, func(y []float32, oy, ox int) {
		fill(y, float32(math.Inf(-1)))
		for _, x := range p.taps(src[0], oy, ox) {
			for c, v := range x {
				y[c] = max(y[c], v)
			}
		}
	})
}

type avgPool struct {
	window
	countPad bool
}

func (p avgPool) run(w workers, dst []float32, src [][]float32) {
	p.eachPixel(w, dst, func(y []float32, oy, ox int) {
		clear(y)
		count := 0
		for _, x := range p.taps(src[0], oy, ox) {
			count++
			for c, v := range x {
				y[c] += v
			}
		}
		if p.countPad {
			count = p.KH * p.KW
		}
		for c := range y {
			y[c] /= float32(count)
		}
	})
}

// depthwise is a convolution of as many groups as channels.
type depthwise struct {
	window
	weight []float32 // [KH*KW][C]
	bias   []float32 // [C]
}

func newDepthwise(op *models.Conv, g window) operation {
	d := depthwise{g, make([]float32, len(op.Weight)), make([]float32, op.OutC)}
	taps := op.KH * op.KW
	for i, v := range op.Weight {
		d.weight[i%taps*op.OutC+i/taps] = v
	}
	copy(d.bias, op.Bias)
	return operation{run: d.run}
}

func (d depthwise) run(w workers, dst []float32, src [][]float32) {
	d.eachPixel(w, dst, func(y []float32, oy, ox int) {
		copy(y, d.bias)
		for tap, x := range d.taps(src[0], oy, ox) {
			weight := d.weight[tap*len(y):][:len(y)]
			for c, v := range x {
				y[c] += float32(v * weight[c])
			}
		}
	})
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}
