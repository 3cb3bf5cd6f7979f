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
	inputs int // channels of a group
	depth  int // values of a window, of those channels
	runs   int // rows of a window; 1 if gathered
	steps  int // steps of a row
	chunk  int // pixels whose windows are gathered at a time; 0 if never gathered
	strip  int // bytes of a row of a chunk's windows, which overlap as in the source; 0 if copied one by one
	run    int // values of a row that are packed together
	panels []panel
	// Windows are read where they lie, unless the pixels of their rows are apart.
	beside bool
}

// Convolution is that of layer l, whose Op is an *int8.Conv.
func (m *Micro) Convolution(l *int8.Layer) int8.Convolution {
	if w := m.winograd(l); w != nil {
		return w
	}
	if d := m.depthwise(l); d != nil {
		return d
	}
	if v := m.vector(l); v != nil {
		return v
	}
	if w := m.words(l); w != nil {
		return w
	}
	conv := l.Op.(*int8.Conv)
	c := &Conv{conv: conv, micro: m, inputs: conv.InC / conv.Groups}
	c.depth = conv.KH * conv.KW * c.inputs
	c.run = conv.KW * conv.InC
	c.runs, c.steps = conv.KH, ceil(c.run, m.KR)
	if m.gathers(conv, l.Out.Shape) {
		c.run = c.depth
		c.runs, c.steps = 1, ceil(c.run, m.KR)
		c.chunk = min(l.Out.Shape.W, m.pixels(c.steps*m.KR+align))
	} else {
		c.beside = true
		if conv.KW > 1 {
			c.chunk = min(l.Out.Shape.W, m.pixels(conv.KH*conv.StrideW*c.inputs))
			c.strip = ((c.chunk+m.smallest().MR)*conv.StrideW+conv.KW)*c.inputs + m.KR
		}
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
func (c *Conv) Pack(memory []int8.Value) { c.pack(c.conv, memory) }

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
	bytes := view[int8.Value](scratch)
	windows, tile := c.scratch()
	dh, _ := t.Steps()
	w := work{
		Conv: c, t: t, part: part, panels: c.between(part.C0, part.C1),
		source:  source{data: t.Src, row: t.StrideH * t.SrcRow, pixel: t.StrideW * t.SrcStep, run: dh * t.SrcRow},
		windows: bytes[:windows], out: bytes[windows:][:tile], res: bytes[windows+tile:][:tile],
		offsets: view[uint32](scratch[ceil(windows+2*tile, 8):])[:c.offsets()],
	}
	if c.beside && (t.KW == 1 || t.SrcStep == t.InC) {
		w.direct()
	} else {
		w.gathered()
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
	extent  int // bytes from a window's beginning to the end of its last step
}

// step is the bytes from one tile to the next.
type step struct{ src, dst, res int }

// source is where windows are read: that of output pixel (y, x) begins at
// (y-y0)*row + (x-x0)*pixel.
type source struct {
	data  []int8.Value
	row   int // bytes from one output row's windows to the next
	pixel int // bytes from one pixel's window to the next
	run   int // bytes from one row of a window to the next
	y0    int
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
	w.extent = (w.runs-1)*w.source.run + w.steps*w.micro.KR
	w.below = step{w.source.row, t.DstRow, 0}
	if t.Res != nil {
		w.args.ResStep, w.below.res = t.ResStep, t.ResRow
	}
}

// direct computes with windows read in place. Panels that stay in the first cache
// together pass over a block of pixels and then over the next; one that fills it alone
// passes over all pixels. So weights are read once.
func (w *work) direct() {
	w.setArgs()
	all, rows := run{y: w.part.Y0, pixels: w.t.OW}, w.part.Y1-w.part.Y0
	if w.contiguous() {
		all.pixels, rows = rows*all.pixels, 1
	}
	_, _, size := w.layout()
	n, width, height := w.micro.Group/size, all.pixels, rows
	if n > 1 {
		width, height = w.block(all.pixels, rows)
	}
	for rest := w.panels; len(rest) > 0; {
		panels := rest[:min(max(n, 1), len(rest))]
		rest = rest[len(panels):]
		for y := 0; y < rows; y += height {
			for r := (run{y: all.y + y}); r.x < all.pixels; r.x += r.pixels {
				if r.pixels = all.pixels - r.x; r.pixels >= width+w.micro.Shapes[0].MR {
					r.pixels = width // else less than a tile would be left
				}
				w.rows(r, min(height, rows-y), panels)
			}
		}
	}
}

// block is the width and height of pixels whose windows and outputs fill Micro.Block,
// whole tiles. Of outputs whole cache lines count. Large windows overlap more below
// each other than beside.
func (w *work) block(pixels, rows int) (width, height int) {
	t, tile, out := w.t, w.micro.Shapes[0].MR, min(align, w.part.C1-w.part.C0)
	if t.Res != nil && &t.Res[0] != &t.Dst[0] {
		out *= 2
	}
	if t.KH > 1 {
		width = min(tile, pixels)
		row := (width*t.StrideW + t.KW) * t.InC
		height = min(max((w.micro.Block-t.KH*row)/(t.StrideH*row+width*out), 1), rows)
		return width, height
	}
	width = min(w.micro.pixels(t.InC+out), pixels)
	height = max(w.micro.Block/(t.InC+out)/width, 1)
	if width < pixels {
		height = 1
	}
	return width, height
}

// pixels are those of the given bytes that fill Block: whole tiles, and at least one.
func (m *Micro) pixels(bytes int) int {
	tile := m.Shapes[0].MR
	return max(m.Block/bytes/tile, 1) * tile
}

// contiguous says whether pixels follow each other without a gap, from the
// last of a row to the first of the next, in source, residual and output.
func (w *work) contiguous() bool {
	t := w.t
	return t.KH == 1 && t.KW == 1 && t.StrideH == 1 && t.StrideW == 1 &&
		t.SrcRow == t.OW*t.SrcStep && t.DstRow == t.OW*t.DstStep && (t.Res == nil || t.ResRow == t.OW*t.ResStep)
}

// rows computes panels of runs, one below the other: of each as many tiles of the
// first shape as leave a rest that those of the last shape fill; if there is no such
// number, as many as fit, and the last tile begins early enough to end with the run.
func (w *work) rows(r run, rows int, panels []panel) {
	first, last := w.micro.Shapes[0], w.micro.Shapes[len(w.micro.Shapes)-1]
	n := r.pixels / first.MR
	for n > 0 && (r.pixels-n*first.MR)%last.MR != 0 {
		n--
	}
	if r.pixels%last.MR != 0 && n == 0 {
		n = r.pixels / first.MR
	}
	r = w.tiles(first, n, r, rows, panels)
	r = w.tiles(last, r.pixels/last.MR, r, rows, panels)
	if r.pixels == 0 {
		return
	}
	s, t := w.micro.smallest(), w.t
	if before := s.MR - r.pixels; r.x-before >= w.source.x0 && (t.Res == nil || &t.Res[0] != &t.Dst[0]) {
		w.tiles(s, 1, run{r.y, r.x - before, s.MR}, rows, panels) // some pixels are stored twice
		return
	}
	for i := range panels {
		for y := range rows {
			w.tail(run{r.y + y, r.x, r.pixels}, &panels[i])
		}
	}
}

// tail computes what is less than a tile.
func (w *work) tail(r run, p *panel) {
	s := w.micro.smallest()
	before := s.MR - r.pixels
	switch {
	case w.source.spare:
		w.staged(s, r, 0, p)
	case r.x >= before:
		w.staged(s, run{r.y, r.x - before, r.pixels}, before, p)
	default: // the part is smaller than a tile: repeat one pixel's window
		w.args.SrcStep = 0
		for i := range r.pixels {
			w.staged(s, run{r.y, r.x + i, 1}, 0, p)
		}
		w.args.SrcStep = w.source.pixel
	}
}

// tiles computes the first n tiles of each of the runs and returns the rest. The
// assembly goes along a row or, if those are more tiles at a time, down the rows.
func (w *work) tiles(s Shape, n int, r run, rows int, panels []panel) run {
	rest := run{r.y, r.x + n*s.MR, r.pixels - n*s.MR}
	if last := panels[len(panels)-1:]; last[0].lanes < w.micro.NR {
		panels = panels[:len(panels)-1]
		if s.Half != nil && 2*last[0].lanes == w.micro.NR {
			w.calls(Shape{MR: s.MR, Run: s.Half}, n, r, rows, last)
		} else {
			for i := range rows * n {
				w.staged(s, run{r.y + i/n, r.x + i%n*s.MR, s.MR}, 0, &last[0])
			}
		}
	}
	if len(panels) > 0 {
		w.calls(s, n, r, rows, panels)
	}
	return rest
}

func (w *work) calls(s Shape, n int, r run, rows int, panels []panel) {
	if rows > n {
		for i := range n {
			w.call(s, run{r.y, r.x + i*s.MR, s.MR}, rows, w.below, panels)
		}
		return
	}
	beside := step{s.MR * w.source.pixel, s.MR * w.t.DstStep, s.MR * w.args.ResStep}
	for i := range rows {
		w.call(s, run{r.y + i, r.x, n * s.MR}, n, beside, panels)
	}
}

// call computes n tiles, each a step from the one before, of panels without gaps.
func (w *work) call(s Shape, r run, n int, next step, panels []panel) {
	t, a, last := w.t, &w.args, &panels[len(panels)-1]
	channels := last.channel + last.lanes - panels[0].channel
	a.Tiles, a.SrcNext, a.DstNext, a.ResNext = n, next.src, next.dst, next.res
	a.Src = w.windowsAt(r, s, (n-1)*next.src)
	at := r.y*t.DstRow + r.x*t.DstStep + panels[0].channel
	dst := t.Dst[at:][:(n-1)*next.dst+(s.MR-1)*t.DstStep+channels]
	var res []int8.Value
	if t.Res != nil {
		res = t.Res[r.y*t.ResRow+r.x*t.ResStep+panels[0].channel:][:(n-1)*next.res+(s.MR-1)*t.ResStep+channels]
	}
	if w.micro.Panels {
		a.Dst, a.Res = pointer(dst), pointer(res)
		w.begin(panels)
		s.Run(*a)
		return
	}
	for i := range panels {
		a.Dst = pointer(dst[i*w.micro.NR:])
		if res != nil {
			a.Res = pointer(res[i*w.micro.NR:])
		}
		w.begin(panels[i : i+1])
		s.Run(*a)
	}
}

// begin sets what all tiles of panels share.
func (w *work) begin(panels []panel) {
	p, a := &panels[0], &w.args
	a.Panel, a.Panels, a.PanelNext, a.Wide = pointer(p.data), len(panels), len(p.data), 0
	for i := range panels {
		a.Wide += panels[i].wide
	}
	if w.micro.Fit != nil {
		a.Offsets = unsafe.Pointer(unsafe.SliceData(w.offsetsOf(p)))
	}
}

// windowsAt points to the windows of a tile, and of others up to some bytes ahead.
func (w *work) windowsAt(r run, s Shape, ahead int) unsafe.Pointer {
	from := &w.source
	first := (r.y-from.y0)*from.row + (r.x-from.x0)*from.pixel
	end := first + ahead + (s.MR-1)*w.args.SrcStep + w.extent
	return pointer(from.data[first:end])
}

// staged runs one tile whose residuals and outputs pass through scratch: not
// all of its channels exist, or not all of its pixels are to be stored. The
// output may lie in the residual's memory, so that nothing may be computed
// from a pixel that is already stored. The first skip pixels are not used.
func (w *work) staged(s Shape, r run, skip int, p *panel) {
	t, lanes := w.t, w.micro.NR
	if s.Half != nil && 2*p.lanes <= lanes {
		lanes, s.Run = lanes/2, s.Half
	}
	w.begin(unsafe.Slice(p, 1))
	a := w.args
	a.Tiles, a.Src = 1, w.windowsAt(r, s, 0)
	end := min(s.MR, skip+r.pixels)
	at := func(row, step, pixel int) int { return r.y*row + (r.x+pixel)*step + p.channel }
	if t.Res != nil {
		a.Res, a.ResStep = pointer(w.res[:s.MR*lanes]), lanes
		for i := skip; i < end; i++ {
			copy(w.res[i*lanes:], t.Res[at(t.ResRow, t.ResStep, i):][:p.lanes])
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
			for rest := w.panels; len(rest) > 0; {
				n := sameGroup(rest)
				if w.strip > 0 {
					w.copyStrips(r)
				} else {
					w.copyWindows(w.windows, w.t, w.t.Src, r, rest[0].group)
				}
				w.rows(r, 1, rest[:n])
				rest = rest[n:]
			}
		}
	}
}

// sameGroup is how many of the first panels are of one group.
func sameGroup(panels []panel) int {
	n := 1
	for n < len(panels) && panels[n].group == panels[0].group {
		n++
	}
	return n
}

// copyWindows copies the windows of a run in src, one group's channels. What
// follows a window up to whole steps meets weights of zero.
func (c *Conv) copyWindows(windows []int8.Value, t *int8.ConvTask, src []int8.Value, r run, group int) {
	length, runs := t.Runs()
	dh, dw := t.Steps()
	first := group * c.inputs
	for i := range r.pixels {
		dst := windows[i*c.steps*c.micro.KR:]
		for ky := range t.KH {
			at := (r.y*t.StrideH+ky*dh)*t.SrcRow + (r.x+i)*t.StrideW*t.SrcStep + first
			for range runs {
				copyRun(dst[:length], src[at:])
				dst, at = dst[length:], at+dw*t.SrcStep
			}
		}
	}
}

// copyStrips copies the rows of a run's windows, all channels.
func (w *work) copyStrips(r run) {
	t := w.t
	dh, _ := t.Steps()
	for ky := range t.KH {
		dst := w.windows[ky*w.strip:]
		src := t.Src[(r.y*t.StrideH+ky*dh)*t.SrcRow+r.x*t.StrideW*t.SrcStep:]
		for i := range (r.pixels-1)*t.StrideW + t.KW {
			copyRun(dst[i*t.InC:][:t.InC], src[i*t.SrcStep:])
		}
	}
}

// copyRun is copy, without a call for few bytes: the first and the last 16.
func copyRun(dst, src []int8.Value) {
	if n := len(dst); n >= 16 && n <= 32 {
		*(*[16]int8.Value)(dst) = [16]int8.Value(src)
		*(*[16]int8.Value)(dst[n-16:]) = [16]int8.Value(src[n-16:])
	} else {
		copy(dst, src)
	}
}

// view is scratch memory as values of another type.
func view[T int8.Value | int32 | uint32](scratch []int64) []T {
	var value T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(scratch))), 8*len(scratch)/int(unsafe.Sizeof(value)))
}

func pointer[T int8.Value | int32](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }
