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
	WinogradShape
	Input    func(WinogradInput)
	Multiply func(WinogradMultiply)
	Output   func(WinogradOutput)
}

// WinogradShape is what the micro-kernels take at a time.
type WinogradShape struct {
	Group    int // tiles that are multiplied together
	Depth    int // inputs that are, at a time
	Pair     int // of them whose weights lie side by side
	Channels int // of a panel
	Outputs  int // of them that are transformed back together
	Pad      int // bytes behind an element's inputs: elements a power of two apart share places of the cache
	Block    int // tiles, about, whose elements stay near while all panels pass over them
	// MinTiles is how many tiles are to share each weight, which takes 8 times the
	// memory of the direct way.
	MinTiles    int
	MinChannels int // of inputs and of outputs
	MinUse      int // per cent of the outputs of tiles that the plane has
	// ByChannels says that threads share channels where weights outweigh activations
	// twice, though each of them transforms all inputs then.
	ByChannels bool
}

const (
	winogradTile     = 4 // outputs of a tile, in both directions
	winogradWindow   = 6 // inputs
	winogradElements = winogradWindow * winogradWindow

	winogradScale = 24 * 24
	winogradRange = math.MaxInt32 / 64 // of sums

	winogradAhead = 64 // bytes that may be read behind the weights
)

// WinogradInput is tiles side by side whose inputs are to be transformed. Elements of
// a group of tiles are int16 [Blocks][Group][Depth]. Assembly
// relies on the order and size of the fields, here and below. All steps are in bytes.
type WinogradInput struct {
	Src     unsafe.Pointer // window of the first tile
	Dst     unsafe.Pointer // its first element
	Tiles   int            // at least 1
	Blocks  int            // of Depth channels, at least 1
	SrcRow  int
	SrcStep int // from one pixel to the next
	DstStep int // from one element to the next
}

// WinogradMultiply is products of all elements of some groups of tiles with a panel.
type WinogradMultiply struct {
	Src     unsafe.Pointer // int16 [winogradElements][Groups][Steps][Group][Depth], each element with Pad bytes
	Weights unsafe.Pointer // int16 [winogradElements][Steps*Depth/Pair][Channels][Pair]
	Dst     unsafe.Pointer // int32 [Groups][Group][winogradElements][Channels]
	Groups  int            // at least 1
	Steps   int            // of Depth inputs, at least 1
}

// WinogradOutput is tiles side by side to be transformed back and requantized,
// Outputs channels.
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
//	int32 bias[Channels], times winogradScale
//	int32 multiplier[Channels]
//	int16 weight[winogradElements][InC/Pair][Channels][Pair]
type winograd struct {
	*Winograd
	conv      *int8.Conv
	flip      int8.Value // of stored inputs
	split     bool       // by channels
	width     int        // tiles in a row
	height    int        // rows of tiles
	blockRows int        // of tiles that are multiplied together, but for the last ones
	panels    [][]int8.Value
}

