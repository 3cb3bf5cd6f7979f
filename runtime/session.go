package runtime

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/internal/threadpool"
)

// Session runs a plan on pictures, one at a time. It owns the memory and the
// threads for that; a goroutine that wants to run at the same time takes a
// session of its own. Close it when done.
type Session struct {
	plan    *Plan
	arena   []byte
	image   []uint8
	ops     []func(part int8.Part, scratch []int64)
	scratch [][]int64 // one for each thread
	logits  []int32
	times   []time.Duration // where to record the steps' times; nil for nowhere
	pool    *threadpool.Pool
	closed  atomic.Bool
}

// NewSession allocates everything that the plan needs to run.
func (p *Plan) NewSession() *Session {
	arena := alignedBytes(p.arenaBytes)
	s := &Session{plan: p, arena: arena}
	var chunks []int
	words := 0
	for i := range p.steps {
		st := &p.steps[i]
		s.ops = append(s.ops, s.compile(st, arena))
		words = max(words, p.scratch(st))
		chunks = append(chunks, len(st.parts))
	}
	for range p.threads {
		s.scratch = append(s.scratch, make([]int64, words))
	}
	s.logits = values[int32](arena, &p.buffers[len(p.buffers)-1])
	s.pool = threadpool.New(p.threads, DefaultThreads(), chunks)
	cores := fastCores()
	for t := 1; t < p.threads; t++ {
		go s.help(t, cores)
	}
	return s
}

// scratch is the words of working memory that a step needs of a thread.
func (p *Plan) scratch(st *step) int {
	if st.conv != nil {
		return st.conv.Scratch()
	}
	if st.layer != nil && st.layer.Op.Kind() == (*int8.MaxPool)(nil).Kind() {
		in := p.buffers[st.in].tensor.Shape
		return (max(in.W, 4)*in.C + 7) / 8 // a row of bytes, or a pixel of int32
	}
	return 0
}

// Close ends the session's threads. The session cannot run afterwards.
func (s *Session) Close() {
	if !s.closed.Swap(true) {
		s.pool.Begin()
	}
}

// Run classifies one picture: RGB, Crop x Crop x 3 bytes, HWC. The logits
// belong to the session and are valid until its next run. Run does not
// allocate.
func (s *Session) Run(rgb []uint8) ([]int32, error) {
	return s.RunTimed(rgb, nil)
}

// RunTimed is Run that also records how long each of the plan's Steps took;
// times may be nil.
func (s *Session) RunTimed(rgb []uint8, times []time.Duration) ([]int32, error) {
	if s.closed.Load() {
		return nil, errors.New("runtime: the session is closed")
	}
	if want := s.plan.network.Input.Shape; len(rgb) != want.Elements() {
		return nil, fmt.Errorf("runtime: the picture has %d bytes, want %d for RGB %v", len(rgb), want.Elements(), want)
	}
	if times != nil && len(times) != len(s.plan.steps) {
		return nil, fmt.Errorf("runtime: room for %d times, want %d", len(times), len(s.plan.steps))
	}
	s.image, s.times = rgb, times
	s.frame(0, s.pool.Begin())
	s.image, s.times = nil, nil
	return s.logits, nil
}

// help works on frames, beside the caller, until the session is closed.
func (s *Session) help(thread int, cores []int) {
	pin(thread, s.plan.threads, cores)
	for frame := s.pool.Next(0); !s.closed.Load(); frame = s.pool.Next(frame) {
		s.frame(thread, frame)
	}
}

// frame takes part in all steps of a frame.
func (s *Session) frame(thread int, frame int64) {
	timed := thread == 0 && s.times != nil
	for i := range s.plan.steps {
		var start time.Time
		if timed {
			start = time.Now()
		}
		parts, op := s.plan.steps[i].parts, s.ops[i]
		s.pool.Work(thread, i, frame, func(chunk int) { op(parts[chunk], s.scratch[thread]) })
		if timed {
			s.times[i] = time.Since(start)
		}
	}
}

// compile binds a step to the arena.
func (s *Session) compile(st *step, arena []byte) func(int8.Part, []int64) {
	p := s.plan
	out := &p.buffers[st.out]
	if st.layer == nil {
		dst := p.bindPlane(arena, st.out)
		return func(part int8.Part, _ []int64) {
			loadImage(&dst, s.image, part)
			dst.fillHalo(part)
		}
	}
	in := &p.buffers[st.in]
	switch op := st.layer.Op.(type) {
	case *int8.Conv:
		return compileConv(p, st, op, arena)
	case *int8.MaxPool:
		src, dst := p.bindPlane(arena, st.in), p.bindPlane(arena, st.out)
		if p.hasInt16(st) {
			return func(part int8.Part, scratch []int64) {
				maxPool16(&dst, &src, op, part, cast[int32](scratch))
				dst.fillHalo(part)
			}
		}
		return func(part int8.Part, scratch []int64) {
			maxPool(&dst, &src, op, p.kernel.Max, part, cast[int8.Value](scratch))
			dst.fillHalo(part)
		}
	case *int8.AveragePool:
		src, dst := p.bindPlane(arena, st.in), p.bindPlane(arena, st.out)
		return func(part int8.Part, _ []int64) {
			avgPool(&dst, &src, op, part)
			dst.fillHalo(part)
		}
	case int8.GlobalAveragePool:
		src, dst := p.bindPlane(arena, st.in), values[int16](arena, out)
		return func(part int8.Part, _ []int64) { globalSum(dst, &src, part) }
	}
	dense := st.layer.Op.(*int8.Dense) // the only operation left
	src, dst := values[int16](arena, in), values[int32](arena, out)
	return func(part int8.Part, _ []int64) { p.kernel.Dense(dense, dst, src, part.C0, part.C1) }
}

func compileConv(p *Plan, st *step, conv *int8.Conv, arena []byte) func(int8.Part, []int64) {
	src, dst := p.bindPlane(arena, st.in), p.bindPlane(arena, st.out)
	task := &int8.ConvTask{Conv: conv, OH: dst.shape.H, OW: dst.shape.W, SrcRow: src.row, DstRow: dst.row}
	task.Src, task.SrcLow = src.from(-conv.Top, -conv.Left)
	task.Dst, task.DstLow = dst.from(0, 0)
	if st.res >= 0 {
		res := p.bindPlane(arena, st.res)
		task.Res, task.ResLow = res.from(0, 0)
		task.ResRow = res.row
	}
	return func(part int8.Part, scratch []int64) {
		st.conv.Run(task, part, scratch)
		dst.fillHalo(part)
	}
}

// alignedBytes returns n zero bytes that begin at a cache line, with capacity
// for reading ahead.
func alignedBytes(n int) []byte {
	b := make([]byte, n+align+int8.ReadAhead)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (align - 1)
	return b[skip : skip+n]
}

// cast is the memory of s as values of another type.
func cast[T, S any](s []S) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(s[0]))/int(unsafe.Sizeof(t)))
}

// view is n values of the arena, from a buffer's offset on.
func view[T int8.Value | int16 | int32](arena []byte, b *buffer, n int) []T {
	size := int(unsafe.Sizeof(*new(T)))
	bytes := arena[b.offset : b.offset+n*size]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(bytes))), cap(bytes)/size)[:n]
}

// values is a buffer without halo as a slice of its type.
func values[T int8.Value | int16 | int32](arena []byte, b *buffer) []T {
	return view[T](arena, b, b.tensor.Shape.Elements())
}
