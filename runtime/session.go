package runtime

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/internal/threadpool"
	"edgeclassify/tensor"
)

// Session runs a plan on images, one at a time. It owns the memory and the
// threads for that; a goroutine that wants to run at the same time takes a
// session of its own. Close it when done.
type Session struct {
	plan    *Plan
	arena   []byte
	image   []uint8
	tasks   [][]task             // by thread and step
	bands   map[tensor.ID]*plane // of the chain that is being bound
	scratch [][]int64            // one for each thread
	logits  []int32
	// pooled are the features; where they are an activation, read gets them there.
	pooled []int16
	read   func(dst []int16)
	next   int             // the step that Advance does next
	times  []time.Duration // where to record the steps' times; nil for nowhere
	pool   *threadpool.Pool
	closed atomic.Bool
}

// NewSession allocates everything that the plan needs to run.
func (p *Plan) NewSession() *Session {
	s := &Session{plan: p, arena: cast[byte](int8.Aligned(p.arenaBytes + int8.ReadAhead))[:p.arenaBytes]}
	var chunks []int
	words := 0
	for i := range p.steps {
		st := &p.steps[i]
		words = max(words, st.scratch())
		chunks = append(chunks, len(st.parts))
	}
	for range p.threads {
		var tasks []task
		for i := range p.steps {
			tasks = append(tasks, p.steps[i].bind(s))
		}
		s.tasks = append(s.tasks, tasks)
		s.scratch = append(s.scratch, cast[int64](int8.Aligned(8*words)))
	}
	s.logits = values[int32](s, tensor.ID(len(p.buffers)-1))
	if id, ok := p.network.Features(); ok {
		s.pooled, s.read = s.pixel(id)
	}
	s.pool = threadpool.New(p.threads, DefaultThreads(), chunks)
	cores := fastCores()
	for t := 1; t < p.threads; t++ {
		go s.help(t, cores)
	}
	return s
}

var errClosed = errors.New("runtime: the session is closed")

// Close ends the session's threads. A run on another goroutine fails soon. The
// session cannot run afterwards.
func (s *Session) Close() {
	if !s.closed.Swap(true) {
		s.pool.Begin()
	}
}

// Run classifies one image of the network's input shape, HWC. The logits belong
// to the session and are valid until its next run. Run does not allocate.
func (s *Session) Run(image []uint8) ([]int32, error) {
	return s.RunTimed(image, nil)
}

// RunTimed is Run that also records how long each of the plan's Steps took;
// times may be nil.
func (s *Session) RunTimed(image []uint8, times []time.Duration) ([]int32, error) {
	if err := s.check(image); err != nil {
		return nil, err
	}
	if times != nil && len(times) != len(s.plan.steps) {
		return nil, fmt.Errorf("runtime: room for %d times, want %d", len(times), len(s.plan.steps))
	}
	s.image, s.times = image, times
	s.frame(0, s.pool.Begin())
	s.image, s.times = nil, nil
	if s.closed.Load() {
		return nil, errClosed
	}
	return s.logits, nil
}

// Features are what the classifier read in the last run, q - Zero of each value: see
// int8.Network.Features. They belong to the session and are valid until its next run;
// nil where the network has none. Features does not allocate.
func (s *Session) Features() []int16 {
	if s.read != nil {
		s.read(s.pooled)
	}
	return s.pooled
}

// check reports why the session cannot run on an image.
func (s *Session) check(image []uint8) error {
	if s.closed.Load() {
		return errClosed
	}
	if want := s.plan.network.Input.Shape; len(image) != want.Elements() {
		return fmt.Errorf("runtime: the picture has %d bytes, want %d for %v", len(image), want.Elements(), want)
	}
	return nil
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
		parts, do := s.plan.steps[i].parts, s.tasks[thread][i]
		s.pool.Work(thread, i, frame, func(chunk int) {
			if !s.closed.Load() {
				do(parts[chunk], s.scratch[thread])
			}
		})
		if timed {
			s.times[i] = time.Since(start)
		}
	}
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

// values is a tensor without halo as a slice of its type.
func values[T int16 | int32](s *Session, id tensor.ID) []T {
	b := &s.plan.buffers[id]
	return view[T](s.arena, b, b.tensor.Shape.Elements())
}
