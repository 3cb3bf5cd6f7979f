package calibrate

import (
	"fmt"
	"math"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// compileOp compiles a node's operation; relu is for those that canFuse.
func compileOp(op models.Op, in, out tensor.Shape, relu bool) (operation, error) {
	switch op := op.(type) {
	case *models.Conv:
		if isDepthwise(op) {
			return newDepthwise(op, window{op.Window, in, out}), nil
		}
		return newConv(op, window{op.Window, in, out}, relu)
	case *models.Dense:
		return newDense(op, relu)
	case *models.BatchNorm:
		return newBatchNorm(op)
	case models.ReLU:
		return operation{run: rectify, overX: true}, nil
	case models.Add:
		return operation{run: add, overX: true, overZ: true}, nil
	case *models.MaxPool:
		return operation{run: maxPool{window{op.Window, in, out}}.run}, nil
	case *models.AveragePool:
		return operation{run: avgPool{window{op.Window, in, out}, op.CountPad}.run}, nil
	case models.GlobalAveragePool:
		return operation{run: globalAvgPool{in}.run}, nil
	case models.Softmax:
		return operation{run: softmax, overX: true}, nil
	case simulated:
		return op.compile(), nil
	}
	return operation{}, fmt.Errorf("the float executor does not know %T", op)
}

// line is the values of a cache line, which threads should not share.
const line = 16

// rectify is ReLU as a convolution computes it, too: NaN and -0 stay.
func rectify(w worker, y, x, _ []float32) {
	from, to := w.part(len(y), line)
	x, y = x[from:to], y[from:to]
	for i, v := range x {
		bits := math.Float32bits(v)
		if v < 0 {
			bits = 0
		}
		y[i] = math.Float32frombits(bits)
	}
}

func add(w worker, y, x, z []float32) {
	from, to := w.part(len(y), line)
	x, y, z = x[from:to], y[from:to], z[from:to]
	for i, v := range x {
		y[i] = v + z[i]
	}
}

// softmax subtracts the greatest logit first, so that no exponential overflows.
func softmax(w worker, y, x, _ []float32) {
	if w.number > 0 {
		return
	}
	greatest := slices.Max(x)
	sum := 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - float64(greatest))
	}
	for i, v := range x {
		y[i] = float32(math.Exp(float64(v)-float64(greatest)) / sum)
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
	return operation{run: b.run, overX: true}, nil
}

func (b batchNorm) run(w worker, y, x, _ []float32) {
	channels := len(b.scale)
	from, to := w.part(len(y)/channels, 1)
	for i := from * channels; i < to*channels; i += channels {
		x, y := x[i:][:channels], y[i:][:channels]
		for c, v := range x {
			y[c] = float32(b.scale[c]*v) + b.shift[c]
		}
	}
}

type globalAvgPool struct{ in tensor.Shape }

func (p globalAvgPool) run(w worker, y, x, _ []float32) {
	from, to := w.part(p.in.C, line)
	for c := from; c < to; c++ {
		sum := 0.0
		for i := c; i < len(x); i += p.in.C {
			sum += float64(x[i])
		}
		y[c] = float32(sum / float64(p.in.H*p.in.W))
	}
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
func (g window) eachPixel(w worker, dst []float32, do func(y []float32, oy, ox int)) {
	from, to := w.part(g.out.H, 1)
	for oy := from; oy < to; oy++ {
		for ox := range g.out.W {
			do(dst[(oy*g.out.W+ox)*g.out.C:][:g.out.C], oy, ox)
		}
	}
}

type maxPool struct{ window }

func (p maxPool) run(w worker, y, x, _ []float32) {
	p.eachPixel(w, y, func(y []float32, oy, ox int) {
		fill(y, float32(math.Inf(-1)))
		p.eachTap(x, oy, ox, func(_ int, x []float32) {
			for c, v := range x {
				y[c] = max(y[c], v)
			}
		})
	})
}

type avgPool struct {
	window
	countPad bool
}

func (p avgPool) run(w worker, y, x, _ []float32) {
	p.eachPixel(w, y, func(y []float32, oy, ox int) {
		clear(y)
		count := 0
		p.eachTap(x, oy, ox, func(_ int, x []float32) {
			count++
			for c, v := range x {
				y[c] += v
			}
		})
		if p.countPad {
			count = p.KH * p.KW
		}
		for c := range y {
			y[c] /= float32(count)
		}
	})
}

// isDepthwise tells whether a convolution has as many groups as channels.
func isDepthwise(op *models.Conv) bool {
	return op.Groups > 1 && op.Groups == op.InC && op.Groups == op.OutC
}

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

func (d depthwise) run(w worker, y, x, _ []float32) {
	d.eachPixel(w, y, func(y []float32, oy, ox int) {
		copy(y, d.bias)
		d.eachTap(x, oy, ox, func(tap int, x []float32) {
			weight := d.weight[tap*len(y):][:len(y)]
			for c, v := range x {
				y[c] += float32(v * weight[c])
			}
		})
	})
}

func fill(dst []float32, v float32) {
	for i := range dst {
		dst[i] = v
	}
}
