package fp32

import (
	"edgeclassify/internal/sgemm"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// conv is a convolution, with the residual and the ReLU or Clip behind it: packed
// weights times windows of the input, which are read where they lie. Only
// padding and groups ask for a copy, of the input's rows as they are, and dilation
// for one of the windows' rows.
type conv struct {
	window
	groups []*sgemm.Weights
	limits sgemm.Limits
	copied bool
	wide   bool // the values of a window's row do not lie side by side, or a row's windows apart
	// A line is up to length output pixels whose windows are at one distance:
	// a row of the image or, where rows follow each other without a gap, a
	// piece of the whole. Lines begin step values apart in the input.
	lines, length, step int
	flat                bool // lines follow each other without a gap
	block               int  // lines to go over with all weights
}

// blockLen is how many values of input a block takes: with the weights that go
// over them they fit the L2 cache of a desktop core.
const blockLen = 1 << 16

func newConv(op *models.Conv, in, out tensor.Shape, clip models.Clip) (Operation, error) {
	g := window{op.Window, in, out}
	if op.Groups > 1 && op.Groups == op.InC {
		return newDepthwise(op, g, clip), nil
	}
	if suitsWinograd(op, out) {
		return newWinograd(op, g, clip), nil
	}
	c := conv{window: g, limits: sgemm.Limits{Least: clip.Min, Greatest: clip.Max}, groups: make([]*sgemm.Weights, op.Groups)}
	outputs, inputs := op.OutC/op.Groups, len(op.Weight)/op.OutC
	for i := range c.groups {
		var bias []float32
		if op.Bias != nil {
			bias = op.Bias[i*outputs:][:outputs]
		}
		var err error
		if c.groups[i], err = sgemm.Pack(op.Weight[i*outputs*inputs:][:outputs*inputs], bias, outputs, inputs, op.KH); err != nil {
			return Operation{}, err
		}
	}
	c.wide = op.KW > 1 && op.DilationW > 1 || op.KW == 1 && op.StrideW > 1
	c.copied = c.wide || op.Groups > 1 || max(c.Top, c.Left, c.Bottom, c.Right) > 0
	c.lines, c.length, c.step = g.out.H, g.out.W, c.StrideH/c.apart()*c.pitch()
	c.flat = c.KH == 1 && c.step == c.length*c.stride()
	if c.flat && !c.copied {
		pixels := g.out.H * g.out.W
		c.length = min(4*c.groups[0].TileRows(), pixels)
		c.lines, c.step = (pixels+c.length-1)/c.length, c.length*c.in.C
	}
	c.block = min(max(blockLen/c.step, 1), c.lines)
	if c.byPanels() {
		c.block = c.lines
	}
	o := Operation{Run: c.run, OverZ: true}
	if c.copied {
		o.Scratch = c.rows(c.block) * c.pitch()
	}
	return o, nil
}

// channels is the input channels of a group.
func (c conv) channels() int { return c.in.C / len(c.groups) }

// stride is the distance of windows where they are read.
func (c conv) stride() int {
	if c.wide {
		return c.KW * c.channels()
	}
	return c.StrideW * c.channels()
}

// pitch is the distance of input rows there.
func (c conv) pitch() int {
	if c.wide {
		return c.out.W * c.stride()
	}
	return (c.Left + c.in.W + c.Right) * c.channels()
}

// apart is the distance of input rows that are copied: windows of one row skip some.
func (c conv) apart() int {
	if c.copied && c.KH == 1 {
		return c.StrideH
	}
	return 1
}

// rows is the number of input rows to copy for a number of output rows.
func (c conv) rows(lines int) int {
	reach, _ := c.Reach()
	return (lines-1)*c.StrideH/c.apart() + reach
}

// byPanels tells whether weights outweigh pixels. The larger side is shared out
// among threads and gone over once.
func (c conv) byPanels() bool { return c.groups[0].Outputs >= c.out.H*c.out.W }

func (c conv) run(w Worker, y []float32, in [][]float32) {
	residual := Residual(in)
	lines, panels := [2]int{0, c.lines}, [2]int{0, c.groups[0].Panels()}
	if c.byPanels() {
		panels[0], panels[1] = w.Part(panels[1], 1)
	} else {
		lines[0], lines[1] = w.Part(lines[1], 1)
	}
	if panels[0] == panels[1] {
		return
	}
	for group := range c.groups {
		for first := lines[0]; first < lines[1]; first += c.block {
			last := min(first+c.block, lines[1])
			source := c.source(w.scratch, in[0], group, first, last)
			for panel := panels[0]; panel < panels[1]; panel++ {
				c.multiply(y, source, residual, group, first, last, panel)
			}
		}
	}
}

// source is the input from where the windows of the first line begin.
func (c conv) source(scratch, x []float32, group, first, last int) []float32 {
	if !c.copied {
		return x[first*c.step:]
	}
	rows := scratch[:c.rows(last-first)*c.pitch()]
	c.copy(rows, x[group*c.channels():], first*c.StrideH-c.Top)
	return rows
}

// multiply computes one panel's outputs of lines first <= i < last, whose
// windows begin with x.
func (c conv) multiply(y, x, residual []float32, group, first, last, panel int) {
	first, last = first*c.length, min(last*c.length, c.out.H*c.out.W)
	at := first*c.out.C + group*c.groups[group].Outputs
	results := sgemm.Results{Values: y[at:], Stride: c.out.C, Limits: &c.limits}
	if residual != nil {
		results.Residual = residual[at:]
	}
	dilation, _ := c.Steps()
	length := c.length
	if c.flat {
		length = last - first
	}
	c.groups[group].Mul(results, sgemm.Windows{
		Values: x, Count: last - first, Length: length,
		Step: c.step, Stride: c.stride(), Pitch: dilation * c.pitch(),
	}, panel)
}

// copy fills dst with input rows from iy on, with their padding: the first
// channels of each pixel that fill a group.
func (c conv) copy(dst, src []float32, iy int) {
	pitch, channels := c.pitch(), c.channels()
	for ; len(dst) > 0; dst, iy = dst[pitch:], iy+c.apart() {
		row := dst[:pitch]
		if iy < 0 || iy >= c.in.H {
			clear(row)
			continue
		}
		if c.wide {
			c.unroll(row, src[iy*c.in.W*c.in.C:])
			continue
		}
		clear(row[:c.Left*channels])
		clear(row[pitch-c.Right*channels:])
		row, from := row[c.Left*channels:], src[iy*c.in.W*c.in.C:]
		if channels == c.in.C {
			copy(row, from[:c.in.W*channels])
			continue
		}
		for i := range c.in.W {
			copy(row[i*channels:][:channels], from[i*c.in.C:])
		}
	}
}

// unroll fills dst with what windows see of one input row.
func (c conv) unroll(dst, row []float32) {
	_, dilation := c.Steps()
	channels := c.channels()
	for ox := range c.out.W {
		for kx := range c.KW {
			pixel := dst[(ox*c.KW+kx)*channels:][:channels]
			if ix := ox*c.StrideW - c.Left + kx*dilation; ix >= 0 && ix < c.in.W {
				copy(pixel, row[ix*c.in.C:])
			} else {
				clear(pixel)
			}
		}
	}
}
