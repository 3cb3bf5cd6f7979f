package calibrate

import (
	"edgeclassify/internal/sgemm"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// conv multiplies patches, one row for each output pixel, by packed weights:
// implicit GEMM. Patches are gathered a block at a time.
type conv struct {
	window
	groups []*sgemm.Weights
	block  int // output pixels whose patches are gathered at once
	stride int // between patches in the scratch
}

// scratchLen is how many values of patches a block may take: with the panel of
// weights that goes over them they fit the L2 cache of a desktop core.
const scratchLen = 1 << 18

func newConv(op *models.Conv, g window) (operation, error) {
	c := conv{window: g}
	outputs, inputs := op.OutC/op.Groups, len(op.Weight)/op.OutC
	for i := range op.Groups {
		var bias []float32
		if op.Bias != nil {
			bias = op.Bias[i*outputs:][:outputs]
		}
		w, err := sgemm.Pack(op.Weight[i*outputs*inputs:][:outputs*inputs], bias, outputs, inputs)
		if err != nil {
			return operation{}, err
		}
		c.groups = append(c.groups, w)
	}
	tile := c.groups[0].TileRows()
	c.stride = patchStride(inputs)
	c.block = max(scratchLen/c.stride/tile, 1) * tile
	if c.pointwise() {
		return operation{run: c.run}, nil
	}
	return operation{run: c.run, scratch: min(c.block, g.out.H*g.out.W) * c.stride}, nil
}

// patchStride spaces patches by an odd number of cache lines, so that the rows
// of a tile do not compete for one set of the cache.
func patchStride(inputs int) int {
	const line = 16 // values
	return ((inputs+line-1)/line | 1) * line
}

func newDense(op *models.Dense) (operation, error) {
	in, out := tensor.Shape{H: 1, W: 1, C: op.In}, tensor.Shape{H: 1, W: 1, C: op.Out}
	window := window{tensor.Square(1, 1, 0), in, out}
	return newConv(&models.Conv{
		Window: window.Window, Groups: 1, InC: op.In, OutC: op.Out, Weight: op.Weight, Bias: op.Bias,
	}, window)
}

// pointwise tells whether the input's pixels are the patches.
func (c conv) pointwise() bool { return c.Window == tensor.Square(1, 1, 0) }

func (c conv) run(w workers, dst []float32, src [][]float32) {
	pixels := c.out.H * c.out.W
	for group, weights := range c.groups {
		// The larger side of the product is shared out, so that the threads
		// together read it once.
		if weights.Outputs >= pixels {
			w.split(weights.Panels(), 1, func(scratch []float32, from, to int) {
				c.multiply(scratch, dst, src[0], group, [2]int{0, pixels}, [2]int{from, to})
			})
			continue
		}
		w.split(pixels, weights.TileRows(), func(scratch []float32, from, to int) {
			c.multiply(scratch, dst, src[0], group, [2]int{from, to}, [2]int{0, weights.Panels()})
		})
	}
}

// multiply computes the outputs of a range of pixels and of weight panels.
func (c conv) multiply(scratch, dst, src []float32, group int, pixels, panels [2]int) {
	weights := c.groups[group]
	for first := pixels[0]; first < pixels[1]; first += c.block {
		count := min(c.block, pixels[1]-first)
		x := c.patches(scratch, src, group, first, count)
		y := sgemm.Rows{Values: dst[first*c.out.C+group*weights.Outputs:], Stride: c.out.C, Count: count}
		weights.Mul(y, x, panels[0], panels[1])
	}
}

// patches returns the patches of count output pixels from first on.
func (c conv) patches(scratch, src []float32, group, first, count int) sgemm.Rows {
	channels := c.in.C / len(c.groups)
	if c.pointwise() {
		return sgemm.Rows{Values: src[first*c.in.C+group*channels:], Stride: c.in.C, Count: count}
	}
	for i := range count {
		pixel := first + i
		patch := scratch[i*c.stride:][:c.groups[group].Inputs]
		c.gather(patch, src[group*channels:], pixel/c.out.W, pixel%c.out.W, channels)
	}
	return sgemm.Rows{Values: scratch, Stride: c.stride, Count: count}
}

// gather copies the first channels of the input under one output pixel's
// window, and zeros for padding.
func (c conv) gather(patch, src []float32, oy, ox, channels int) {
	rows, cols, top, left := c.span(oy, ox)
	if (rows[1]-rows[0])*(cols[1]-cols[0]) < c.KH*c.KW {
		clear(patch)
	}
	for iy := rows[0]; iy < rows[1]; iy++ {
		to := patch[((iy-top)*c.KW+cols[0]-left)*channels:]
		from := src[(iy*c.in.W+cols[0])*c.in.C:]
		n := cols[1] - cols[0]
		if channels == c.in.C {
			copy(to[:n*channels], from)
			continue
		}
		for i := range n {
			copy(to[i*channels:][:channels], from[i*c.in.C:])
		}
	}
}