// winograd is the layer's convolution by minimal filtering, nil where that does not
// pay or is not exact.
func (m *Micro) winograd(l *int8.Layer) int8.Convolution {
	c, out := l.Op.(*int8.Conv), l.Out.Shape
	dh, dw := c.Steps()
	if m.Winograd == nil || c.KH != 3 || c.KW != 3 || c.StrideH != 1 || c.StrideW != 1 || dh != 1 || dw != 1 || c.Groups != 1 ||
		c.InC%m.Winograd.Depth != 0 || c.OutC%m.Winograd.Channels != 0 || min(c.InC, c.OutC) < m.Winograd.MinChannels || min(out.H, out.W) < winogradTile {
		return nil
	}
	w := &winograd{Winograd: m.Winograd, conv: c, flip: m.flip(), width: ceil(out.W, winogradTile), height: ceil(out.H, winogradTile)}
	w.split = w.ByChannels && 2*out.Elements() < len(c.Weight)
	w.blockRows = min(max(w.Block/w.width, 1), w.height)
	tiles := ceil(w.height, w.blockRows) * w.tiles(w.blockRows)
	if tiles < w.MinTiles || 100*out.H*out.W < w.MinUse*tiles*winogradTile*winogradTile || !winogradExact(c) {
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

// Split implements int8.Convolution.
func (w *winograd) Split(threads int) (rows, channels int) {
	if w.split {
		return 0, ceil(w.conv.OutC/w.Channels, threads) * w.Channels
	}
	// A block of tiles, unless that gives some thread more than its share.
	rows = w.blockRows
	for rows > 1 && ceil(ceil(w.height, rows), threads)*rows > ceil(w.height, threads) {
		rows--
	}
	return winogradTile * rows, 0
}

func (w *winograd) panelBytes() int {
	return ceil(8*w.Channels+2*winogradElements*w.conv.InC*w.Channels, align) * align
}

// Bytes implements int8.Convolution.
func (w *winograd) Bytes() int { return w.conv.OutC/w.Channels*w.panelBytes() + winogradAhead }

// Pack implements int8.Convolution.
func (w *winograd) Pack(memory []int8.Value) {
	c, size := w.conv, w.panelBytes()
	for first := 0; first < c.OutC; first += w.Channels {
		w.panels = append(w.panels, memory[:size])
		words := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(memory))), 2*w.Channels)
		weights := unsafe.Slice((*int16)(unsafe.Pointer(&memory[8*w.Channels])), winogradElements*c.InC*w.Channels)
		for lane := range w.Channels {
			o := first + lane
			words[lane], words[w.Channels+lane] = winogradScale*(c.Bias[o]+int32(w.flip)*sum(c.Weight[o*9*c.InC:][:9*c.InC])), c.Multiplier[o]
		}
		for i := 0; i < c.InC; i += w.Pair {
			for lane := 0; lane < w.Channels*w.Pair; lane += 4 {
				w.transformWeights(weights[i*w.Channels+lane:], first, i, lane)
			}
		}
		memory = memory[size:]
	}
}

// transformWeights makes the elements of four weights side by side in the panel. They
// are a word's lanes: what is added up or multiplied in words is in each lane, too, but
// for what lanes below borrow.
func (w *winograd) transformWeights(dst []int16, first, input, lane int) {
	depth, distance := w.conv.InC, w.conv.InC*w.Channels
	var taps [9]uint64
	for k := range 4 {
		row := w.conv.Weight[(first+(lane+k)/w.Pair)*9*depth+input+(lane+k)%w.Pair:]
		for t := range taps {
			taps[t] += uint64(row[t*depth]) << (16 * k)
		}
	}
	var columns [3][winogradWindow]uint64 // transformed in one direction
	for x := range columns {
		columns[x] = transformed(taps[x], taps[3+x], taps[6+x])
	}
	const signs = 0x8000800080008000
	for y := range winogradWindow {
		for x, e := range transformed(columns[0][y], columns[1][y], columns[2][y]) {
			*(*uint64)(unsafe.Pointer(&dst[(winogradWindow*y+x)*distance])) = (e + signs) ^ signs
		}
	}
}

// transformed is the transform of weights in one direction, times 24: the last
// element's other factor 2 is in the transform of outputs, so that all fit int16.
func transformed(a, b, c uint64) [winogradWindow]uint64 {
	s, t := 4*(a+c), a+4*c
	return [winogradWindow]uint64{6 * a, s + 4*b, 4*b - s, t + 2*b, t - 2*b, 12 * c}
}

// tiles is those that are multiplied together, up to whole groups.
func (w *winograd) tiles(rows int) int { return ceil(rows*w.width, w.Group) * w.Group }

// element is the bytes from one element of so many tiles' inputs to the next.
func (w *winograd) element(tiles int) int { return tiles*2*w.conv.InC + w.Pad }

func (w *winograd) scratch() (inputs, sums, staged int) {
	n := w.tiles(w.blockRows)
	return winogradElements * w.element(n), winogradElements * n * 4 * w.Channels, winogradTile * winogradTile * w.Outputs
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
	bytes := view[int8.Value](scratch)
	inputs, sums, staged := w.scratch()
	k := winogradWork{
		winograd: w, t: t, part: part,
		inputs: bytes[:inputs], sums: bytes[inputs:][:sums], out: bytes[inputs+sums:][:staged], res: bytes[inputs+sums+staged:][:staged],
	}
	for k.y = part.Y0; k.y < part.Y1; k.y += winogradTile * k.rows {
		k.rows = min(w.blockRows, ceil(part.Y1-k.y, winogradTile))
		k.block()
	}
}

