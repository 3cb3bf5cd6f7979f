package main

import (
	"iter"
	"unsafe"

	"edgeclassify/arm64"
	"edgeclassify/int8"
	"edgeclassify/int8/tile"
	"edgeclassify/runtime"
)

// tileKind is what the time of a tile depends on.
type tileKind struct {
	function        string
	runs, steps     int
	residual, shift bool
	wide            bool // with all flags set
}

// tileCount is how often tiles of one kind are computed.
type tileCount struct {
	calls, panels, tiles int
	flags                int // set ones, of all tiles
	sample               tile.Args
}

// outputKind is what the time of requantization depends on, for int16 tensors:
// the types of its tensors.
type outputKind struct{ int16Source, residual, int16Residual, int16Output bool }

// outputCount is how often outputs of one kind are requantized.
type outputCount struct {
	calls, vectors int
	sample         tile.RequantizeArgs
}

// maxKind is the length of runs of which maxima are taken.
type maxKind struct{ vectors int }

type maxCount struct{ calls, runs int }

// denseKind is the length of a classifier's rows.
type denseKind struct{ vectors int }

type denseCount struct{ calls, rows int }

// chunk is what a kernel is asked to do for a part of a layer.
type chunk struct {
	tiles    map[tileKind]*tileCount
	outputs  map[outputKind]*outputCount
	maxima   map[maxKind]*maxCount
	dense    map[denseKind]*denseCount
	winograd map[winogradKind]*winogradCount
	copies   int // short runs of bytes copied in Go
}

// recorder is a kernel that notes what it is asked to do instead of doing it.
type recorder struct {
	micro    *tile.Micro
	winograd arm64.Winograd
	chunks   []chunk // of the layer at work
	packed   int     // bytes of its weights, if they are

	task    *int8.ConvTask
	windows int // pixels whose windows were copied, once for each panel
	panels  map[unsafe.Pointer]bool
}

func newRecorder(d arm64.Description) *recorder {
	r := &recorder{winograd: d.Winograd}
	f := arm64.Functions{Tiles: map[string]func(tile.Args){}, Requantize: r.noteOutputs, Winograd: r.noteWinograd()}
	for _, t := range d.Tiles {
		f.Tiles[t.Function] = func(a tile.Args) { r.note(t, a) }
	}
	f.Tiles[d.Sums.Function] = func(a tile.Args) {
		r.count(d.Sums, a)
		r.windows += a.Tiles * d.Sums.MR
	}
	r.micro = d.Micro(f)
	return r
}

// kernel is for package runtime, which tells where chunks of convolutions and of
// the classifier begin. All that a max pool asks for is one chunk.
func (r *recorder) kernel() int8.Kernel {
	k := r.micro.Kernel()
	pack, packInt16 := k.Convolution, k.ConvolutionInt16
	k.Convolution = func(l *int8.Layer) int8.Convolution { return recorded{pack(l), r} }
	k.ConvolutionInt16 = func(l *int8.Layer, in *int8.Tensor) int8.Convolution { return recorded{packInt16(l, in), r} }
	k.Dense = r.noteDense
	k.Max = r.noteMax
	return k
}

func (r *recorder) begin() {
	r.chunks = append(r.chunks, chunk{
		tiles: map[tileKind]*tileCount{}, outputs: map[outputKind]*outputCount{},
		maxima: map[maxKind]*maxCount{}, dense: map[denseKind]*denseCount{}, winograd: map[winogradKind]*winogradCount{},
	})
}

// last is the chunk at work.
func (r *recorder) last() *chunk { return &r.chunks[len(r.chunks)-1] }

// recorded is a convolution whose chunks are noted.
type recorded struct {
	int8.Convolution
	*recorder
}

// Run implements int8.Convolution.
func (c recorded) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	c.begin()
	c.task, c.packed, c.windows, c.panels = t, c.Bytes(), 0, map[unsafe.Pointer]bool{}
	c.Convolution.Run(t, part, scratch)
	groups := t.Groups
	if t.Depthwise() {
		groups = len(c.panels)
	}
	c.last().copies += c.windows / max(len(c.panels), 1) * groups * t.KH
}

// layers has the runtime run the network with this kernel and yields each layer,
// whose chunks the recorder holds until the next one.
func (r *recorder) layers(n *int8.Network, threads int) (*runtime.Plan, iter.Seq[*int8.Layer], error) {
	plan, err := runtime.CompileFor(n, r.kernel(), runtime.Options{Threads: threads})
	if err != nil {
		return nil, nil, err
	}
	return plan, func(yield func(*int8.Layer) bool) {
		s := plan.NewSession()
		defer s.Close()
		layers, err := s.Layers(make([]uint8, n.Input.Shape.Elements()))
		if err != nil {
			return // the session is open, and the image fits
		}
		for l := range layers {
			if !yield(l) {
				return
			}
			r.chunks, r.packed = nil, 0
		}
	}, nil
}

// entry is a map's of that key, made if need be.
func entry[K comparable, V any](m map[K]*V, key K) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

func (r *recorder) noteOutputs(a tile.RequantizeArgs) {
	c := entry(r.last().outputs, outputKind{a.SumsLow != nil, a.Res != nil, a.ResLow != nil, a.DstLow != nil})
	c.calls++
	c.vectors += a.Length / tile.RequantizeVector
	c.sample = a
}

func (r *recorder) noteMax(_, _ []int8.Value, n, count, _, _ int) {
	if len(r.chunks) == 0 {
		r.begin()
	}
	c := entry(r.last().maxima, maxKind{vectors(n)})
	c.calls++
	c.runs += count
}

func (r *recorder) noteDense(d *int8.Dense, _ []int32, _ []int16, lo, hi int) {
	r.begin()
	c := entry(r.last().dense, denseKind{vectors(d.In)})
	c.calls++
	c.rows += hi - lo
}

// vectors is those that hold n values.
func vectors(n int) int { return (n + tile.Vector - 1) / tile.Vector }

func (r *recorder) note(t arm64.Tile, a tile.Args) {
	r.count(t, a)
	if a.SrcRow == 0 { // the windows were copied together
		r.windows += a.Tiles * t.MR * a.Panels
	} else if r.task.Depthwise() {
		r.windows += a.Tiles * t.MR * a.Panels
	}
	if a.DstStep != r.task.DstStep { // outputs and residuals go through scratch
		r.last().copies += t.MR
		if a.Res != nil {
			r.last().copies += t.MR
		}
	}
}

func (r *recorder) count(t arm64.Tile, a tile.Args) {
	c := entry(r.last().tiles, tileKind{t.Function, a.Runs, a.Steps, a.Res != nil, a.Shift != 0, false})
	c.calls++
	c.panels += a.Panels
	c.tiles += a.Tiles * a.Panels
	c.flags += a.Tiles * a.Wide
	for i := range a.Panels {
		r.panels[unsafe.Add(a.Panel, i*a.PanelNext)] = true
	}
	c.sample = a
	c.sample.Panels = 1
}

// words is a struct of 8-byte fields as assembly finds it on the stack.
func words[T tile.Args | tile.RequantizeArgs | tile.DenseArgs | tile.MaxArgs | tile.WinogradInput | tile.WinogradMultiply | tile.WinogradOutput](args T) []uint64 {
	size := unsafe.Sizeof(args) / 8
	w := make([]uint64, size)
	copy(w, unsafe.Slice((*uint64)(unsafe.Pointer(&args)), size))
	return w
}
