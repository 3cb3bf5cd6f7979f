package tile

import (
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// Words is micro-kernels that multiply 16 bits by 16, for layers few of whose products fit
// in 16 bits by pairs: see bins.go. Windows are widened before all panels read them, and a
// step takes two values, so that short rows of a window lose little.
type Words struct {
	// Shapes are tiles of NR channels, as Micro's, and of NR/2 (Half).
	Shapes []Shape
	// Order is the channel that each place of a panel holds, HalfOrder those of NR/2.
	Order, HalfOrder []int
	// Widen makes words of bytes.
	Widen func(WidenArgs)
}

// WidenArgs is runs of bytes and where their words go. Assembly relies on the order and
// size of the fields. Steps are in bytes.
type WidenArgs struct {
	Dst     unsafe.Pointer
	Src     unsafe.Pointer
	Length  int // of a run, a positive multiple of Vector
	Count   int // of runs, at least 1
	DstStep int // from one run to the next
	SrcStep int
}

const pair = 2 // values of a step

// inWords is a convolution in words. It implements int8.Convolution. A panel of nr channels,
// NR or NR/2, is
//
//	int32 bias[nr]
//	int32 multiplier[nr]
//	int16 weight[nr/8][runs][steps][8][pair]
type inWords struct {
	Conv             // with a micro of its own
	width   int      // pixels of a row that windows read
	row     int      // bytes of a widened row
	pixel   int      // bytes from one widened window to the next
	below   int      // widened rows from an output row's first to the next one's
	height  int      // output rows whose windows are widened together
	chunk   int      // pixels that are, in a plane without gaps
	offsets []uint32 // bytes from a widened window to each of its runs
}

// words is layer l's convolution in words, nil where that does not pay.
func (m *Micro) words(l *int8.Layer) int8.Convolution {
	c, out := l.Op.(*int8.Conv), l.Out.Shape
	if m.Words == nil || c.Depthwise() || !m.wordsPay(c, out) {
		return nil
	}
	run, runs := c.Runs()
	dh, dw := c.Steps()
	kh, kw := c.Reach()
	w := &inWords{
		Conv: Conv{
			conv: c, inputs: c.InC / c.Groups, depth: c.KH * c.KW * (c.InC / c.Groups), run: run, runs: c.KH * runs, steps: ceil(run, pair),
			micro: &Micro{NR: m.NR, KR: 2 * pair, Unsigned: m.Unsigned, Shapes: m.Words.Shapes, Words: m.Words, Panels: true},
		},
		width: (out.W-1)*c.StrideW + kw, pixel: 2 * c.StrideW * c.InC, below: min(c.StrideH, kh),
	}
	if w.single() {
		w.width, w.pixel = out.W, 2*c.InC
	}
	w.row = 2 * ceil(w.width*c.InC, Vector) * Vector
	w.height = min(max(1, 1+(m.Block-kh*w.row)/(w.below*w.row)), out.H)
	w.chunk = min(max(w.height*out.W, 2*m.largest().MR), out.H*out.W)
	for ky := range c.KH {
		for kx := range runs {
			w.offsets = append(w.offsets, uint32(ky*dh*w.row+2*kx*dw*c.InC))
		}
	}
	return w
}

// single says that a window is a pixel.
func (w *inWords) single() bool { return w.conv.KH == 1 && w.conv.KW == 1 }

// rows is the widened rows of so many output rows.
func (w *inWords) rows(height int) int {
	kh, _ := w.conv.Reach()
	return (height-1)*w.below + kh
}

// lanes is the channels of a panel: NR, or half of them where that is enough.
func (w *inWords) lanes(channels int) int {
	if w.micro.Shapes[0].Half != nil && 2*channels <= w.micro.NR {
		return w.micro.NR / 2
	}
	return w.micro.NR
}

func (w *inWords) panelBytes(lanes int) int {
	return ceil(lanes*(8+2*pair*w.runs*w.steps), align) * align
}

// Bytes implements int8.Convolution.
func (w *inWords) Bytes() (bytes int) {
	out := w.conv.OutC / w.conv.Groups
	for o := 0; o < out; o += w.micro.NR {
		bytes += w.conv.Groups * w.panelBytes(w.lanes(out-o))
	}
	return bytes
}

// Pack implements int8.Convolution.
func (w *inWords) Pack(memory []int8.Value) {
	c, out := w.conv, w.conv.OutC/w.conv.Groups
	for g := range c.Groups {
		for o := 0; o < out; o += w.micro.NR {
			size := w.panelBytes(w.lanes(out - o))
			p := panel{number: len(w.panels), channel: g*out + o, lanes: min(w.micro.NR, out-o), group: g, data: memory[:size:size]}
			memory = memory[size:]
			w.fill(&p)
			w.panels = append(w.panels, p)
		}
	}
}

func (w *inWords) fill(p *panel) {
	const vector = 8
	c, lanes, order := w.conv, w.lanes(p.lanes), w.micro.Words.Order
	if lanes < w.micro.NR {
		order = w.micro.Words.HalfOrder
	}
	header := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(p.data))), 2*lanes)
	weights := unsafe.Slice((*int16)(unsafe.Pointer(&p.data[8*lanes])), lanes*pair*w.runs*w.steps)
	for place, lane := range order {
		if lane >= p.lanes {
			continue
		}
		o := p.channel + lane
		row := c.Weight[o*w.depth:][:w.depth]
		header[place], header[lanes+place] = c.Bias[o], c.Multiplier[o]
		if w.micro.Unsigned {
			header[place] -= 128 * sum(row)
		}
		at := place/vector*vector*pair*w.runs*w.steps + place%vector*pair
		for i, v := range row {
			step, odd := i/w.run*w.steps+i%w.run/pair, i%w.run%pair
			weights[at+step*vector*pair+odd] = int16(v)
		}
	}
}

