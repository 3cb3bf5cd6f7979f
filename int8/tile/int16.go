package tile

import (
	"unsafe"

	"edgeclassify/int8"
)

// convInt16 is a convolution with an int16 input, residual or output. Windows are
// copied together, for an int16 input those of the high bytes and then those of
// the low bytes: to the micro-kernel they are pixels as any other, whose sums it
// stores.
type convInt16 struct {
	Conv
	out    *int8.Tensor
	halves int     // of the input: 2 if it is int16
	bias   []int32 // with what int8.Join adds
}

// ConvolutionInt16 is that of layer l, whose Op is an *int8.Conv.
func (m *Micro) ConvolutionInt16(l *int8.Layer, in *int8.Tensor) int8.Convolution {
	conv := l.Op.(*int8.Conv)
	depth := conv.KH * conv.KW * (conv.InC / conv.Groups)
	micro := &Micro{NR: m.NR, KR: m.KR, Unsigned: m.Unsigned, Sums: m.Sums, Requantize: m.Requantize, Fit: m.Fit} // channels in their own order
	c := &convInt16{
		Conv: Conv{conv: conv, micro: micro, inputs: conv.InC / conv.Groups, depth: depth, run: depth, runs: 1, steps: ceil(depth, m.KR)},
		out:  &l.Out, halves: 1, bias: conv.Bias,
	}
	if in.Type == int8.Int16 {
		c.halves = 2
	}
	if d := m.depthwise(l); d != nil && d.Sums != nil {
		d.shift, d.rows = 0, 1
		return &depthwiseInt16{*c, d}
	}
	c.chunk = min(l.Out.Shape.W, c.pixels())
	return c
}

// Pack implements int8.Convolution.
func (c *convInt16) Pack(memory []int8.Value) { c.pack(c.unbiased(), memory) }

// unbiased is the convolution without biases: they are added when both halves' sums are.
func (c *convInt16) unbiased() *int8.Conv {
	conv := c.conv
	if c.halves == 2 {
		c.bias = make([]int32, conv.OutC)
		for o := range c.bias {
			c.bias[o] = conv.Bias[o] + 128*sum(conv.Weight[o*c.depth:(o+1)*c.depth])
		}
	}
	unbiased := *conv
	unbiased.Bias = make([]int32, conv.OutC)
	return &unbiased
}

// pixels whose windows are to be copied at a time: some whole tiles, so that
// calls take little time, if their windows stay near.
func (c *convInt16) pixels() int {
	const tiles, near = 4, 16 << 10
	return c.micro.Sums.MR * max(1, min(tiles, near/(c.halves*c.window()*c.micro.Sums.MR)))
}

// window is the bytes of a copied window.
func (c *convInt16) window() int { return c.steps * c.micro.KR }

// scratch is the bytes of copied windows and the number of sums: whole tiles,
// by the panels of a group.
func (c *convInt16) scratch() (windows, sums int) {
	tile := c.micro.Sums.MR
	rows := ceil(c.halves*c.chunk, tile) * tile
	_, panels, _ := c.layout()
	return rows * c.window(), rows * panels * c.micro.NR
}

// Split implements int8.Convolution.
func (c *convInt16) Split(int) (rows, channels int) { return 0, 0 }

// Scratch is the words of memory that a thread needs.
func (c *convInt16) Scratch() int {
	windows, sums := c.scratch()
	return ceil(4*sums+windows, 8)
}

// Bytes is the memory of panels and biases.
func (c *convInt16) Bytes() int { return c.Conv.Bytes() + 4*len(c.bias) }

// Run computes the part of the task. Parts begin at multiples of
// Micro.NR, with groups between groups.
func (c *convInt16) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	_, n := c.scratch()
	sums := view[int32](scratch)[:n]
	windows := view[int8.Value](scratch)[4*n:]
	panels := c.between(part.C0, part.C1)
	for y := part.Y0; y < part.Y1; y++ {
		for x := 0; x < t.OW; x += c.chunk {
			r := run{y, x, min(c.chunk, t.OW-x)}
			for rest := panels; len(rest) > 0; {
				n := sameGroup(rest)
				c.group(t, r, rest[:n], windows, sums)
				rest = rest[n:]
			}
		}
	}
}

