package kerneltest

import (
	"fmt"
	"math"

	"edgeclassify/int8"
)

// dense tests one classifier, computed in parts.
func (b *bench) dense(seed uint64) error {
	random := newSource(seed)
	d := &int8.Dense{
		In:  pick(random, random.between(1, 70), random.between(1, 300), 512, 2048, 2049),
		Out: pick(random, 1, 2, random.between(1, 40)),
	}
	weights, err := b.weights.place(random, "weights", d.In*d.Out)
	if err != nil {
		return err
	}
	src, err := b.src.place(random, "inputs", 2*d.In)
	if err != nil {
		return err
	}
	dst, err := b.dst.place(random, "logits", 4*d.Out)
	if err != nil {
		return err
	}
	d.Weight = weights.data
	random.denseValues(d, view[int16](src.data))
	for _, buffer := range []*buffer{weights, src} {
		buffer.expect()
	}
	want := view[int32](dst.expect())
	lo := 0
	for _, hi := range random.cuts(d.Out, 1) {
		for o := lo; o < hi; o++ {
			want[o] = d.Bias[o]
			for i, x := range view[int16](src.data) {
				want[o] += int32(x) * int32(d.Weight[o*d.In+i])
			}
		}
		if err := caught(func() { b.kernel.Dense(d, view[int32](dst.data), view[int16](src.data), lo, hi) }); err != nil {
			return fmt.Errorf("%d to %d, classes %d to %d: %w", d.In, d.Out, lo, hi, err)
		}
		for _, buffer := range []*buffer{weights, src, dst} {
			if err := buffer.check(); err != nil {
				return fmt.Errorf("%d to %d, classes %d to %d: %w", d.In, d.Out, lo, hi, err)
			}
		}
		lo = hi
	}
	return nil
}

// denseValues draws weights, biases and inputs with which sums may reach the
// ends of int32 and not leave it.
func (s *source) denseValues(d *int8.Dense, src []int16) {
	var largest int64
	kind := s.IntN(weightKinds)
	for o := range d.Out {
		w := d.Weight[o*d.In:][:d.In]
		s.weights(w, kind)
		largest = max(largest, magnitude(w))
	}
	bound := int64(255 * 128)
	if largest > 0 {
		bound = min(bound, math.MaxInt32/largest)
	}
	room := int32(math.MaxInt32 - bound*largest)
	for range d.Out {
		d.Bias = append(d.Bias, pick(s, 0, room, -room, int32(s.NormFloat64()*1e4)%max(room, 1)))
		d.Scale = append(d.Scale, 1)
	}
	end, extremes := int16(pick(s, -bound, bound)), s.chance(2)
	for i := range src {
		src[i] = int16(s.between(int(-bound), int(bound)))
		if extremes {
			src[i] = pick(s, end, end, end, -end)
		}
	}
}

// max tests runs of maxima: apart from each other, and one alone.
func (b *bench) max(seed uint64) error {
	random := newSource(seed)
	n, count := pick(random, random.between(1, 80), 256), random.between(1, 5)
	dstStep, srcStep := n+random.IntN(3), n+pick(random, 0, n, random.IntN(20))
	if count == 1 {
		dstStep, srcStep = 0, 0
	}
	dst, err := b.dst.place(random, "maxima", (count-1)*dstStep+n)
	if err != nil {
		return err
	}
	src, err := b.src.place(random, "source", (count-1)*srcStep+n)
	if err != nil {
		return err
	}
	src.expect()
	want := dst.expect()
	for i := range count {
		for j := range n {
			at := i*dstStep + j
			want[at] = max(want[at]^b.flip, src.data[i*srcStep+j]^b.flip) ^ b.flip
		}
	}
	err = caught(func() { b.kernel.Max(dst.data, src.data, n, count, dstStep, srcStep) })
	for _, buffer := range []*buffer{dst, src} {
		if err == nil {
			err = buffer.check()
		}
	}
	if err != nil {
		return fmt.Errorf("%d runs of %d, %d and %d apart: %w", count, n, dstStep, srcStep, err)
	}
	return nil
}