func (w *inWords) scratch() (windows, tile int) {
	s := w.micro.largest()
	windows = w.rows(w.height) * w.row
	if w.single() {
		windows = max(windows, w.chunk*w.pixel)
	}
	return windows + s.MR*w.pixel + 2*Vector, s.MR * w.micro.NR
}

// Scratch implements int8.Convolution: widened rows, a tile's outputs and its residuals.
func (w *inWords) Scratch() int {
	windows, tile := w.scratch()
	return ceil(windows+2*tile, 8)
}

// Run implements int8.Convolution.
func (w *inWords) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	bytes := view[int8.Value](scratch)
	windows, tile := w.scratch()
	k := work{
		Conv: &w.Conv, t: t, part: part, panels: w.between(part.C0, part.C1),
		windows: bytes[:windows], out: bytes[windows:][:tile], res: bytes[windows+tile:][:tile],
	}
	k.source = source{row: w.below * w.row, pixel: w.pixel, spare: true}
	k.setArgs()
	k.args.Offsets = unsafe.Pointer(unsafe.SliceData(w.offsets))
	k.extent = int(w.offsets[len(w.offsets)-1]) + w.steps*w.micro.KR
	step := t.SrcStep // from one pixel that is read to the next
	if w.single() {
		step *= t.StrideW
	}
	if k.contiguous() {
		pixels := (part.Y1 - part.Y0) * t.OW
		for x := 0; x < pixels; x += w.chunk {
			n := min(w.chunk, pixels-x)
			w.widen(k.windows, t.Src[part.Y0*t.SrcRow+x*step:], n, step)
			k.source.y0, k.source.x0 = part.Y0, x
			w.groups(&k, run{part.Y0, x, n}, 1)
		}
		return
	}
	for y := part.Y0; y < part.Y1; y += w.height {
		n := min(w.height, part.Y1-y)
		for i := range w.rows(n) {
			w.widen(k.windows[i*w.row:], t.Src[((y+i/w.below)*t.StrideH+i%w.below)*t.SrcRow:], w.width, step)
		}
		k.source.y0 = y
		w.groups(&k, run{y, 0, t.OW}, n)
	}
}

