package tile

import (
	"slices"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// Conv is a convolution by a micro-kernel. It implements int8.Convolution.
type Conv struct {
	conv   *int8.Conv
	micro  *Micro
	inputs int // channels that a panel reads: a group's, or of a depthwise convolution the panel's own
	depth  int // values of a window, of those channels
	runs   int // rows of a window; 1 if gathered
	steps  int // steps of a row
	chunk  int // pixels whose windows are gathered at a time; 0 if not gathered
	strip  int // bytes of a row of a chunk's windows, which overlap as in the source; 0 if copied one by one
	run    int // values of a row that are packed together
	panels []panel
}

// Convolution is that of layer l, whose Op is an *int8.Conv.
func (m *Micro) Convolution(l *int8.Layer) int8.Convolution {
	if w := m.winograd(l); w != nil {
		return w
	}
	conv := l.Op.(*int8.Conv)
	c := &Conv{conv: conv, micro: m, inputs: conv.InC / conv.Groups}
	if conv.Depthwise() {
		if conv.OutC != conv.InC {
			return int8.NewDepthwise(l, m.flip())
		}
		c.inputs = m.NR
	}
	c.depth = conv.KH * conv.KW * c.inputs
	c.run = conv.KW * conv.InC
	c.runs, c.steps = conv.KH, ceil(c.run, m.KR)
	if _, dw := conv.Steps(); c.inputs > conv.InC/conv.Groups && dw == 1 {
		c.run = conv.KW * c.inputs
		c.steps = ceil(c.run, m.KR)
		c.chunk = min(l.Out.Shape.W, m.block(conv.KH*conv.StrideW*c.inputs))
		c.strip = ((c.chunk+m.smallest().MR)*conv.StrideW+conv.KW)*c.inputs + m.KR
	} else if m.gathers(conv, l.Out.Shape) {
		c.run = c.depth
		c.runs, c.steps = 1, ceil(c.run, m.KR)
		c.chunk = min(l.Out.Shape.W, m.block(c.steps*m.KR))
	}
	return c
}

// gathers decides whether windows are to be copied together: where a group's
// channels or a window's pixels do not lie side by side, where rows are too short to fill a tile,
// and where padding every row to whole steps wastes more than a quarter.
func (m *Micro) gathers(c *int8.Conv, out tensor.Shape) bool {
	run, runs := c.Runs()
	if runs > 1 || c.Groups > 1 || c.KH > 1 && out.W < m.smallest().MR {
		return true
	}
	return 4*c.KH*ceil(run, m.KR) > 5*ceil(c.KH*run, m.KR)
}

func (m *Micro) largest() Shape  { return slices.MaxFunc(m.Shapes, byMR) }
func (m *Micro) smallest() Shape { return slices.MinFunc(m.Shapes, byMR) }

func byMR(a, b Shape) int { return a.MR - b.MR }

func ceil(n, unit int) int { return (n + unit - 1) / unit }

// Bytes is the memory of the packed panels.
func (c *Conv) Bytes() int {
	groups, panels, size := c.layout()
	return groups * panels * size
}

// Pack implements int8.Convolution.
func (c *Conv) Pack() { c.pack(c.conv) }

// Split implements int8.Convolution.
func (c *Conv) Split(int) (rows, channels int) { return 0, 0 }

// Scratch is the words of memory that a thread needs: a tile's gathered
// windows, its outputs and its residuals.
func (c *Conv) Scratch() int {
	windows, tile := c.scratch()
	return ceil(windows+2*tile, 8) + ceil(c.offsets(), 2)
}

func (c *Conv) scratch() (windows, tile int) {
	if c.strip > 0 {
		windows = c.runs * c.strip
	} else if c.chunk > 0 { // and a tile that goes beyond the last pixel
		windows = (c.chunk + c.micro.smallest().MR) * c.steps * c.micro.KR
	}
	return windows, c.micro.largest().MR * c.micro.NR
}

// Run computes the part of the task. Parts begin at multiples of
// Micro.NR.
func (c *Conv) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	bytes := unsafe.Slice((*int8.Value)(unsafe.Pointer(unsafe.SliceData(scratch))), 8*len(scratch))
	windows, tile := c.scratch()
	dh, _ := t.Steps()
	w := work{
		Conv: c, t: t, part: part, panels: c.between(part.C0, part.C1),
		source:  source{data: t.Src, row: t.StrideH * t.SrcRow, pixel: t.StrideW * t.InC, run: dh * t.SrcRow},
		windows: bytes[:windows], out: bytes[windows:][:tile], res: bytes[windows+tile:][:tile],
		offsets: unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(scratch[ceil(windows+2*tile, 8):]))), c.offsets()),
	}
	if c.chunk > 0 {
		w.gathered()
	} else {
		w.direct()
	}
}

