package tile

import (
	"math"
	"unsafe"

	"edgeclassify/int8"
)

// Winograd is the micro-kernels of 3x3 convolutions by minimal filtering: a tile of
// 4x4 outputs takes products of 36 elements, made of 6x6 inputs and of 3x3 weights,
// instead of 144. (Winograd: Arithmetic Complexity of Computations, 1980; Lavin, Gray:
// Fast Algorithms for Convolutional Neural Networks, 2016.) It is exact: inputs
// transformed fit int16, and so do weights, whose transform is scaled by 24 in both
// directions. Sums of products, modulo 1<<32, become those of the convolution times
// 576 = 9<<6, and times the inverse of 9 they lack nothing but a shift by 6.
type Winograd struct {
	Input    func(WinogradInput)
	Multiply func(WinogradMultiply)
	Output   func(WinogradOutput)
}

const (
	winogradTile     = 4 // outputs of a tile, in both directions
	winogradWindow   = 6 // inputs
	winogradElements = winogradWindow * winogradWindow
	winogradGroup    = 7 // tiles that are multiplied together
	winogradDepth    = 8 // inputs that are, at a time
	winogradChannels = 8 // of a panel
	winogradOutputs  = 4 // channels that are transformed back together

	winogradScale = 24 * 24
	winogradRange = math.MaxInt32 / 64 // of sums

	winogradAhead = 64 // bytes that may be read behind the weights
)

// WinogradInput is tiles side by side whose inputs are to be transformed. Elements of
// a group of tiles are int16 [Blocks][winogradGroup][winogradDepth]. Assembly
// relies on the order and size of the fields, here and below. All steps are in bytes.
type WinogradInput struct {
	Src     unsafe.Pointer // window of the first tile
	Dst     unsafe.Pointer // its first element
	Tiles   int            // at least 1
	Blocks  int            // of winogradDepth channels, at least 1
	SrcRow  int
	SrcStep int // from one pixel to the next
	DstStep int // from one element to the next
}

// WinogradMultiply is products of all elements of some groups of tiles with a panel.
type WinogradMultiply struct {
	Src     unsafe.Pointer // int16 [winogradElements][Groups][Steps][winogradGroup][winogradDepth]
	Weights unsafe.Pointer // int16 [winogradElements][Steps*winogradDepth][winogradChannels]
	Dst     unsafe.Pointer // int32 [Groups][winogradGroup][winogradElements][winogradChannels]
	Groups  int            // at least 1
	Steps   int            // of winogradDepth inputs, at least 1
}

// WinogradOutput is tiles side by side to be transformed back and requantized,
// winogradOutputs channels.
type WinogradOutput struct {
	Src        unsafe.Pointer // sums of the first tile
	Dst        unsafe.Pointer // first pixel's first channel
	Res        unsafe.Pointer // residual of Dst; nil without
	Bias       unsafe.Pointer // int32, times winogradScale, modulo 1<<32
	Multiplier unsafe.Pointer // int32
	Tiles      int            // at least 1
	DstRow     int
	DstStep    int // from one pixel's output to the next pixel's
	ResRow     int
	ResStep    int
	Shift      int // left shift of the accumulator
	Ratio      int // of the residual; 0 without
}

// winograd is a convolution by minimal filtering. It implements int8.Convolution. A
// panel is, at a multiple of align:
//
//	int32 bias[winogradChannels], times winogradScale
//	int32 multiplier[winogradChannels]
//	int16 weight[winogradElements][InC][winogradChannels]
type winograd struct {
	conv   *int8.Conv
	code   *Winograd
	width  int // tiles in a row
	rows   int // of tiles that are multiplied together
	panels [][]int8.Value
}

// minWinogradTiles is how many tiles are to share each weight, which takes 8 times
// the memory of the direct way.
const minWinogradTiles = 32

// winograd is the layer's convolution by minimal filtering, nil where that does not
// pay or is not exact.
func (m *Micro) winograd(l *int8.Layer) int8.Convolution {
	c, out := l.Op.(*int8.Conv), l.Out.Shape
	dh, dw := c.Steps()
	if m.Winograd == nil || c.KH != 3 || c.KW != 3 || c.StrideH != 1 || c.StrideW != 1 || dh != 1 || dw != 1 || c.Groups != 1 ||
		c.InC%winogradDepth != 0 || c.OutC%winogradChannels != 0 || min(c.InC, c.OutC) < 32 || min(out.H, out.W) < winogradTile {
		return nil
	}
	w := &winograd{conv: c, code: m.Winograd, width: ceil(out.W, winogradTile)}
	w.rows = max(2*winogradGroup/w.width, 1)
	tiles := ceil(out.H, winogradTile) * ceil(w.width, winogradGroup) * winogradGroup
	if tiles < minWinogradTiles || 5*out.H*out.W < 4*tiles*winogradTile*winogradTile || !winogradExact(c) {
		return nil
	}
	return w
}