// widen makes words of pixels, and of some values behind them.
func (w *inWords) widen(dst, src []int8.Value, pixels, step int) {
	n, count := w.conv.InC, pixels
	if step == n {
		n, count = n*count, 1
	}
	whole := ceil(n, Vector) * Vector
	dst, src = dst[:(count-1)*2*n+2*whole], src[:(count-1)*step+n]
	w.micro.Words.Widen(WidenArgs{Dst: pointer(dst), Src: pointer(src), Length: whole, Count: count, DstStep: 2 * n, SrcStep: step})
}

// groups computes rows of runs, each group's panels together.
func (w *inWords) groups(k *work, r run, rows int) {
	for rest := k.panels; len(rest) > 0; {
		n := sameGroup(rest)
		k.source.data = k.windows[2*rest[0].group*w.inputs:]
		k.rows(r, rows, rest[:n])
		rest = rest[n:]
	}
}

// wordsPay compares the two ways by what a tile of 4 pixels takes: cycles of Zen 3, as
// measured.
func (m *Micro) wordsPay(c *int8.Conv, out tensor.Shape) bool {
	const (
		pairs, few   = 5.1, 3.4  // of a step of two values by NR channels, by half of them
		bins, none   = 7.0, 11.5 // of a step of four values in a bin, in none
		end, binsEnd = 30, 40    // of a panel's last instructions
		widened      = 0.6       // of a value
		few16, many  = 5, 30     // of a run of a window that is copied: of 16 to 32 values, of others
		staged       = 180       // of a panel whose channels do not all exist
		most         = 256 << 10 // weights, which take twice the memory
	)
	if len(c.Weight) > most {
		return false
	}
	run, runs := c.Runs()
	channels := c.OutC / c.Groups
	whole, rest := float64(channels/m.NR), channels%m.NR
	words := float64(c.KH*runs*ceil(run, pair))*(pairs*whole+pick(rest, m.NR, few, pairs)) +
		end*(whole+pick(rest, m.NR, 1, 1)) + widened*float64(c.InC/c.Groups*min(c.StrideW, c.KW)*min(c.StrideH, c.KH))
	fit, steps, copied := m.fitting(c), c.KH*ceil(run, m.KR), 0.0
	if m.gathers(c, out) {
		steps, copied = ceil(c.KH*runs*run, m.KR), many
		if run >= 16 && run <= 32 {
			copied = few16
		}
		copied *= float64(4 * c.KH * runs)
	}
	binned := (float64(steps)*(bins*fit+none*(1-fit))+binsEnd)*(whole+pick(rest, m.NR, 1, 1)) + pick(rest, m.NR, staged, staged) + copied
	return words < binned
}

// pick is what the rest of channels takes: those of no panel, of half of one, of one.
func pick(rest, nr int, half, whole float64) float64 {
	switch {
	case rest == 0:
		return 0
	case 2*rest <= nr:
		return half
	}
	return whole
}

// fitting is the share of steps that fit into bins, of some of them.
func (m *Micro) fitting(c *int8.Conv) float64 {
	const sample = 61
	depth := len(c.Weight) / c.OutC
	panels, steps := ceil(c.OutC, m.NR), depth/m.KR
	n, fit := min(sample, panels*steps), 0
	var rooms [openBins + 1][stepBytes]byte
	for i := range n {
		var step [laneWords]uint64
		values := unsafe.Slice((*int8.Value)(unsafe.Pointer(&step)), stepBytes)
		at := i * panels * steps / n
		for lane := range min(m.NR, c.OutC-at/steps*m.NR) {
			copy(values[lane*m.KR:], c.Weight[(at/steps*m.NR+lane)*depth+at%steps*m.KR:][:m.KR])
		}
		turned := crossed(step)
		if bin, _ := m.Fit(unsafe.Pointer(&step), unsafe.Pointer(&rooms), 0); bin >= 0 {
			fit++
		} else if bin, _ := m.Fit(unsafe.Pointer(&turned), unsafe.Pointer(&rooms), 0); bin >= 0 {
			fit++
		}
	}
	return float64(fit) / float64(max(n, 1))
}
