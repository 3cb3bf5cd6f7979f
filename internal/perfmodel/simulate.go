package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"

	"edgeclassify/int8"
	"edgeclassify/internal/threadpool"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// span is the least and the most that something is taken to be: see board.
type span [2]float64

// side is an end of a span.
type side int

const (
	best side = iota
	worst
)

// op is a part of a core's work: some accesses to memory, spread evenly over the cycles
// that it takes with all data in the first cache.
type op struct {
	effort
	function string // of assembly; empty for Go code alone
	cycles   span
	accesses []access
	base     []uint64 // where the accesses' pointers point
	private  uint32   // which of these point to memory that each thread has for itself
	moves    []move   // before
}

// at is the address of an access of thread t.
func (o *op) at(a *access, t int) uint64 {
	address := o.base[a.pointer] + uint64(int64(a.offset))
	if o.private>>a.pointer&1 != 0 {
		address += private(t)
	}
	return address
}

// private is what addresses of memory that thread t has for itself have more than the
// recorded ones.
func private(t int) uint64 { return uint64(t+1) << 50 }

// worker is a core at work.
type worker struct {
	now     float64 // in cycles
	work    float64 // cycles without waiting
	waited  float64
	ops     []op
	next    int // access of the first op
	idle    bool
	streams [16]stream
	misses  int
	// The last miss that was waited for: when it was requested, and after how much work.
	requested, stalled float64
}

// stream is lines one after the other that a core misses, with the times of the last ones.
type stream struct {
	line  uint64
	last  int // the core's miss that was the last of it
	times [16]float64
	n     int
}

// simulation is a board's cores and memory during frames, on one side of what they may
// be.
type simulation struct {
	board
	core
	side
	*caches
	pages    *pages
	workers  []worker
	channel  channel
	arrivals map[uint64]float64 // of awaited lines
	time     float64            // when the last step ended
}

func newSimulation(b board, c core, s side) *simulation {
	return &simulation{
		board: b, core: c, side: s, caches: newCaches(b.Levels, b.Victims, b.Threads), pages: newPages(b.Page),
		workers: make([]worker, b.Threads), arrivals: map[uint64]float64{},
		channel: channel{width: slotLines * lineBytes * b.GHz / b.Stream[s]},
	}
}

// quantum is the accesses that a core makes before others have their turn.
const quantum = 32

// step runs chunks, as threads take them from a threadpool.Pool, and returns the cycles
// until all are done, those that the last core waited for memory, and the traffic.
func (s *simulation) step(chunks [][]op) (cycles, waited float64, t traffic) {
	s.traffic = traffic{}
	type queue struct{ next, end int }
	queues := make([]queue, s.Threads)
	for i := range queues {
		queues[i].next, queues[i].end = threadpool.Own(len(chunks), s.Threads, i)
		w := &s.workers[i]
		w.now, w.waited, w.idle = s.time, 0, false
	}
	for {
		t := -1
		for i := range s.workers {
			if w := &s.workers[i]; !w.idle && (t < 0 || w.now < s.workers[t].now) {
				t = i
			}
		}
		if t < 0 {
			break
		}
		w := &s.workers[t]
		if len(w.ops) == 0 {
			q := &queues[t]
			for i := 1; q.next == q.end && i < s.Threads; i++ {
				q = &queues[(t+i)%s.Threads]
			}
			if q.next == q.end {
				w.idle = true
				continue
			}
			w.ops, w.next = chunks[q.next], 0
			q.next++
			continue
		}
		s.advance(t, w)
	}
	last := slices.MaxFunc(s.workers, func(a, b worker) int { return cmp.Compare(a.now, b.now) })
	cycles = last.now - s.time
	s.time = last.now
	return cycles, last.waited, s.traffic
}

// advance takes a core a little further in its first op.
func (s *simulation) advance(t int, w *worker) {
	o := &w.ops[0]
	if w.next == 0 {
		for _, m := range o.moves {
			at := uint64(uintptr(m.at))
			if m.private {
				at += private(t)
			}
			s.touch(t, w, at, m.bytes, m.kind)
		}
	}
	n := len(o.accesses)
	end := min(n, w.next+quantum)
	each := o.cycles[s.side] / float64(max(n, 1))
	for i := w.next; i < end; i++ {
		w.now += each
		w.work += each
		a := &o.accesses[i]
		s.touch(t, w, o.at(a, t), int(a.size), a.kind)
	}
	if n == 0 {
		w.now += each
		w.work += each
	}
	if w.next = end; end == n {
		w.ops, w.next = w.ops[1:], 0
	}
}