// winogradExact says whether sums stay in winogradRange, whatever the inputs are.
func winogradExact(c *int8.Conv) bool {
	depth := len(c.Weight) / c.OutC
	for o, bias := range c.Bias {
		reach := max(int64(bias), -int64(bias))
		for _, w := range c.Weight[o*depth:][:depth] {
			reach += 128 * max(int64(w), -int64(w))
		}
		if reach > winogradRange {
			return false
		}
	}
	return true
}

// Rows implements int8.Convolution.
func (w *winograd) Rows() int { return winogradTile }

func (w *winograd) panelBytes() int {
	return ceil(8*winogradChannels+2*winogradElements*w.conv.InC*winogradChannels, align) * align
}

// Bytes implements int8.Convolution.
func (w *winograd) Bytes() int { return w.conv.OutC / winogradChannels * w.panelBytes() }

// Pack implements int8.Convolution.
func (w *winograd) Pack() {
	c, size := w.conv, w.panelBytes()
	memory := make([]int8.Value, w.Bytes()+winogradAhead+align)
	memory = memory[-int(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))&(align-1):]
	for first := 0; first < c.OutC; first += winogradChannels {
		w.panels = append(w.panels, memory[:size])
		words := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(memory))), 2*winogradChannels)
		weights := unsafe.Slice((*int16)(unsafe.Pointer(&memory[8*winogradChannels])), winogradElements*c.InC*winogradChannels)
		for lane := range winogradChannels {
			o := first + lane
			words[lane], words[winogradChannels+lane] = winogradScale*c.Bias[o], c.Multiplier[o]
			transformWeights(weights[lane:], c.Weight[o*9*c.InC:][:9*c.InC], c.InC)
		}
		memory = memory[size:]
	}
}

// transformWeights makes the elements of an output channel's weights.
func transformWeights(dst []int16, weights []int8.Value, channels int) {
	for i := range channels {
		var rows [winogradWindow][3]int16 // transformed in one direction
		for kx := range 3 {
			at := func(ky int) int16 { return int16(weights[(3*ky+kx)*channels+i]) }
			for y, e := range transformed(at(0), at(1), at(2)) {
				rows[y][kx] = e
			}
		}
		for y, r := range rows {
			for x, e := range transformed(r[0], r[1], r[2]) {
				dst[((winogradWindow*y+x)*channels+i)*winogradChannels] = e
			}
		}
	}
}

// transformed is the transform of weights in one direction, times 24: the last
// element's other factor 2 is in the transform of outputs, so that all fit int16.
func transformed(a, b, c int16) [winogradWindow]int16 {
	return [winogradWindow]int16{6 * a, 4 * (a + b + c), -4 * (a - b + c), a + 2*b + 4*c, a - 2*b + 4*c, 12 * c}
}

// tiles is those that are multiplied together, up to whole groups.
func (w *winograd) tiles(rows int) int { return ceil(rows*w.width, winogradGroup) * winogradGroup }

func (w *winograd) scratch() (inputs, sums, staged int) {
	n := winogradElements * w.tiles(w.rows)
	return n * 2 * w.conv.InC, n * 4 * winogradChannels, winogradTile * winogradTile * winogradOutputs
}

// Scratch implements int8.Convolution: transformed inputs, sums of a panel, and a
// tile's outputs and residuals.
func (w *winograd) Scratch() int {
	inputs, sums, staged := w.scratch()
	return (inputs + sums + 2*staged) / 8
}

// winogradWork is one thread's part of a task.
type winogradWork struct {
	*winograd
	t                      *int8.ConvTask
	part                   int8.Part
	inputs, sums, out, res []int8.Value // scratch
	y, rows                int          // of the block of tiles at work: the first output row, rows of tiles
}

// Run implements int8.Convolution.
func (w *winograd) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	bytes := unsafe.Slice((*int8.Value)(unsafe.Pointer(unsafe.SliceData(scratch))), 8*len(scratch))
	inputs, sums, staged := w.scratch()
	k := winogradWork{
		winograd: w, t: t, part: part,
		inputs: bytes[:inputs], sums: bytes[inputs:][:sums], out: bytes[inputs+sums:][:staged], res: bytes[inputs+sums+staged:][:staged],
	}
	for k.y = part.Y0; k.y < part.Y1; k.y += winogradTile * k.rows {
		k.rows = min(w.rows, ceil(part.Y1-k.y, winogradTile))
		k.block()
	}
}