// between is the panels that begin at channels [lo, hi).
func (c *Conv) between(lo, hi int) []panel {
	i := 0
	for i < len(c.panels) && c.panels[i].channel < lo {
		i++
	}
	j := i
	for j < len(c.panels) && c.panels[j].channel < hi {
		j++
	}
	return c.panels[i:j]
}

// work is one thread's part of a task.
type work struct {
	*Conv
	t       *int8.ConvTask
	part    int8.Part
	panels  []panel
	source  source
	windows []int8.Value // scratch: gathered windows
	out     []int8.Value // scratch: a tile's outputs
	res     []int8.Value // scratch: a tile's residuals
	offsets []uint32     // scratch: see offsetsOf
}

// source is where windows are read: that of output pixel (y, x) begins at
// y*row + (x-x0)*pixel.
type source struct {
	data  []int8.Value
	row   int // bytes from one output row's windows to the next
	pixel int // bytes from one pixel's window to the next
	run   int // bytes from one row of a window to the next
	x0    int
	spare bool // windows behind the last pixel may be read, whatever they hold
}

// run is some output pixels whose windows lie at equal distances. In a plane
// without gaps it may go on over the ends of rows.
type run struct{ y, x, pixels int }

// direct computes with windows read in place. Either all panels pass over a
// row and then over the next, or each panel passes over all rows.
func (w *work) direct() {
	w.setOffsets()
	rows, first, length := w.part.Y1-w.part.Y0, run{y: w.part.Y0, pixels: w.t.OW}, 0
	if w.contiguous() {
		length, rows = rows*w.t.OW, 1
		first.pixels = min(length, w.micro.block(w.t.InC))
		rows = ceil(length, first.pixels)
	}
	at := func(i int) run {
		r := first
		if length == 0 {
			r.y += i
		} else {
			r.x = i * first.pixels
			r.pixels = min(first.pixels, length-r.x)
		}
		return r
	}
	if w.rowsOutside(rows) {
		for i := range rows {
			r := at(i)
			for p := range w.panels {
				w.row(r, &w.panels[p])
			}
		}
		return
	}
	if length > 0 { // no need of blocks: nothing is to stay near but the panel
		rows, first.pixels = 1, length
	}
	for p := range w.panels {
		for i := range rows {
			w.row(at(i), &w.panels[p])
		}
	}
}

// near is about the size of the first cache.
const near = 32 << 10

// block is the pixels whose windows of the given bytes fill half of it: whole
// tiles, and at least one.
func (m *Micro) block(window int) int {
	tile := m.Shapes[0].MR
	return max(near/2/window/tile, 1) * tile
}

// rowsOutside says whether to pass all panels over each row: if their weights
// are near, or if reading them again for every row costs less than reading the
// input again for every panel. Weights too many for the second cache are read
// once.
func (w *work) rowsOutside(rows int) bool {
	weights := 0
	for i := range w.panels {
		weights += len(w.panels[i].data)
	}
	inputs := (w.part.Y1 - w.part.Y0) * w.t.StrideH * w.t.SrcRow
	return weights <= near || weights <= 8*near && weights*rows < inputs*len(w.panels)
}

