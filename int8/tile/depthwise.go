package tile

import (
	"unsafe"

	"edgeclassify/int8"
)

// Depthwise is the micro-kernel of depthwise convolutions. A panel is, at a multiple of
// align:
//
//	int32 bias[NR]
//	int32 multiplier[NR]
//	int8 or int16 weight[steps][NR][Step]
type Depthwise struct {
	// NR is the number of channels of a panel; Micro.NR or 16 is a multiple.
	NR int
	// Run computes one panel of some rows. It reads NR bytes of each tap, no more.
	Run func(DepthwiseArgs)
	// Sums stores int32 sums in the channels' own order, without requantization, for
	// convolutions with int16 tensors. Where it is nil those go by tiles, a panel for each
	// channel, which takes many times as long.
	Sums func(DepthwiseArgs)
	// Order, if not nil, is the channel that each place of a panel holds.
	Order []int
	// Step is the number of a channel's weights that lie side by side.
	Step int
	// Wide says that weights are int16.
	Wide bool
	// Shift is how many bits of the accumulator's shift biases and weights can take on.
	Shift uint8
	// Taps is the taps of a window, ky*kw + kx, in packed order: some whole steps. Where
	// it is -1 the weight is 0. nil: as they come, with a Step of 1.
	Taps func(kh, kw int) []int
	// Block is the bytes of inputs and outputs, about, of the rows that panels which share
	// cache lines pass over at a time.
	Block int
}

// DepthwiseArgs is rows of one panel's outputs. Assembly relies on the order and size of
// the fields. All steps are in bytes.
type DepthwiseArgs struct {
	Src     unsafe.Pointer // the panel's channels of the first pixel's window
	Dst     unsafe.Pointer // and of the first pixel
	Res     unsafe.Pointer // residual of Dst, which may be the same memory; nil without
	Panel   unsafe.Pointer // biases, multipliers, weights: see Depthwise
	Rows    int            // of the output, at least 1
	Pixels  int            // of a row, at least 1
	KH      int            // the window
	KW      int
	SrcTap  int // from a tap to the next of its row
	SrcRow  int // from a row of a window to its next
	SrcStep int // from a pixel's window to the next pixel's
	SrcNext int // from an output row's first window to the next row's
	DstStep int
	DstNext int
	ResStep int
	ResNext int
	Shift   int // left shift of the accumulator
	Ratio   int // of the residual; 0 without
}

// depthwise is a depthwise convolution by a micro-kernel. It implements
// int8.Convolution. Windows are read where they lie, unless channels are fewer than a
// panel's or each makes several: then some rows of a panel's inputs are spread first.
// The last of several panels begins early enough to end with the last channel.
type depthwise struct {
	*Depthwise
	conv       *int8.Conv
	flip       int8.Value // of stored inputs
	shift      uint8      // of the accumulator, that biases and weights have
	multiplier int        // outputs of an input
	taps       []int
	height     int // of the output
	width      int
	rows       int // of the output that are computed at a time
	panels     [][]int8.Value
}

// depthwise is the layer's convolution, nil where there is no code for it.
func (m *Micro) depthwise(l *int8.Layer) *depthwise {
	c := l.Op.(*int8.Conv)
	if m.Depthwise == nil || !c.Depthwise() {
		return nil
	}
	d := &depthwise{
		Depthwise: m.Depthwise, conv: c, flip: m.flip(), shift: min(c.Shift, m.Depthwise.Shift), multiplier: c.OutC / c.InC,
		taps: make([]int, c.KH*c.KW), height: l.Out.Shape.H, width: l.Out.Shape.W,
	}
	for i := range d.taps {
		d.taps[i] = i
	}
	if d.Taps != nil {
		d.taps = d.Taps(c.KH, c.KW)
	}
	kh, kw := c.Reach()
	line := min(align, c.OutC)
	in, out := ((d.width-1)*c.StrideW+kw)*line, d.width*line
	d.rows = min(max((d.Block-max(kh-c.StrideH, 0)*in)/(c.StrideH*in+out), 1), d.height)
	return d
}

// spreads says whether a panel's inputs do not lie side by side.
func (d *depthwise) spreads() bool { return d.multiplier > 1 || d.conv.OutC < d.NR }

// first is the first channel of panel i.
func (d *depthwise) first(i int) int { return max(min(i*d.NR, d.conv.OutC-d.NR), 0) }

func (d *depthwise) panelBytes() int {
	weights := d.NR * len(d.taps)
	if d.Wide {
		weights *= 2
	}
	return ceil(8*d.NR+weights, align) * align
}

// Bytes implements int8.Convolution.
func (d *depthwise) Bytes() int { return ceil(d.conv.OutC, d.NR) * d.panelBytes() }