// touch accesses bytes.
func (s *simulation) touch(t int, w *worker, address uint64, bytes int, k kind) {
	switch k {
	case load:
		s.Loaded += int64(bytes)
	case store:
		s.Stored += int64(bytes)
	}
	end := address + uint64(bytes)
	for at := address; at < end; at = at/lineBytes*lineBytes + lineBytes {
		s.line(t, w, s.pages.line(at), k)
	}
}

// line accesses a line: the core waits until it is there, unless it stores.
func (s *simulation) line(t int, w *worker, line uint64, k kind) {
	wrote := s.Wrote
	found, was := s.access(t, line, k)
	for range s.Wrote - wrote {
		s.channel.take(w.now) // nobody waits
	}
	if found == 0 && !was {
		return
	}
	request := w.now
	if found > 0 && k < prefetch {
		s.Misses++
		request = s.recognize(w, line)
		if w.work-w.stalled < s.Hides[s.side] { // it was requested while the core waited for another
			request = min(request, w.requested)
		}
	}
	ready := request
	if found == len(s.levels) {
		ready = s.channel.take(request) + s.DRAM*s.GHz
	} else if found > 0 {
		ready += s.levels[found].Cycles
	}
	if was {
		ready = max(ready, s.arrivals[line])
		delete(s.arrivals, line)
	}
	switch {
	case k >= prefetch:
		if found > 0 {
			s.arrivals[line] = ready
		}
	case k == load:
		if wait := ready - w.now - s.Hides[s.side]; wait > 0 {
			w.now += wait
			w.waited += wait
			w.requested, w.stalled = request, w.work
		}
	}
}

// channel is the way to memory, on which so many lines have room in a slot of time.
type channel struct {
	width float64 // of a slot, in cycles
	slots [4096]struct{ number, lines int }
}

const slotLines = 8

// take returns when a line begins that was requested at a time: in the first slot from then on
// that has room.
func (c *channel) take(at float64) float64 {
	for n := int(at / c.width); ; n++ {
		slot := &c.slots[n%len(c.slots)]
		if slot.number < n {
			slot.number, slot.lines = n, 0
		}
		if slot.number == n && slot.lines < slotLines {
			slot.lines++
			return max(at, float64(n)*c.width)
		}
	}
}

// recognize returns when a prefetcher in hardware has requested a line that a core misses.
// It recognizes lines that follow each other, and runs so many ahead.
func (s *simulation) recognize(w *worker, line uint64) float64 {
	w.misses++
	oldest := &w.streams[0]
	for i := range w.streams {
		st := &w.streams[i]
		if st.n > 0 && st.line+1 == line {
			s.Streams++
			st.line, st.last = line, w.misses
			st.times[st.n%len(st.times)] = w.now
			st.n++
			// The second miss shows that there is a stream.
			return st.times[max(1, st.n-1-s.Ahead[s.side])%len(st.times)]
		}
		if st.last < oldest.last {
			oldest = st
		}
	}
	*oldest = stream{line: line, last: w.misses, n: 1, times: [16]float64{w.now}}
	return w.now
}

// layer is a step's work and what was simulated of it.
type layer struct {
	name, class    string
	macs           int64
	cycles, waited span
	traffic        // where the cores are slow: it hardly depends on that
}