// contiguous says whether pixels follow each other without a gap, from the
// last of a row to the first of the next, in source, residual and output.
func (w *work) contiguous() bool {
	t := w.t
	return t.KH == 1 && t.KW == 1 && t.StrideH == 1 && t.StrideW == 1 &&
		t.SrcRow == t.OW*t.InC && t.DstRow == t.OW*t.DstStep && (t.Res == nil || t.ResRow == t.OW*t.OutC)
}

// row computes one panel of a run: as many tiles of the first shape as leave a
// rest that those of the last shape fill; if there is no such number, as many
// as fit, and the last tile begins early enough to end with the run.
func (w *work) row(r run, p *panel) {
	first, last := w.micro.Shapes[0], w.micro.Shapes[len(w.micro.Shapes)-1]
	n := r.pixels / first.MR
	for n > 0 && (r.pixels-n*first.MR)%last.MR != 0 {
		n--
	}
	if r.pixels%last.MR != 0 && n == 0 {
		n = r.pixels / first.MR
	}
	r = w.tiles(first, n, r, p)
	r = w.tiles(last, r.pixels/last.MR, r, p)
	if r.pixels > 0 {
		w.tail(r, p)
	}
}

// tail computes what is less than a tile.
func (w *work) tail(r run, p *panel) {
	s := w.micro.smallest()
	if w.source.spare {
		w.staged(s, w.windowsOf(r, s, 1, p), r, 0, p)
		return
	}
	if before := s.MR - r.pixels; r.x >= before {
		r.x -= before
		w.staged(s, w.windowsOf(r, s, 1, p), r, before, p)
		return
	}
	// The part is smaller than a tile: repeat one pixel's window.
	for ; r.pixels > 0; r.pixels-- {
		a := w.windowsOf(run{r.y, r.x, 1}, Shape{MR: 1}, 1, p)
		a.SrcStep = 0
		w.staged(s, a, run{r.y, r.x - s.MR + 1, s.MR}, s.MR-1, p)
		r.x++
	}
}

// tiles computes the first n tiles of r and returns the rest.
func (w *work) tiles(s Shape, n int, r run, p *panel) run {
	if n == 0 {
		return r
	}
	if p.lanes == w.micro.NR {
		a := w.windowsOf(r, s, n, p)
		w.store(&a, r, s, n, p)
		s.Run(a)
		return run{r.y, r.x + n*s.MR, r.pixels - n*s.MR}
	}
	for range n {
		w.staged(s, w.windowsOf(r, s, 1, p), r, 0, p)
		r = run{r.y, r.x + s.MR, r.pixels - s.MR}
	}
	return r
}

// args is what all tiles of a panel share.
func (w *work) args(p *panel) Args {
	a := Args{
		Panel: pointer(p.data), Tiles: 1, Runs: w.runs, Steps: w.steps,
		Shift: int(w.t.Shift), Ratio: int(w.t.Residual), Wide: p.wide,
	}
	if w.micro.Fit != nil {
		a.Runs, a.Steps, a.Offsets = 1, w.runs*w.steps, unsafe.Pointer(unsafe.SliceData(w.offsetsOf(p)))
	}
	return a
}

// windowsOf points to the windows of n tiles.
func (w *work) windowsOf(r run, s Shape, n int, p *panel) Args {
	from, a := &w.source, w.args(p)
	a.SrcRow, a.SrcStep, a.SrcNext, a.Tiles = from.run, from.pixel, s.MR*from.pixel, n
	first := r.y*from.row + (r.x-from.x0)*from.pixel
	end := first + (n*s.MR-1)*from.pixel + (w.runs-1)*from.run + w.steps*w.micro.KR
	a.Src = pointer(from.data[first:end])
	return a
}

// store writes the outputs of n tiles where they belong.
func (w *work) store(a *Args, r run, s Shape, n int, p *panel) {
	t := w.t
	at := func(bytes []int8.Value, row, step int) unsafe.Pointer {
		return pointer(bytes[r.y*row+r.x*step+p.channel:][:(n*s.MR-1)*step+w.micro.NR])
	}
	a.DstStep, a.DstNext = t.DstStep, s.MR*t.DstStep
	a.Dst = at(t.Dst, t.DstRow, t.DstStep)
	if t.Res != nil {
		a.ResStep, a.ResNext = t.OutC, s.MR*t.OutC
		a.Res = at(t.Res, t.ResRow, t.OutC)
	}
}

