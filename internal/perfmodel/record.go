package main

import (
	"iter"
	"unsafe"

	"edgeclassify/arm64"
	"edgeclassify/int8"
	"edgeclassify/int8/tile"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// call is one of assembly.
type call struct {
	kernel
	args     []uint64 // as assembly finds them
	pointers uint64   // which of them are, a bit for each
	products int      // of a tile
	flags    int      // of tiles: set ones
	copies   int      // short runs of bytes copied in Go
	// What Go code reads and writes beside: windows and residuals that are brought to
	// scratch, outputs that are taken from there.
	moves []move
}

func newCall(k kernel, args any) *call {
	c := &call{kernel: k}
	c.args, c.pointers = layout(args)
	return c
}

// times is how many groups a call does.
func (c *call) times() float64 { return c.repeats.of(c.args) * c.groups.of(c.args) }

// move is some neighbouring bytes that Go code accesses.
type move struct {
	at      unsafe.Pointer
	bytes   int
	kind    kind
	private bool // in memory that each thread has for itself
}

// chunk is what a kernel is asked to do for a part of a layer.
type chunk struct{ calls []*call }

// recorder is a kernel that notes what it is asked to do instead of doing it.
type recorder struct {
	micro   *tile.Micro
	chunks  []chunk // of the step at work
	packed  int     // bytes of its weights, if they are
	scratch []int64 // the working memory, of which each thread has one of its own: bands of chains, and
	own     []int64 // what the convolution at work needs

	task     *int8.ConvTask
	part     int8.Part
	panels   map[unsafe.Pointer]*progress
	gathered map[int]bool // windows that were copied, see gather
	// tensors is where they lie, as far as convolutions told.
	tensors map[*int8.Layer][2]unsafe.Pointer // the first input and the output
}

// progress is where a panel is: pixels behind it if all pass through scratch, else the
// first row of its last calls, their end, and how many have passed through scratch since.
type progress struct{ channel, pixels, y, x, staged int }

func newRecorder(d arm64.Description) *recorder {
	r := &recorder{tensors: map[*int8.Layer][2]unsafe.Pointer{}}
	r.micro = d.Micro(r.functions(d))
	return r
}

// kernel is for package runtime.
func (r *recorder) kernel() int8.Kernel {
	k := r.micro.Kernel()
	pack, packInt16 := k.Convolution, k.ConvolutionInt16
	k.Convolution = func(l *int8.Layer) int8.Convolution { return recorded{pack(l), r, l} }
	k.ConvolutionInt16 = func(l *int8.Layer, in *int8.Tensor) int8.Convolution { return recorded{packInt16(l, in), r, l} }
	return k
}

// add notes a call of the chunk at work.
func (r *recorder) add(c *call) {
	last := &r.chunks[len(r.chunks)-1]
	last.calls = append(last.calls, c)
}

// recorded is a convolution whose calls are noted.
type recorded struct {
	int8.Convolution
	*recorder
	layer *int8.Layer
}

// Run implements int8.Convolution.
func (c recorded) Run(t *int8.ConvTask, part int8.Part, scratch []int64) {
	c.task, c.part, c.packed, c.scratch, c.own = t, part, c.Bytes(), scratch, scratch[:c.Scratch()]
	c.panels, c.gathered = map[unsafe.Pointer]*progress{}, map[int]bool{}
	if _, ok := c.tensors[c.layer]; !ok { // a part of a chain begins elsewhere
		c.tensors[c.layer] = [2]unsafe.Pointer{pointer(t.Src), pointer(t.Dst)}
	}
	c.Convolution.Run(t, part, scratch)
}

func pointer[T any](s []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// steps has the runtime run some frames with this kernel and yields each step with the
// frame's number. The recorder holds its chunks until the next one.
func (r *recorder) steps(n *int8.Network, threads, frames int) (*runtime.Plan, iter.Seq2[int, int], error) {
	plan, err := runtime.CompileFor(n, r.kernel(), runtime.Options{Threads: threads})
	if err != nil {
		return nil, nil, err
	}
	return plan, func(yield func(int, int) bool) {
		s := plan.NewSession()
		defer s.Close()
		for frame := range frames {
			chunks, err := s.Chunks(make([]uint8, n.Input.Shape.Elements()))
			if err != nil {
				return // the session is open, and the image fits
			}
			at := 0
			for step := range chunks {
				if step != at {
					if !yield(frame, at) {
						return
					}
					at, r.chunks, r.packed = step, nil, 0
				}
				r.chunks = append(r.chunks, chunk{})
			}
			if !yield(frame, at) {
				return
			}
			r.chunks, r.packed = nil, 0
		}
	}, nil
}

// place is where a tensor lies, or a place of its own where no convolution has told.
func (r *recorder) place(n *int8.Network, id tensor.ID) uint64 {
	for i := range n.Layers {
		l := &n.Layers[i]
		if at, ok := r.tensors[l]; ok && l.Inputs[0] == id {
			return uint64(uintptr(at[0]))
		} else if ok && tensor.Output(i) == id {
			return uint64(uintptr(at[1]))
		}
	}
	return 1<<60 + uint64(id)<<32
}

// tiles notes a row of tiles.
func (r *recorder) tiles(t arm64.Tile, a tile.Args) *call {
	c := tileCall(t, r.micro.NR, r.micro.KR, a)
	c.flags = a.Tiles * a.Wide
	r.add(c)
	return c
}

// noteTiles notes tiles that requantize.
func (r *recorder) noteTiles(t arm64.Tile, a tile.Args) {
	c, task, n := r.tiles(t, a), r.task, a.Tiles*t.MR
	if a.SrcStep == 0 { // a pixel that is repeated
		n = 1
	}
	p := r.panels[a.Panel]
	if p == nil {
		p = &progress{channel: min(r.part.C0+len(r.panels)*r.micro.NR, task.OutC-1), y: -1}
		r.panels[a.Panel] = p
	}
	y, x := r.part.Y0+p.pixels/task.OW, p.pixels%task.OW
	if within(r.own, uintptr(a.Dst)) { // it goes through scratch
		if p.y >= 0 { // what no tile fits, at the end of each row
			y, x, n = p.y+p.staged, p.x, min(n, max(task.OW-p.x, 1))
		}
		p.pixels += n
		p.staged++
		r.stage(c, y, x, n, p.channel)
	} else {
		at := int(uintptr(a.Dst) - uintptr(pointer(task.Dst)))
		y, x, p.channel = at/task.DstRow, at%task.DstRow/task.DstStep, at%task.DstStep
		if p.y < 0 || p.staged > 0 {
			p.y, p.staged = y, 0
		}
		p.y, p.x = min(p.y, y), x+n
		for i := range a.Panels {
			q := *p
			q.channel += i * r.micro.NR
			r.panels[unsafe.Add(a.Panel, i*a.PanelNext)] = &q
		}
	}
	if within(r.own, uintptr(a.Src)) {
		r.gather(c, min(y, task.OH-1), x, n, p.channel)
	}
}

// stage notes that outputs and residuals of n pixels pass through scratch.
func (r *recorder) stage(c *call, y, x, n, channel int) {
	t := r.task
	for i := range n {
		to, from := y*t.DstRow+(x+i)*t.DstStep+channel, y*t.ResRow+(x+i)*t.ResStep+channel
		if c.copies++; to < len(t.Dst) {
			r.move(c, unsafe.Pointer(&t.Dst[to]), r.micro.NR, store)
		}
		if from < len(t.Res) {
			c.copies++
			r.move(c, unsafe.Pointer(&t.Res[from]), r.micro.NR, load)
		}
	}
}

// move notes that Go code accesses bytes.
func (r *recorder) move(c *call, at unsafe.Pointer, bytes int, k kind) {
	c.moves = append(c.moves, move{at, bytes, k, within(r.scratch, uintptr(at))})
}

// within says whether an address lies in some memory.
func within(memory []int64, address uintptr) bool {
	return address-uintptr(pointer(memory)) < uintptr(8*len(memory))
}

// gather notes that the windows of n pixels are copied to scratch, all channels of a group
// together, once.
func (r *recorder) gather(c *call, y, x, n, channel int) {
	t := r.task
	inputs, group := t.InC/t.Groups, channel*t.Groups/t.OutC
	if t.Depthwise() {
		inputs, group = r.micro.NR, channel/r.micro.NR
	}
	key := (group*t.OH+y)*t.OW + x
	if r.gathered[key] {
		return
	}
	r.gathered[key] = true
	dh, _ := t.Steps()
	row := (n-1)*t.StrideW*t.SrcStep + t.KW*t.SrcStep
	first := group * inputs
	for ky := range t.KH {
		from := (y*t.StrideH+ky*dh)*t.SrcRow + x*t.StrideW*t.SrcStep + first
		for at := from; at < min(from+row, len(t.Src)); at += t.SrcStep {
			if t.Groups == 1 {
				r.move(c, unsafe.Pointer(&t.Src[at]), min(row, len(t.Src)-at), load)
				break
			}
			r.move(c, unsafe.Pointer(&t.Src[at]), min(inputs, len(t.Src)-at), load)
		}
	}
	c.copies += n * t.KH
}

// noteSums notes tiles whose sums are stored, for int16 tensors. Their windows are copied
// for the first panel.
func (r *recorder) noteSums(t arm64.Tile, a tile.Args) {
	c := r.tiles(t, a)
	if r.panels[a.Panel] == nil {
		r.panels[a.Panel] = &progress{}
	}
	if len(r.panels) == 1 {
		task, y := r.task, r.part.Y0+r.panels[a.Panel].pixels/r.task.OW
		r.panels[a.Panel].pixels += a.Tiles * t.MR
		if at := min(y, r.task.OH-1) * task.StrideH * task.SrcRow; at < len(task.Src) {
			r.move(c, unsafe.Pointer(&task.Src[at]), min(task.KH*task.SrcRow, len(task.Src)-at), load)
		}
		c.copies += a.Tiles * t.MR * task.KH
	}
}