// group computes a run, some panels of one group.
func (c *convInt16) group(t *int8.ConvTask, r run, panels []panel, windows []int8.Value, sums []int32) {
	rows, width := c.halves*r.pixels, len(panels)*c.micro.NR
	c.copyWindows(windows, t, t.Src, r, panels[0].group)
	if c.halves == 2 {
		c.copyWindows(windows[r.pixels*c.window():], t, t.SrcLow, r, panels[0].group)
	}
	for i := range panels {
		c.multiply(&panels[i], windows, sums[i*c.micro.NR:], rows, width)
	}
	last := &panels[len(panels)-1]
	first, channels := panels[0].channel, last.channel+last.lanes-panels[0].channel
	for i := range r.pixels {
		acc, low := sums[i*width:][:channels], []int32(nil)
		if c.halves == 2 {
			low = sums[(r.pixels+i)*width:][:channels]
		}
		c.store(t, r.y, r.x+i, first, acc, low)
	}
}

// store requantizes a pixel's channels from the first on.
func (c *convInt16) store(t *int8.ConvTask, y, x, first int, sums, low []int32) {
	whole := len(sums) / RequantizeVector * RequantizeVector
	if whole > 0 {
		c.requantize(t, y, x, first, sums[:whole], low)
	}
	if whole < len(sums) {
		c.rest(t, y, x, first+whole, sums[whole:], low[min(whole, len(low)):])
	}
}

// requantize stores a pixel's channels from the first on, whole vectors.
func (c *convInt16) requantize(t *int8.ConvTask, y, x, first int, sums, low []int32) {
	n := len(sums)
	at := func(bytes []int8.Value, row, step int) unsafe.Pointer {
		if bytes == nil {
			return nil
		}
		return pointer(bytes[y*row+x*step+first:][:n])
	}
	lowest, highest := c.out.Limits()
	c.micro.Requantize(RequantizeArgs{
		Sums: pointer(sums), SumsLow: pointer(low), Bias: pointer(c.bias[first:][:n]), Multiplier: pointer(t.Multiplier[first:][:n]),
		Res: at(t.Res, t.ResRow, t.ResStep), ResLow: at(t.ResLow, t.ResRow, t.ResStep),
		Dst: at(t.Dst, t.DstRow, t.DstStep), DstLow: at(t.DstLow, t.DstRow, t.DstStep),
		Length: n, Shift: int(t.Shift), Ratio: int(t.Residual), RatioShift: int(t.ResidualShift), Low: int(lowest), High: int(highest),
	})
}

// rest is requantize for less than a vector.
func (c *convInt16) rest(t *int8.ConvTask, y, x, first int, sums, low []int32) {
	for i, v := range low {
		sums[i] = sums[i]<<8 + v
	}
	for i, b := range c.bias[first:][:len(sums)] {
		sums[i] += b
	}
	t.StoreInt16(c.out, c.micro.flip(), y, x, first, sums)
}

// multiply stores the sums of a panel for rows of windows, and of more windows
// up to whole tiles. Sums of one window are width apart from the next one's.
func (c *convInt16) multiply(p *panel, windows []int8.Value, sums []int32, rows, width int) {
	s := c.micro.Sums
	a := Args{
		Panel: pointer(p.data), Src: pointer(windows), Dst: pointer(sums),
		Tiles: ceil(rows, s.MR), Panels: 1, Runs: 1, Steps: c.steps,
		SrcStep: c.window(), SrcNext: s.MR * c.window(),
		DstStep: 4 * width, DstNext: s.MR * 4 * width,
	}
	if c.micro.Fit != nil {
		a.Offsets = unsafe.Pointer(unsafe.SliceData(c.places(p)))
	}
	s.Run(a)
}

// flip is what a stored byte is to be XORed with for its value.
func (m *Micro) flip() int8.Value {
	if m.Unsigned {
		return -128
	}
	return 0
}