// block computes all of the part's channels of some rows of tiles.
func (w *winogradWork) block() {
	for r := range w.rows {
		for i := 0; i < w.width; {
			k := r*w.width + i
			n := min(w.regular(i), w.Group-k%w.Group)
			w.transform(r, i, k, n)
			i += n
		}
	}
	tiles := w.tiles(w.rows)
	for p := w.part.C0 / w.Channels; p*w.Channels < w.part.C1; p++ {
		w.Multiply(WinogradMultiply{
			Src: pointer(w.inputs), Weights: pointer(w.panels[p][8*w.Channels:]), Dst: pointer(w.sums),
			Groups: tiles / w.Group, Steps: w.t.InC / w.Depth,
		})
		for c := max(p*w.Channels, w.part.C0); c < min((p+1)*w.Channels, w.part.C1); c += w.Outputs {
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
	t := w.t
	y, x := w.place(row, i)
	first := y*t.SrcRow + x*t.SrcStep
	end := first + (winogradWindow-1)*t.SrcRow + (winogradTile*n+1)*t.SrcStep + t.InC
	at := 2 * (k/w.Group*w.Group*t.InC + k%w.Group*w.Depth)
	w.Input(WinogradInput{
		Src: pointer(t.Src[first:end]), Dst: pointer(w.inputs[at:]),
		Tiles: n, Blocks: t.InC / w.Depth, SrcRow: t.SrcRow, SrcStep: t.SrcStep, DstStep: w.element(w.tiles(w.rows)),
	})
}

// output stores w.Outputs channels, from c on, of a row of tiles.
func (w *winogradWork) output(row, c int) {
	t, panel, lane := w.t, w.panels[c/w.Channels], c%w.Channels
	a := WinogradOutput{
		Bias: pointer(panel[4*lane:]), Multiplier: pointer(panel[4*(w.Channels+lane):]),
		Shift: int(t.Shift), Ratio: int(t.Residual),
	}
	sums := func(i int) unsafe.Pointer {
		return pointer(w.sums[4*((row*w.width+i)*winogradElements*w.Channels+lane):])
	}
	y, _ := w.place(row, 0)
	i := 0
	for y >= w.part.Y0 && y+winogradTile <= w.part.Y1 && i < w.width {
		_, x := w.place(row, i)
		if t.Res != nil && (y < w.y+winogradTile*row || x < winogradTile*i) {
			break // the output may be the residual, whose values are to be read once
		}
		n := w.regular(i)
		end := func(row, step int) int { return (winogradTile-1)*row + (winogradTile*n-1)*step + w.Outputs }
		a.Src, a.Tiles, a.DstRow, a.DstStep = sums(i), n, t.DstRow, t.DstStep
		a.Dst = pointer(t.Dst[y*t.DstRow+x*t.DstStep+c:][:end(t.DstRow, t.DstStep)])
		if t.Res != nil {
			a.ResRow, a.ResStep = t.ResRow, t.ResStep
			a.Res = pointer(t.Res[y*t.ResRow+x*t.ResStep+c:][:end(t.ResRow, t.ResStep)])
		}
		w.Output(a)
		i += n
	}
	a.Tiles, a.DstRow, a.DstStep = 1, winogradTile*w.Outputs, w.Outputs
	a.Dst = pointer(w.out)
	if t.Res != nil {
		a.Res, a.ResRow, a.ResStep = pointer(w.res), a.DstRow, a.DstStep
	}
	for ; i < w.width; i++ {
		y, x := w.place(row, i)
		pixels := func(do func(staged, y, x int)) {
			for py := w.y + winogradTile*row; py < min(y+winogradTile, w.part.Y1); py++ {
				for px := winogradTile * i; px < x+winogradTile; px++ {
					do(((py-y)*winogradTile+px-x)*w.Outputs, py, px)
				}
			}
		}
		if t.Res != nil {
			pixels(func(staged, y, x int) { copy(w.res[staged:][:w.Outputs], t.Res[y*t.ResRow+x*t.ResStep+c:]) })
		}
		a.Src = sums(i)
		w.Output(a)
		pixels(func(staged, y, x int) { copy(t.Dst[y*t.DstRow+x*t.DstStep+c:], w.out[staged:][:w.Outputs]) })
	}
}