// block computes all of the part's channels of some rows of tiles.
func (w *winogradWork) block() {
	for r := range w.rows {
		for i := 0; i < w.width; {
			k := r*w.width + i
			n := min(w.regular(i), winogradGroup-k%winogradGroup)
			w.transform(r, i, k, n)
			i += n
		}
	}
	tiles := w.tiles(w.rows)
	for p := w.part.C0 / winogradChannels; p*winogradChannels < w.part.C1; p++ {
		w.code.Multiply(WinogradMultiply{
			Src: pointer(w.inputs), Weights: pointer(w.panels[p][8*winogradChannels:]), Dst: pointer(w.sums),
			Groups: tiles / winogradGroup, Steps: w.t.InC / winogradDepth,
		})
		for c := max(p*winogradChannels, w.part.C0); c < min((p+1)*winogradChannels, w.part.C1); c += winogradOutputs {
			for r := range w.rows {
				w.output(r, c)
			}
		}
	}
}

// regular is how many tiles from number i of a row on are side by side: the last one
// begins early enough to end with the row.
func (w *winogradWork) regular(i int) int { return max(w.t.OW/winogradTile-i, 1) }

// place is a tile's first output that is computed, which is not stored if it belongs
// to another tile.
func (w *winogradWork) place(row, i int) (y, x int) {
	return min(w.y+winogradTile*row, w.t.OH-winogradTile), min(winogradTile*i, w.t.OW-winogradTile)
}

// transform makes elements of n tiles, of which the first is number k of the block.
func (w *winogradWork) transform(row, i, k, n int) {
	t, element := w.t, 2*w.tiles(w.rows)*w.t.InC
	y, x := w.place(row, i)
	first := y*t.SrcRow + x*t.InC
	end := first + (winogradWindow-1)*t.SrcRow + (winogradTile*n+2)*t.InC
	at := 2 * (k/winogradGroup*winogradGroup*t.InC + k%winogradGroup*winogradDepth)
	w.code.Input(WinogradInput{
		Src: pointer(t.Src[first:end]), Dst: pointer(w.inputs[at:]),
		Tiles: n, Blocks: t.InC / winogradDepth, SrcRow: t.SrcRow, SrcStep: t.InC, DstStep: element,
	})
}

// output stores winogradOutputs channels, from c on, of a row of tiles.
func (w *winogradWork) output(row, c int) {
	t, panel, lane := w.t, w.panels[c/winogradChannels], c%winogradChannels
	a := WinogradOutput{
		Bias: pointer(panel[4*lane:]), Multiplier: pointer(panel[4*(winogradChannels+lane):]),
		Shift: int(t.Shift), Ratio: int(t.Residual),
	}
	sums := func(i int) unsafe.Pointer {
		return pointer(w.sums[4*((row*w.width+i)*winogradElements*winogradChannels+lane):])
	}
	y, x := w.place(row, 0)
	i := 0
	if n := t.OW / winogradTile; y == w.y+winogradTile*row && y+winogradTile <= w.part.Y1 {
		end := func(row, step int) int { return (winogradTile-1)*row + (winogradTile*n-1)*step + winogradOutputs }
		a.Src, a.Tiles, a.DstRow, a.DstStep = sums(0), n, t.DstRow, t.DstStep
		a.Dst = pointer(t.Dst[y*t.DstRow+c:][:end(t.DstRow, t.DstStep)])
		if t.Res != nil {
			a.ResRow, a.ResStep = t.ResRow, t.OutC
			a.Res = pointer(t.Res[y*t.ResRow+c:][:end(t.ResRow, t.OutC)])
		}
		w.code.Output(a)
		i = n
	}
	a.Tiles, a.DstRow, a.DstStep = 1, winogradTile*winogradOutputs, winogradOutputs
	a.Dst = pointer(w.out)
	if t.Res != nil {
		a.Res, a.ResRow, a.ResStep = pointer(w.res), a.DstRow, a.DstStep
	}
	for ; i < w.width; i++ {
		y, x = w.place(row, i)
		pixels := func(do func(staged, y, x int)) {
			for py := w.y + winogradTile*row; py < min(y+winogradTile, w.part.Y1); py++ {
				for px := winogradTile * i; px < x+winogradTile; px++ {
					do(((py-y)*winogradTile+px-x)*winogradOutputs, py, px)
				}
			}
		}
		if t.Res != nil {
			pixels(func(staged, y, x int) { copy(w.res[staged:][:winogradOutputs], t.Res[y*t.ResRow+x*t.OutC+c:]) })
		}
		a.Src = sums(i)
		w.code.Output(a)
		pixels(func(staged, y, x int) { copy(t.Dst[y*t.DstRow+x*t.DstStep+c:], w.out[staged:][:winogradOutputs]) })
	}
}