// staged runs one tile whose residuals and outputs pass through scratch: not
// all of its channels exist, or not all of its pixels are to be stored. The
// output may lie in the residual's memory, so that nothing may be computed
// from a pixel that is already stored. The first skip pixels are not used.
func (w *work) staged(s Shape, a Args, r run, skip int, p *panel) {
	t, lanes := w.t, w.micro.NR
	end := min(s.MR, skip+r.pixels)
	at := func(row, step, pixel int) int { return r.y*row + (r.x+pixel)*step + p.channel }
	if t.Res != nil {
		a.Res, a.ResStep = pointer(w.res[:s.MR*lanes]), lanes
		for i := skip; i < end; i++ {
			copy(w.res[i*lanes:], t.Res[at(t.ResRow, t.OutC, i):][:p.lanes])
		}
	}
	a.Dst, a.DstStep = pointer(w.out[:s.MR*lanes]), lanes
	s.Run(a)
	for i := skip; i < end; i++ {
		copy(t.Dst[at(t.DstRow, t.DstStep, i):][:p.lanes], w.out[i*lanes:])
	}
}

// gathered computes with windows copied together, some pixels of a row at a
// time, each group's for all of its panels.
func (w *work) gathered() {
	w.source = source{data: w.windows, pixel: w.steps * w.micro.KR, spare: true}
	if w.strip > 0 {
		w.source.pixel, w.source.run = w.t.StrideW*w.inputs, w.strip
	}
	w.setOffsets()
	for y := w.part.Y0; y < w.part.Y1; y++ {
		for x := 0; x < w.t.OW; x += w.chunk {
			r := run{y, x, min(w.chunk, w.t.OW-x)}
			w.source.x0 = x
			group := -1
			for i := range w.panels {
				p := &w.panels[i]
				if p.group != group {
					group = p.group
					if w.strip > 0 {
						w.copyStrips(r, group)
					} else {
						w.copyWindows(w.windows, w.t, w.t.Src, r, group)
					}
				}
				w.row(r, p)
			}
		}
	}
}

// copyWindows copies the windows of a run in src, one group's channels. What
// follows a window up to whole steps meets weights of zero.
func (c *Conv) copyWindows(windows []int8.Value, t *int8.ConvTask, src []int8.Value, r run, group int) {
	length, runs := t.Runs()
	dh, dw := t.Steps()
	first := group * c.inputs
	distance := length
	if length < c.inputs {
		length, distance = min(c.inputs, t.InC-first), c.inputs
	}
	for i := range r.pixels {
		dst := windows[i*c.steps*c.micro.KR:]
		for ky := range t.KH {
			at := (r.y*t.StrideH+ky*dh)*t.SrcRow + (r.x+i)*t.StrideW*t.InC + first
			for range runs {
				copyRun(dst[:length], src[at:])
				dst, at = dst[distance:], at+dw*t.InC
			}
		}
	}
}

// copyStrips copies the rows of a run's windows, the channels of one panel.
func (w *work) copyStrips(r run, group int) {
	t, first := w.t, group*w.inputs
	length := min(w.inputs, t.InC-first)
	dh, _ := t.Steps()
	for ky := range t.KH {
		dst := w.windows[ky*w.strip:]
		src := t.Src[(r.y*t.StrideH+ky*dh)*t.SrcRow+r.x*t.StrideW*t.InC+first:]
		for i := range (r.pixels-1)*t.StrideW + t.KW {
			copyRun(dst[i*w.inputs:][:length], src[i*t.InC:])
		}
	}
}

// copyRun is copy, without a call for what depthwise convolutions copy.
func copyRun(dst, src []int8.Value) {
	if len(dst) == 16 {
		*(*[16]int8.Value)(dst) = [16]int8.Value(src)
	} else {
		copy(dst, src)
	}
}

func pointer(s []int8.Value) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
