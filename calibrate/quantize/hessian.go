package quantize

import (
	"math"

	"edgeclassify/int8"
	"edgeclassify/internal/sgemm"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Hessian is that of the squared error of an output with respect to the weights of
// its channel, but for a factor: H = E[xx'] over the windows x of images that the
// weights multiply, as in Frantar and Alistarh, "Optimal Brain Compression" (NeurIPS
// 2022) and GPTQ (ICLR 2023). The mean of x is left out: what it adds to the output
// the bias takes up. H tells what errors in several weights do to the output.
type Hessian struct {
	depth  int
	groups [][]float32 // [groups][depth * depth]
}

// HessianSampler gathers windows of a unit's input and adds up their products.
type HessianSampler struct {
	window  tensor.Window
	in      tensor.Shape
	depth   int
	windows int         // seen
	waiting int         // of them in batch
	batch   [][]float32 // [groups][depth * batchLen], a row for each input
	sums    [][]float64 // [groups][depth]
	squares [][]float32 // [groups][depth * depth]
}

const (
	batchLen = 512
	// perImage is the number of windows that are taken of an image.
	perImage = 64
	// damping, a share of the mean variance, is added to each: correlations of
	// so few windows are partly chance.
	damping = 0.02
)

// NewHessianSampler takes a unit with weights, and the shape of its input.
func NewHessianSampler(u *Unit, in tensor.Shape) *HessianSampler {
	groups := u.Op.(models.Linear).Parameters().Groups
	s := &HessianSampler{window: u.operation().window(u.Op, in), in: in}
	s.depth = s.window.KH * s.window.KW * in.C / groups
	for range groups {
		s.batch = append(s.batch, make([]float32, s.depth*batchLen))
		s.sums = append(s.sums, make([]float64, s.depth))
		s.squares = append(s.squares, make([]float32, s.depth*s.depth))
	}
	return s
}

// Add takes windows of an image's tensor, in HWC order, spread evenly.
func (s *HessianSampler) Add(x []float32) error {
	h, w, err := s.window.Infer(s.in.H, s.in.W)
	if err != nil {
		return err
	}
	n := min(perImage, h*w)
	for i := range n {
		at := (2*i + 1) * h * w / (2 * n)
		s.gather(x, at/w, at%w)
		if s.waiting++; s.waiting == batchLen {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather puts the window of output pixel (oy, ox) into a column of the batch.
func (s *HessianSampler) gather(x []float32, oy, ox int) {
	channels := s.in.C / len(s.batch)
	stepY, stepX := s.window.Steps()
	for group, batch := range s.batch {
		at := s.waiting
		for ky := range s.window.KH {
			for kx := range s.window.KW {
				y, x0 := oy*s.window.StrideH-s.window.Top+ky*stepY, ox*s.window.StrideW-s.window.Left+kx*stepX
				inside := y >= 0 && y < s.in.H && x0 >= 0 && x0 < s.in.W
				for c := range channels {
					batch[at] = 0
					if inside {
						batch[at] = x[(y*s.in.W+x0)*s.in.C+group*channels+c]
					}
					at += batchLen
				}
			}
		}
	}
}

// flush adds the products of the waiting windows.
func (s *HessianSampler) flush() error {
	for group, batch := range s.batch {
		for k := range s.depth {
			row := batch[k*batchLen : (k+1)*batchLen]
			clear(row[s.waiting:])
			for _, v := range row {
				s.sums[group][k] += float64(v)
			}
		}
		// The batch is both factors: its rows are the inputs.
		rows, err := sgemm.Pack(batch, nil, s.depth, batchLen, 1)
		if err != nil {
			return err
		}
		squares := s.squares[group]
		Parallel(rows.Panels(), func(panel int) {
			rows.Mul(sgemm.Results{Values: squares, Residual: squares, Stride: s.depth},
				sgemm.Windows{Values: batch, Count: s.depth, Length: s.depth, Step: len(batch), Stride: batchLen, Pitch: batchLen}, panel)
		})
	}
	s.windows += s.waiting
	s.waiting = 0
	return nil
}

// Hessian ends the sampling.
func (s *HessianSampler) Hessian() (*Hessian, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	n := float64(max(1, s.windows))
	for group, c := range s.squares {
		sums, trace := s.sums[group], 0.0
		for i := range s.depth {
			row := c[i*s.depth : (i+1)*s.depth]
			for j := range row {
				row[j] = float32(float64(row[j])/n - float64(sums[i]/n*(sums[j]/n)))
			}
			row[i] = max(row[i], 0)
			trace += float64(row[i])
		}
		for i := range s.depth {
			c[i*s.depth+i] += float32(damping*trace/float64(s.depth)) + math.SmallestNonzeroFloat32
		}
	}
	return &Hessian{s.depth, s.squares}, nil
}

// of is that of row o of so many.
func (h *Hessian) of(o, rows int) []float32 { return h.groups[o*len(h.groups)/rows] }

// HessianScales are those of unit i's rows of weights.
func (q *Quantizer) HessianScales(i int, h *Hessian) PerChannel {
	weight, bias := q.exact(i)
	scales := make(PerChannel, len(bias))
	Parallel(len(scales), func(o int) { scales[o] = h.scale(weight[o*h.depth:(o+1)*h.depth], o, len(scales)) })
	return scales.Rounded()
}

// HessianSteps are those of unit i's weights with the scales of a table.
func (q *Quantizer) HessianSteps(i int, h *Hessian, t *RangeTable) (Steps, error) {
	r, err := q.byTable(i, t)
	if err != nil {
		return nil, err
	}
	weight, _ := q.exact(i)
	return h.steps(weight, r)
}

// scale is that of a row of weights with the least expected squared error of
// the output, errors of weights taken for independent; 0 for a row of zeros.
func (h *Hessian) scale(row []float32, o, rows int) float64 {
	hessian := h.of(o, rows)
	return bestScale(row, func(scale float32) float64 {
		inverse, sum := 1/scale, 0.0
		for k, w := range row {
			d := w - float32(roundWeight(w, inverse)*scale)
			sum += float64(float32(float32(d*d) * hessian[k*h.depth+k]))
		}
		return sum
	})
}

const (
	sweeps     = 4 // over all weights; later ones change next to nothing
	rowsAtOnce = 8 // that share a row of the Hessian while it is in the cache
)

// steps finds by how much to move rounded weights, -1, 0 or 1, for the least
// expected squared error of the outputs d'Hd, d being scale*q - w: coordinate
// descent, in place of the gradient descent of Nagel et al., "Up or Down?
// Adaptive Rounding for Post-Training Quantization" (ICML 2020), on the same
// objective. What the mean of the inputs adds is left to the bias.
func (h *Hessian) steps(weight []float32, r *rounded) (Steps, error) {
	gradient, err := h.gradient(weight, r)
	if err != nil {
		return nil, err
	}
	rows, steps := len(r.scales), make(Steps, len(weight))
	Parallel((rows+rowsAtOnce-1)/rowsAtOnce, func(block int) {
		first := block * rowsAtOnce
		for range sweeps {
			for k := range h.depth {
				for o := first; o < min(first+rowsAtOnce, rows); o++ {
					h.step(k, float32(r.scales[o]), h.of(o, rows), gradient[o*h.depth:(o+1)*h.depth], &steps[o*h.depth+k], r.weight[o*h.depth+k])
				}
			}
		}
	})
	return steps, nil
}

// step moves weight k of a row down its gradient if that lessens the error.
func (h *Hessian) step(k int, scale float32, hessian, gradient []float32, step *int8.Value, q int8.Value) {
	direction, slope := int8.Value(-1), gradient[k]
	if slope < 0 {
		direction, slope = 1, -slope
	}
	moved := *step + direction
	if moved < -1 || moved > 1 || int(q)+int(moved) > 127 || int(q)+int(moved) < -127 {
		return
	}
	row := hessian[k*h.depth : (k+1)*h.depth]
	if 2*slope <= float32(scale*row[k]) {
		return
	}
	*step = moved
	delta := float32(direction) * scale
	for i, v := range row {
		gradient[i] += float32(delta * v)
	}
}

// gradient is H * (scale*q - w), for all rows.
func (h *Hessian) gradient(weight []float32, r *rounded) ([]float32, error) {
	d, g := make([]float32, len(weight)), make([]float32, len(weight))
	for i, w := range weight {
		d[i] = float32(float64(float64(r.weight[i])*r.scales[i/h.depth]) - float64(w))
	}
	n := len(weight) / len(h.groups)
	for group, hessian := range h.groups {
		packed, err := sgemm.Pack(hessian, nil, h.depth, h.depth, 1)
		if err != nil {
			return nil, err
		}
		from, to := d[group*n:(group+1)*n], g[group*n:(group+1)*n]
		Parallel(packed.Panels(), func(panel int) {
			packed.Mul(sgemm.Results{Values: to, Stride: h.depth},
				sgemm.Windows{Values: from, Count: n / h.depth, Length: n / h.depth, Step: n, Stride: h.depth, Pitch: h.depth}, panel)
		})
	}
	return g, nil
}
