package main

import (
	"slices"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// tileKind is what the time of a tile depends on.
type tileKind struct {
	function        string
	runs, steps     int
	residual, shift bool
	wide            bool // with all flags set
}

// tileCount is how often a thread computes tiles of one kind.
type tileCount struct {
	calls, tiles int
	flags        int // set ones, of all tiles
	sample       tile.Args
}

// outputKind is what the time of requantization depends on, for int16 tensors:
// the types of its tensors.
type outputKind struct{ wideSource, residual, wideResidual, wideOutput bool }

// outputCount is how often a thread requantizes outputs of one kind.
type outputCount struct {
	calls, vectors int
	sample         tile.RequantizeArgs
}

// share is one thread's work in a convolution.
type share struct {
	tiles   map[tileKind]*tileCount
	outputs map[outputKind]*outputCount
	copies  int // short runs of bytes copied in Go
}

// recorder runs the driver of package tile with micro-kernels that note what
// they are asked to do instead of doing it.
type recorder struct {
	micro   *tile.Micro
	conv    *int8.Conv
	share   share
	windows int // pixels whose windows were copied, once for each panel
	panels  map[unsafe.Pointer]bool
}

func newRecorder(k kernel) *recorder {
	r := &recorder{micro: &tile.Micro{Name: k.name, NR: k.channels, KR: k.depth, Wide: k.wide, WideSteps: k.wideSteps}}
	for _, s := range k.shapes {
		r.micro.Shapes = append(r.micro.Shapes, tile.Shape{MR: s.pixels, Run: func(a tile.Args) { r.note(s, a) }})
	}
	r.micro.Sums = tile.Shape{MR: k.sums.pixels, Run: func(a tile.Args) {
		r.count(k.sums, a)
		r.windows += a.Tiles * k.sums.pixels
	}}
	r.micro.Requantize = r.noteOutputs
	return r
}

func (r *recorder) noteOutputs(a tile.RequantizeArgs) {
	kind := outputKind{a.SumsLow != nil, a.Res != nil, a.ResLow != nil, a.DstLow != nil}
	c := r.share.outputs[kind]
	if c == nil {
		c = &outputCount{sample: a}
		r.share.outputs[kind] = c
	}
	c.calls++
	c.vectors += a.Length / tile.RequantizeVector
}

func (r *recorder) note(s shape, a tile.Args) {
	r.count(s, a)
	if a.SrcRow == 0 { // the windows were copied together
		r.windows += s.pixels
	}
	if a.DstStep != r.conv.OutC { // outputs and residuals go through scratch
		r.share.copies += s.pixels
		if a.Res != nil {
			r.share.copies += s.pixels
		}
	}
}

func (r *recorder) count(s shape, a tile.Args) {
	kind := tileKind{s.function, a.Runs, a.Steps, a.Res != nil, a.Shift != 0, false}
	c := r.share.tiles[kind]
	if c == nil {
		c = &tileCount{sample: a}
		r.share.tiles[kind] = c
	}
	c.calls++
	c.tiles += a.Tiles
	c.flags += a.Tiles * a.Wide
	r.panels[a.Panel] = true
}

// layer is the work of each thread in a convolution of some inputs, and the
// bytes of its packed weights. srcRow and dstRow are the bytes from row to row.
func (r *recorder) layer(l *int8.Layer, in []*int8.Tensor, srcRow, dstRow, threads int) ([]share, int) {
	r.conv = l.Op.(*int8.Conv)
	var packed int8.Convolution
	if hasInt16(l, in) {
		packed = r.micro.PackInt16(l, in[0])
	} else {
		packed = r.micro.Pack(l)
	}
	t := &int8.ConvTask{Conv: r.conv, OH: l.Out.Shape.H, OW: l.Out.Shape.W, SrcRow: srcRow, DstRow: dstRow}
	t.Src, t.SrcLow = planes(in[0], (t.OH*t.StrideH+t.KH)*srcRow+int8.ReadAhead)
	t.Dst, t.DstLow = planes(&l.Out, t.OH*dstRow)
	if t.Residual != 0 {
		t.Res, t.ResLow = planes(in[1], t.OH*dstRow)
		t.ResRow = dstRow
	}
	scratch := make([]int64, packed.Scratch())
	var shares []share
	for _, part := range split(l, r.micro.NR, threads) {
		r.share = share{tiles: map[tileKind]*tileCount{}, outputs: map[outputKind]*outputCount{}}
		r.windows, r.panels = 0, map[unsafe.Pointer]bool{}
		packed.Run(t, part, scratch)
		r.share.copies += r.windows / max(len(r.panels), 1) * t.Groups * t.KH
		shares = append(shares, r.share)
	}
	return shares, packed.Bytes()
}

// hasInt16 says whether an activation of the layer is int16.
func hasInt16(l *int8.Layer, in []*int8.Tensor) bool {
	return l.Out.Type == int8.Int16 || slices.ContainsFunc(in, func(t *int8.Tensor) bool { return t.Type == int8.Int16 })
}

// planes is memory for an activation of so many bytes, see int8.Split.
func planes(t *int8.Tensor, bytes int) (data, low []int8.Value) {
	if t.Type == int8.Int16 {
		low = make([]int8.Value, bytes)
	}
	return make([]int8.Value, bytes), low
}

// split is how package runtime shares a layer among threads.
func split(l *int8.Layer, channels, threads int) []int8.Part {
	shape := l.Out.Shape
	conv, isConv := l.Op.(*int8.Conv)
	byRows := isConv && shape.Elements() > len(conv.Weight)
	length, unit := shape.C, channels
	if byRows {
		length, unit = shape.H, 1
	}
	if isConv && conv.Groups > 1 && !byRows {
		unit = conv.OutC / conv.Groups
	}
	blocks := (length + unit - 1) / unit
	n := min(threads, blocks)
	var parts []int8.Part
	for i := range n {
		part := int8.Part{Y1: shape.H, C1: shape.C}
		lo, hi := blocks*i/n*unit, min(blocks*(i+1)/n*unit, length)
		if byRows {
			part.Y0, part.Y1 = lo, hi
		} else {
			part.C0, part.C1 = lo, hi
		}
		parts = append(parts, part)
	}
	return parts
}

// words is a struct of 8-byte fields as assembly finds it on the stack.
func words[T tile.Args | tile.RequantizeArgs | tile.DenseArgs | tile.MaxArgs](args T) []uint64 {
	size := unsafe.Sizeof(args) / 8
	w := make([]uint64, size)
	copy(w, unsafe.Slice((*uint64)(unsafe.Pointer(&args)), size))
	return w
}

// rowBytes is the bytes from row to row of each tensor that is a plane, the
// padding for the convolutions that read it included.
func rowBytes(n *int8.Network) map[string]int {
	left, right := map[string]int{}, map[string]int{}
	shapes := map[string]*int8.Tensor{int8.InputName: &n.Input}
	for i := range n.Layers {
		l := &n.Layers[i]
		if conv, ok := l.Op.(*int8.Conv); ok {
			name := l.Inputs[0]
			left[name] = max(left[name], conv.Left)
			right[name] = max(right[name], (l.Out.Shape.W-1)*conv.StrideW+conv.KW-conv.Left-shapes[name].Shape.W)
		}
		shapes[l.Name] = &l.Out
	}
	rows := map[string]int{}
	for name, t := range shapes {
		rows[name] = (left[name] + t.Shape.W + right[name]) * t.Shape.C
	}
	return rows
}
