package fp32

import (
	"slices"

	"edgeclassify/internal/sgemm"
	"edgeclassify/internal/threadpool"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// winograd is a 3x3 convolution with the residual and limits behind it by
// sgemm.Winograd: two by two output pixels are a tile.
type winograd struct {
	window
	weights        *sgemm.Winograd
	limits         sgemm.Limits
	tilesH, tilesW int
	block          int // rows of tiles to go over with all weights
}

// winogradTiles is how many tiles a block has at least, so that weights are read for
// many of them.
const winogradTiles = 96

// suitsWinograd tells whether to convolve by winograd, which depends on the layer alone.
// Weights that are integers are a simulation's, whose sums must be exact.
func suitsWinograd(op *models.Conv, out tensor.Shape) bool {
	w := op.Window
	return w.KH == 3 && w.KW == 3 && w.StrideH == 1 && w.StrideW == 1 && !w.Dilated() && op.Groups == 1 &&
		op.InC >= 32 && op.OutC >= 32 && op.InC%8 == 0 && op.OutC%8 == 0 && out.H*out.W >= 49 &&
		slices.ContainsFunc(op.Weight, func(v float32) bool { return v != float32(int32(v)) })
}

func newWinograd(op *models.Conv, g window, clip models.Clip) Operation {
	weights := sgemm.PackWinograd(op.Weight, op.Bias, op.OutC, op.InC)
	c := winograd{window: g, weights: weights, limits: sgemm.Limits{Least: clip.Min, Greatest: clip.Max}}
	c.tilesH, c.tilesW = (g.out.H+1)/2, (g.out.W+1)/2
	c.block = min(c.tilesH, (winogradTiles+c.tilesW-1)/c.tilesW)
	scratch := (2*c.block+2)*c.pitch() + 16*c.apart(g.in.C) + 16*c.apart(g.out.C) + g.out.C
	return Operation{Run: c.run, OverZ: true, Scratch: scratch}
}

// pitch is the distance of the rows that are copied, with their padding.
func (c winograd) pitch() int { return (2*c.tilesW + 2) * c.in.C }

// apart is the distance of what a block has for the 16 products: of no power of two,
// which would have few places in a cache.
func (c winograd) apart(channels int) int { return c.block*c.tilesW*channels + Line }

func (c winograd) run(w Worker, y []float32, in [][]float32) {
	rows, channels := [2]int{0, c.tilesH}, [2]int{0, c.out.C}
	if c.out.C < c.out.H*c.out.W {
		rows[0], rows[1] = w.Part(c.tilesH, 1)
	} else { // Each part transforms the whole input: there is one for each thread.
		share := min(w.of, threadpool.Share)
		if w.number%share != 0 {
			return
		}
		channels[0], channels[1] = Worker{number: w.number / share, of: w.of / share}.Part(c.out.C, 32)
	}
	for first := rows[0]; first < rows[1] && channels[0] < channels[1]; first += c.block {
		c.blockOf(w.scratch, y, in, first, min(first+c.block, rows[1]), channels)
	}
}

// blockOf computes the channels from the first to the last of rows of tiles.
func (c winograd) blockOf(scratch, y []float32, in [][]float32, first, last int, channels [2]int) {
	cut := func(n int) (part []float32) {
		part, scratch = scratch[:n], scratch[n:]
		return part
	}
	n := (last - first) * c.tilesW
	rows, apart, apartOut := cut((2*(last-first)+2)*c.pitch()), c.apart(c.in.C), c.apart(c.out.C)
	windows, products, spare := cut(16*apart), cut(16*apartOut), cut(c.out.C)
	c.copy(rows, in[0], 2*first-c.Top)
	for i := range n {
		sgemm.WinogradIn(windows[i*c.in.C:], apart, rows[i/c.tilesW*2*c.pitch()+i%c.tilesW*2*c.in.C:], c.pitch(), c.in.C)
	}
	for i := range c.weights {
		c.weights.Mul(i, sgemm.Results{Values: products[i*apartOut:], Stride: c.out.C},
			sgemm.Windows{Values: windows[i*apart:], Count: n, Length: n, Stride: c.in.C}, channels[0], channels[1])
	}
	for i := range n {
		oy, ox := 2*(first+i/c.tilesW), i%c.tilesW*2
		pixels := c.pixels(y, spare, oy, ox, channels)
		var residual *[4][]float32
		if z := Residual(in); z != nil {
			of := c.pixels(z, spare, oy, ox, channels)
			residual = &of
		}
		sgemm.WinogradOut(&pixels, residual, products[i*c.out.C+channels[0]:], apartOut, c.limits)
	}
}

// pixels are channels of the four output pixels of a tile, or spare where there are none.
func (c winograd) pixels(y, spare []float32, oy, ox int, channels [2]int) (p [4][]float32) {
	for i := range p {
		p[i] = spare[:channels[1]-channels[0]]
		if oy, ox := oy+i/2, ox+i%2; oy < c.out.H && ox < c.out.W {
			p[i] = y[(oy*c.out.W+ox)*c.out.C:][channels[0]:channels[1]]
		}
	}
	return p
}

// copy fills dst with input rows from iy on, with padding around.
func (c winograd) copy(dst, src []float32, iy int) {
	left, width := c.Left*c.in.C, c.in.W*c.in.C
	for ; len(dst) > 0; dst, iy = dst[c.pitch():], iy+1 {
		row := dst[:c.pitch()]
		if iy < 0 || iy >= c.in.H {
			clear(row)
			continue
		}
		clear(row[:left])
		clear(row[left+copy(row[left:], src[iy*width:][:width]):])
	}
}
