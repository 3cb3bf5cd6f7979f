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
	args    Args         // what all tiles share, and then the last ones' own
	below   step
}

// step is the bytes from one tile to the next.
type step struct{ src, dst, res int }

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

// setArgs sets what all tiles share.
func (w *work) setArgs() {
	t := w.t
	w.setOffsets()
	w.args = Args{
		Runs: w.runs, Steps: w.steps, SrcRow: w.source.run, SrcStep: w.source.pixel, DstStep: t.DstStep,
		Shift: int(t.Shift), Ratio: int(t.Residual),
	}
	if w.micro.Fit != nil {
		w.args.Runs, w.args.Steps = 1, w.runs*w.steps
	}
	w.below = step{w.source.row, t.DstRow, 0}
	if t.Res != nil {
		w.args.ResStep, w.below.res = t.OutC, t.ResRow
	}
}

// direct computes with windows read in place. Either all panels pass over a
// block of pixels and then over the next, or each panel passes over all of them.
func (w *work) direct() {
	w.setArgs()
	all, rows := run{y: w.part.Y0, pixels: w.t.OW}, w.part.Y1-w.part.Y0
	width, height := all.pixels, 1
	if w.contiguous() {
		all.pixels, rows = rows*all.pixels, 1
		width = min(all.pixels, w.micro.block(w.t.InC))
	}
	if !w.blocksOutside(ceil(all.pixels, width) * ceil(rows, height)) {
		width, height = all.pixels, rows
	}
	for y := 0; y < rows; y += height {
		for x := 0; x < all.pixels; x += width {
			for p := range w.panels {
				w.rows(run{all.y + y, x, min(width, all.pixels-x)}, min(height, rows-y), &w.panels[p])
			}
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

// blocksOutside says whether to pass all panels over each block: if their weights
// are near, or if reading them again for every block costs less than reading the
// input again for every panel. Weights too many for the second cache are read
// once.
func (w *work) blocksOutside(blocks int) bool {
	weights := 0
	for i := range w.panels {
		weights += len(w.panels[i].data)
	}
	inputs := (w.part.Y1 - w.part.Y0) * w.t.StrideH * w.t.SrcRow
	return weights <= near || weights <= 8*near && weights*blocks < inputs*len(w.panels)
}

// contiguous says whether pixels follow each other without a gap, from the
// last of a row to the first of the next, in source, residual and output.
func (w *work) contiguous() bool {
	t := w.t
	return t.KH == 1 && t.KW == 1 && t.StrideH == 1 && t.StrideW == 1 &&
		t.SrcRow == t.OW*t.InC && t.DstRow == t.OW*t.DstStep && (t.Res == nil || t.ResRow == t.OW*t.OutC)
}

// rows computes one panel of runs, one below the other: of each as many tiles of the
// first shape as leave a rest that those of the last shape fill; if there is no such
// number, as many as fit, and the last tile begins early enough to end with the run.
func (w *work) rows(r run, rows int, p *panel) {
	first, last := w.micro.Shapes[0], w.micro.Shapes[len(w.micro.Shapes)-1]
	n := r.pixels / first.MR
	for n > 0 && (r.pixels-n*first.MR)%last.MR != 0 {
		n--
	}
	if r.pixels%last.MR != 0 && n == 0 {
		n = r.pixels / first.MR
	}
	w.begin(p)
	r = w.tiles(first, n, r, rows, p)
	r = w.tiles(last, r.pixels/last.MR, r, rows, p)
	if r.pixels > 0 {
		for range rows {
			w.tail(r, p)
			r.y++
		}
	}
}

// begin sets what all tiles of a panel share.
func (w *work) begin(p *panel) {
	w.args.Panel, w.args.Wide = pointer(p.data), p.wide
	if w.micro.Fit != nil {
		w.args.Offsets = unsafe.Pointer(unsafe.SliceData(w.offsetsOf(p)))
	}
}

// tail computes what is less than a tile.
func (w *work) tail(r run, p *panel) {
	s := w.micro.smallest()
	if w.source.spare {
		w.staged(s, r, 0, p)
		return
	}
	if before := s.MR - r.pixels; r.x >= before {
		w.staged(s, run{r.y, r.x - before, r.pixels}, before, p)
		return
	}
	// The part is smaller than a tile: repeat one pixel's window.
	step := w.args.SrcStep
	for ; r.pixels > 0; r.pixels-- {
		w.args.SrcStep = 0
		w.staged(s, run{r.y, r.x, 1}, 0, p)
		r.x++
	}
	w.args.SrcStep = step
}

// tiles computes the first n tiles of each of the runs and returns the rest. The
// assembly goes along a row or, if those are more tiles at a time, down the rows.
func (w *work) tiles(s Shape, n int, r run, rows int, p *panel) run {
	rest := run{r.y, r.x + n*s.MR, r.pixels - n*s.MR}
	if p.lanes < w.micro.NR {
		for range rows {
			for i := range n {
				w.staged(s, run{r.y, r.x + i*s.MR, s.MR}, 0, p)
			}
			r.y++
		}
		return rest
	}
	if rows > n {
		for range n {
			w.call(s, r, rows, w.below, p)
			r.x += s.MR
		}
		return rest
	}
	beside := step{s.MR * w.source.pixel, s.MR * w.t.DstStep, s.MR * w.args.ResStep}
	for range rows {
		w.call(s, r, n, beside, p)
		r.y++
	}
	return rest
}

// call computes n tiles, each a step from the one before.
func (w *work) call(s Shape, r run, n int, next step, p *panel) {
	t, a := w.t, &w.args
	a.Tiles, a.SrcNext, a.DstNext, a.ResNext = n, next.src, next.dst, next.res
	a.Src = w.windowsAt(r, s, (n-1)*next.src)
	a.Dst = pointer(t.Dst[r.y*t.DstRow+r.x*t.DstStep+p.channel:][:(n-1)*next.dst+(s.MR-1)*t.DstStep+w.micro.NR])
	if t.Res != nil {
		a.Res = pointer(t.Res[r.y*t.ResRow+r.x*t.OutC+p.channel:][:(n-1)*next.res+(s.MR-1)*t.OutC+w.micro.NR])
	}
	s.Run(*a)
}

// windowsAt points to the windows of a tile, and of others up to some bytes ahead.
func (w *work) windowsAt(r run, s Shape, ahead int) unsafe.Pointer {
	from := &w.source
	first := r.y*from.row + (r.x-from.x0)*from.pixel
	end := first + ahead + (s.MR-1)*w.args.SrcStep + (w.runs-1)*from.run + w.steps*w.micro.KR
	return pointer(from.data[first:end])
}

// staged runs one tile whose residuals and outputs pass through scratch: not
// all of its channels exist, or not all of its pixels are to be stored. The
// output may lie in the residual's memory, so that nothing may be computed
// from a pixel that is already stored. The first skip pixels are not used.
func (w *work) staged(s Shape, r run, skip int, p *panel) {
	t, lanes, a := w.t, w.micro.NR, w.args
	a.Tiles, a.Src = 1, w.windowsAt(r, s, 0)
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
	w.setArgs()
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
				w.rows(r, 1, p)
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