// frames simulates frames on boards with this kind of core, and returns each board's layers
// during the last one, and what the kernels did.
func (p *predictor) frames(n *int8.Network, boards []board) ([][]layer, []kernelWork, error) {
	var sims []*simulation
	for _, b := range boards {
		sims = append(sims, newSimulation(b, p.core, best), newSimulation(b, p.core, worst))
	}
	rec := newRecorder(p.kernel)
	const frames = 2 // the first fills the caches, and tells where tensors lie
	plan, steps, err := rec.steps(n, boards[0].Threads, frames)
	if err != nil {
		return nil, nil, err
	}
	out := make([][]layer, len(boards))
	run := func(l layer, chunks [][]op) {
		var group sync.WaitGroup
		for i := range out {
			out[i] = append(out[i], l)
			at := &out[i][len(out[i])-1]
			for side := best; side <= worst; side++ {
				group.Go(func() {
					var t traffic
					at.cycles[side], at.waited[side], t = sims[2*i+int(side)].step(chunks)
					if side == worst {
						at.traffic = t
					}
				})
			}
		}
		group.Wait()
	}
	var work map[string]*kernelWork
	for frame, step := range steps {
		if step == 0 {
			clear(out)
			work = map[string]*kernelWork{}
		}
		l, chunks, err := p.layer(plan, rec, step)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: frame %d: %w", plan.Steps()[step], frame, err)
		}
		addWork(work, chunks)
		run(l, chunks)
	}
	var kernels []kernelWork
	for _, k := range work {
		kernels = append(kernels, *k)
	}
	slices.SortFunc(kernels, func(a, b kernelWork) int {
		return cmp.Or(cmp.Compare(b.Cycles[best], a.Cycles[best]), strings.Compare(a.Function, b.Function))
	})
	return out, kernels, nil
}

// layer is a step and its chunks' work. A chain is of the kinds of its ends.
func (p *predictor) layer(plan *runtime.Plan, rec *recorder, step int) (layer, [][]op, error) {
	l, bytes := layer{name: plan.Steps()[step]}, 0
	if step == 0 {
		l.class, bytes = "image", plan.Network().Input.Shape.Elements()
	}
	layers := plan.Layers(step)
	for i := range layers {
		describe := operations[layers[i].Op.Kind()]
		if describe == nil {
			return l, nil, fmt.Errorf("%v is of a kind that the model does not have", &layers[i])
		}
		class, inGo := describe(p, plan, &layers[i])
		if l.class == "" {
			l.class = class
		} else if i == len(layers)-1 {
			l.class += " .. " + class
		}
		bytes += inGo
		l.macs += layers[i].MACs()
	}
	chunks := p.inGo(plan, rec, step, bytes)
	for i, c := range rec.chunks {
		for _, c := range c.calls {
			o, err := p.op(c, rec)
			if err != nil {
				return l, nil, err
			}
			chunks[i] = append(chunks[i], o)
		}
	}
	return l, chunks, nil
}

// inGo is a step's share of each part that is done in Go code, which passes over bytes,
// reads the step's inputs and writes its output. It is nothing where there are no bytes.
func (p *predictor) inGo(plan *runtime.Plan, rec *recorder, step, bytes int) [][]op {
	n, parts := plan.Network(), plan.Parts(step)
	chunks := make([][]op, len(parts))
	if bytes == 0 {
		return chunks
	}
	read := []uint64{1 << 61} // the picture
	sizes := []int{n.Input.Shape.Elements()}
	if step > 0 {
		l := &plan.Layers(step)[0]
		read, sizes = nil, nil
		for i, in := range n.Inputs(l) {
			read, sizes = append(read, rec.place(n, l.Inputs[i])), append(sizes, size(in))
		}
	}
	var made tensor.ID
	for i := range step + 1 {
		made += tensor.ID(len(plan.Layers(i)))
	}
	out := n.Tensor(made)
	tensors, sizes := append(read, rec.place(n, made)), append(sizes, size(out))
	whole := parts[len(parts)-1]
	before := 0.0
	for i, part := range parts {
		share := float64((part.Y1-part.Y0)*(part.C1-part.C0)) / float64(whole.Y1*whole.C1)
		cycles := share * float64(bytes) * p.Byte
		o := op{effort: effort{inGo: cycles}, cycles: span{cycles, cycles}, base: tensors}
		for t, all := range sizes {
			k := load
			if t == len(sizes)-1 {
				k = store
			}
			from, to := int(before*float64(all)), int((before+share)*float64(all))
			for at := from; at < to; at += lineBytes {
				o.accesses = append(o.accesses, access{int32(at), uint8(t), uint8(min(lineBytes, to-at)), k})
			}
		}
		chunks[i] = append(chunks[i], o)
		before += share
	}
	return chunks
}

func size(t *int8.Tensor) int { return t.Shape.Elements() * t.Type.Size() }