// Split implements int8.Convolution. Small planes of many panels are shared by channels: of
// rows each thread would have few, and read all weights.
func (d *depthwise) Split(threads int) (rows, channels int) {
	if d.rows == d.height && ceil(d.conv.OutC, d.NR) >= 2*threads {
		return 0, d.NR * d.multiplier
	}
	return 1, 0
}

// Pack implements int8.Convolution.
func (d *depthwise) Pack(memory []int8.Value) {
	size := d.panelBytes()
	for i := range ceil(d.conv.OutC, d.NR) {
		d.panels = append(d.panels, memory[:size:size])
		d.fill(memory[:size], d.first(i))
		memory = memory[size:]
	}
}

// fill packs the panel that begins at a channel.
func (d *depthwise) fill(panel []int8.Value, first int) {
	c, window := d.conv, d.conv.KH*d.conv.KW
	words := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(panel))), 2*d.NR)
	narrow := panel[8*d.NR:][:d.NR*len(d.taps)]
	wide := unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(narrow))), len(narrow))
	for place := range d.NR {
		o := first + place
		if d.Order != nil {
			o = first + d.Order[place]
		}
		if o >= c.OutC {
			continue
		}
		row := c.Weight[o*window:][:window]
		words[place], words[d.NR+place] = (c.Bias[o]+int32(d.flip)*sum(row))<<d.shift, c.Multiplier[o]
		for i, tap := range d.taps {
			at := (i/d.Step*d.NR+place)*d.Step + i%d.Step
			switch {
			case tap < 0:
			case d.Wide:
				wide[at] = int16(row[tap]) << d.shift
			default:
				narrow[at] = row[tap] << d.shift
			}
		}
	}
}

// inputs is the rows and pixels of the source that so many rows of the output read.
func (d *depthwise) inputs(rows int) (height, width int) {
	kh, kw := d.conv.Reach()
	return (rows-1)*d.conv.StrideH + kh, (d.width-1)*d.conv.StrideW + kw
}

// scratch is the bytes of spread inputs, and of outputs that are not all stored.
func (d *depthwise) scratch() (inputs, outputs int) {
	if d.spreads() {
		height, width := d.inputs(d.rows)
		inputs = height * width * d.NR
	}
	if d.conv.OutC%d.NR > 0 {
		outputs = d.rows * d.width * d.NR
	}
	return inputs, outputs
}

// Scratch implements int8.Convolution.
func (d *depthwise) Scratch() int {
	inputs, outputs := d.scratch()
	return ceil(inputs+outputs, 8)
}

// Run implements int8.Convolution. Parts begin at multiples of NR, and of the multiplier.
func (d *depthwise) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	bytes := view[int8.Value](scratch)
	inputs, outputs := d.scratch()
	w := depthwiseWork{depthwise: d, t: t, part: part, in: bytes[:inputs], out: bytes[inputs:][:outputs]}
	for w.y = part.Y0; w.y < part.Y1; w.y += d.rows {
		w.n = min(d.rows, part.Y1-w.y)
		for i := part.C0 / d.NR; i*d.NR < part.C1; i++ {
			w.panel(i)
		}
	}
}

// depthwiseWork is one thread's part of a task.
type depthwiseWork struct {
	*depthwise
	t       *int8.ConvTask
	part    int8.Part
	in, out []int8.Value // scratch
	y, n    int          // the first row at work, and the number of rows
}

// args is all but the outputs of panel i of the rows at work.
func (w *depthwiseWork) args(i int, src []int8.Value) DepthwiseArgs {
	t := w.t
	dh, dw := t.Steps()
	src, row, pixel := w.source(src, w.first(i))
	height, width := w.inputs(w.n)
	return DepthwiseArgs{
		Src: pointer(src[:(height-1)*row+(width-1)*pixel+w.NR]), Panel: pointer(w.panels[i]),
		Rows: w.n, Pixels: t.OW, KH: t.KH, KW: t.KW,
		SrcTap: dw * pixel, SrcRow: dh * row, SrcStep: t.StrideW * pixel, SrcNext: t.StrideH * row,
		Shift: int(t.Shift - w.shift), Ratio: int(t.Residual),
	}
}

