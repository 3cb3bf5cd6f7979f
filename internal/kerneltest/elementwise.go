package kerneltest

import (
	"fmt"
	"math"

	"edgeclassify/int8"
)

// elements is the memory of an operation that works value by value, on one input or two.
type elements struct {
	runs      int8.Runs
	dst, x, y *buffer
	want      []int8.Value // the part of dst
}

// elements draws runs; the output may lie where an input does, and the second input may
// be one run for all.
func (b *bench) elements(random *source) (e elements, err error) {
	n, count := pick(random, random.between(1, 80), random.between(1, 80), 8*random.between(1, 20), 256), random.between(1, 5)
	step := func() int { return n + pick(random, 0, 0, n, random.IntN(20)) }
	e.runs = int8.Runs{Length: n, Count: count, Dst: step(), X: step(), Y: pick(random, 0, step())}
	for _, p := range []struct {
		to     **buffer
		memory region
		name   string
		step   int
	}{{&e.dst, b.dst, "output", e.runs.Dst}, {&e.x, b.src, "first input", e.runs.X}, {&e.y, b.res, "second input", e.runs.Y}} {
		if *p.to, err = p.memory.place(random, p.name, (count-1)*p.step+n); err != nil {
			return e, err
		}
		random.activations((*p.to).data, b.flip)
	}
	switch random.IntN(4) {
	case 0:
		e.x, e.runs.X = e.dst, e.runs.Dst
	case 1:
		if e.runs.Y > 0 {
			e.y, e.runs.Y = e.dst, e.runs.Dst
		}
	}
	for _, buffer := range []*buffer{e.x, e.y} {
		buffer.expect()
	}
	e.want = e.dst.expect()
	return e, nil
}

// run compares what the kernel makes with at, of two inputs' values.
func (e *elements) run(flip int8.Value, at func(x, y int32) int32, kernel func()) error {
	return e.runEach(flip, func(_ int, x, y int32) int32 { return at(x, y) }, kernel)
}

// runEach is run for values that depend on their place in a run, too.
func (e *elements) runEach(flip int8.Value, at func(place int, x, y int32) int32, kernel func()) error {
	r := e.runs
	for i := range r.Count {
		for j := range r.Length {
			x, y := e.x.data[i*r.X+j], e.y.data[i*r.Y+j]
			e.want[i*r.Dst+j] = int8.Value(at(j, int32(x^flip), int32(y^flip))) ^ flip
		}
	}
	err := caught(kernel)
	for _, buffer := range []*buffer{e.dst, e.x, e.y} {
		if err == nil {
			err = buffer.check()
		}
	}
	if err != nil {
		return fmt.Errorf("%+v: %w", r, err)
	}
	return nil
}

// lookup tests values of a table.
func (b *bench) lookup(seed uint64) error {
	random := newSource(seed)
	e, err := b.elements(random)
	if err != nil {
		return err
	}
	var table [256]int8.Value
	random.fill(table[:])
	at := func(x, _ int32) int32 { return int32(table[uint8(int8.Value(x)^b.flip)] ^ b.flip) }
	return e.run(b.flip, at, func() { b.kernel.Lookup(e.dst.data, e.x.data, &table, e.runs) })
}

// lookupChannels tests values of tables of channels, some of which share one.
func (b *bench) lookupChannels(seed uint64) error {
	random := newSource(seed)
	e, err := b.elements(random)
	if err != nil {
		return err
	}
	tables := make([]*[256]int8.Value, e.runs.Length)
	for i := range tables {
		if tables[i] = tables[random.IntN(i+1)]; tables[i] == nil || random.chance(2) {
			tables[i] = new([256]int8.Value)
			random.fill(tables[i][:])
		}
	}
	at := func(c int, x, _ int32) int32 { return int32(tables[c][uint8(int8.Value(x)^b.flip)] ^ b.flip) }
	return e.runEach(b.flip, at, func() { b.kernel.LookupChannels(e.dst.data, e.x.data, tables, e.runs) })
}

// mul tests products: of ordinary scales, or of the largest that int32 holds.
func (b *bench) mul(seed uint64) error {
	random := newSource(seed)
	e, err := b.elements(random)
	if err != nil {
		return err
	}
	z, reach := random.zeros()
	var op int8.Mul
	op.Multiplier, op.Shift = random.requantization(reach[0] * reach[1])
	to := int8.Range{Low: -128, High: 127, Zero: int32(z.Dst)}
	at := func(x, y int32) int32 { return op.At(x-int32(z.X), y-int32(z.Y), to) }
	if err := e.run(b.flip, at, func() { b.kernel.Mul(e.dst.data, e.x.data, e.y.data, &op, z, e.runs) }); err != nil {
		return fmt.Errorf("%+v, zero points %v: %w", op, z, err)
	}
	return nil
}