// panel computes panel i of the rows at work.
func (w *depthwiseWork) panel(i int) {
	t, part, first := w.t, w.part, w.first(i)
	a := w.args(i, t.Src)
	// Channels before the part are another thread's, and what is stored over its residual is
	// not computed again.
	own := i * w.NR
	if t.OutC < w.NR || first < own && (first < part.C0 || t.Res != nil && pointer(t.Res) == pointer(t.Dst)) {
		w.staged(a, own, own-first)
		return
	}
	at := func(data []int8.Value, row, step int) unsafe.Pointer {
		return pointer(data[w.y*row+first:][:(w.n-1)*row+(t.OW-1)*step+w.NR])
	}
	a.Dst, a.DstStep, a.DstNext = at(t.Dst, t.DstRow, t.DstStep), t.DstStep, t.DstRow
	if t.Res != nil {
		a.Res, a.ResStep, a.ResNext = at(t.Res, t.ResRow, t.ResStep), t.ResStep, t.ResRow
	}
	w.Depthwise.Run(a)
}

// staged computes a panel whose outputs, and before them its residuals, pass through
// scratch: those from a channel on, which is the given one of the panel.
func (w *depthwiseWork) staged(a DepthwiseArgs, channel, lane int) {
	t := w.t
	lanes := min(w.NR-lane, t.OutC-channel)
	pixels := func(do func(staged, y, x int)) {
		for y := range w.n {
			for x := range t.OW {
				do((y*t.OW+x)*w.NR+lane, w.y+y, x)
			}
		}
	}
	a.Dst, a.DstStep, a.DstNext = pointer(w.out), w.NR, t.OW*w.NR
	if t.Res != nil {
		a.Res, a.ResStep, a.ResNext = a.Dst, a.DstStep, a.DstNext
		pixels(func(staged, y, x int) { copy(w.out[staged:][:lanes], t.Res[y*t.ResRow+x*t.ResStep+channel:]) })
	}
	w.Depthwise.Run(a)
	pixels(func(staged, y, x int) { copy(t.Dst[y*t.DstRow+x*t.DstStep+channel:][:lanes], w.out[staged:]) })
}

// source is the inputs of the rows at work, from a panel's first channel on, and the
// bytes from one row and from one pixel to the next.
func (w *depthwiseWork) source(src []int8.Value, channel int) (from []int8.Value, row, pixel int) {
	t := w.t
	src = src[w.y*t.StrideH*t.SrcRow:]
	if !w.spreads() {
		return src[channel:], t.SrcRow, t.SrcStep
	}
	height, width := w.inputs(w.n)
	for y := range height {
		for x := range width {
			dst, from := w.in[(y*width+x)*w.NR:][:w.NR], src[y*t.SrcRow+x*t.SrcStep:][:t.InC]
			for lane := range min(w.NR, t.OutC-channel) {
				dst[lane] = from[(channel+lane)/w.multiplier]
			}
		}
	}
	return w.in, width * w.NR, w.NR
}

// depthwiseInt16 is a depthwise convolution with an int16 input, residual or output: sums
// of a row of a panel are requantized as those of any other.
type depthwiseInt16 struct {
	convInt16
	channels *depthwise
}

// Bytes implements int8.Convolution.
func (c *depthwiseInt16) Bytes() int { return c.channels.Bytes() + 4*len(c.bias) }

// Pack implements int8.Convolution.
func (c *depthwiseInt16) Pack(memory []int8.Value) {
	c.channels.conv = c.unbiased()
	c.channels.Pack(memory)
}

// sums is the number of a row of a panel.
func (c *depthwiseInt16) sums() int { return c.channels.width * c.channels.NR }

// Scratch implements int8.Convolution.
func (c *depthwiseInt16) Scratch() int {
	inputs, _ := c.channels.scratch()
	return ceil(4*c.halves*c.sums()+inputs, 8)
}

// Run implements int8.Convolution. Parts begin as those of depthwise do.
func (c *depthwiseInt16) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	d, n := c.channels, c.sums()
	sums := view[int32](scratch)[:c.halves*n]
	bytes := view[int8.Value](scratch)
	w := depthwiseWork{depthwise: d, t: t, part: part, in: bytes[4*len(sums):], n: 1}
	for w.y = part.Y0; w.y < part.Y1; w.y++ {
		for i := part.C0 / d.NR; i*d.NR < part.C1; i++ {
			w.sums(i, t.Src, sums[:n])
			if c.halves == 2 {
				w.sums(i, t.SrcLow, sums[n:])
			}
			channel := i * d.NR
			lane := channel - d.first(i)
			lanes := min(d.NR-lane, t.OutC-channel)
			for x := range t.OW {
				at, low := x*d.NR+lane, []int32(nil)
				if c.halves == 2 {
					low = sums[n+at:][:lanes]
				}
				c.store(t, w.y, x, channel, sums[at:][:lanes], low)
			}
		}
	}
}

// sums stores those of panel i of the row at work.
func (w *depthwiseWork) sums(i int, src []int8.Value, sums []int32) {
	a := w.args(i, src)
	a.Dst, a.DstStep = pointer(sums), 4*w.NR
	w.Sums(a)
}