// add tests sums of inputs of any scales.
func (b *bench) add(seed uint64) error {
	random := newSource(seed)
	e, err := b.elements(random)
	if err != nil {
		return err
	}
	z, _ := random.zeros()
	tensor := func(zero int8.Value) *int8.Tensor {
		return &int8.Tensor{Type: int8.Int8, Zero: []int8.Value{zero}, Scale: float32(math.Exp(3 * random.NormFloat64()))}
	}
	op, err := int8.QuantizeAdd(tensor(z.X), tensor(z.Y), tensor(z.Dst))
	if err != nil {
		return nil // no ratio says scales so far apart
	}
	to := int8.Range{Low: -128, High: 127, Zero: int32(z.Dst)}
	at := func(x, y int32) int32 { return op.At(x-int32(z.X), y-int32(z.Y), to) }
	if err := e.run(b.flip, at, func() { b.kernel.Add(e.dst.data, e.x.data, e.y.data, op, z, e.runs) }); err != nil {
		return fmt.Errorf("%+v, zero points %v: %w", *op, z, err)
	}
	return nil
}

// zeros draws zero points, and tells the inputs' largest distance from them.
func (s *source) zeros() (int8.Zeros, [2]int64) {
	draw := func() int8.Value { return pick(s, -128, 127, 0, int8.Value(s.between(-128, 127))) }
	z := int8.Zeros{Dst: draw(), X: draw(), Y: draw()}
	reach := func(zero int8.Value) int64 { return max(int64(zero)+128, 127-int64(zero)) }
	return z, [2]int64{reach(z.X), reach(z.Y)}
}

// sum tests sums over a plane, in which values may all be the largest.
func (b *bench) sum(seed uint64) error {
	random := newSource(seed)
	n, count := pick(random, random.between(1, 80), 8*random.between(1, 20)), pick(random, random.between(1, 10), random.between(1, 700), 256, 257)
	step := n + pick(random, 0, n, random.IntN(20))
	src, err := b.src.place(random, "source", (count-1)*step+n)
	if err != nil {
		return err
	}
	sums, err := b.dst.place(random, "sums", 4*n)
	if err != nil {
		return err
	}
	random.activations(src.data, b.flip)
	src.expect()
	want := view[int32](sums.expect())
	for i := range count {
		for j := range n {
			want[j] += int32(src.data[i*step+j] ^ b.flip)
		}
	}
	err = caught(func() { b.kernel.Sum(view[int32](sums.data), src.data, count, step) })
	for _, buffer := range []*buffer{sums, src} {
		if err == nil {
			err = buffer.check()
		}
	}
	if err != nil {
		return fmt.Errorf("%d runs of %d, %d apart: %w", count, n, step, err)
	}
	return nil
}

// mean tests means of sums.
func (b *bench) mean(seed uint64) error {
	random := newSource(seed)
	n := pick(random, random.between(1, 80), 8*random.between(1, 20))
	sums, err := b.src.place(random, "sums", 4*n)
	if err != nil {
		return err
	}
	dst, err := b.dst.place(random, "means", n)
	if err != nil {
		return err
	}
	reach := 255 * int64(random.between(1, 1<<random.IntN(20)))
	for i := range n {
		view[int32](sums.data)[i] = int32(pick(random, reach, -reach, random.Int64N(2*reach)-reach))
	}
	z, _ := random.zeros()
	var op int8.Mean
	op.Multiplier, op.Shift = random.requantization(reach)
	to := int8.Range{Low: -128, High: 127, Zero: int32(z.Dst)}
	sums.expect()
	want := dst.expect()
	for i := range want {
		want[i] = int8.Value(op.At(view[int32](sums.data)[i], to)) ^ b.flip
	}
	err = caught(func() { b.kernel.Mean(dst.data, view[int32](sums.data), &op, z.Dst) })
	for _, buffer := range []*buffer{dst, sums} {
		if err == nil {
			err = buffer.check()
		}
	}
	if err != nil {
		return fmt.Errorf("%d means, %+v, zero point %d: %w", n, op, z.Dst, err)
	}
	return nil
}

// requantization draws a multiplier and a shift: ordinary ones, or the largest that int32
// holds for sums that reach so far.
func (s *source) requantization(reach int64) (multiplier int32, shift uint8) {
	for shift = uint8(s.IntN(pick(s, 4, 25))); reach > math.MaxInt32>>shift; shift-- {
	}
	multiplier = int32(min(math.MaxInt32, (math.MaxInt32-int8.OneOut)<<31/(reach<<shift)))
	if s.chance(2) {
		multiplier = min(multiplier, int32(s.between(1, 1<<s.between(1, 30))))
	}
	return multiplier, shift
}
