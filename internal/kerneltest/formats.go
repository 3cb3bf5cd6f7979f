package kerneltest

import (
	"fmt"
	"math"

	"edgeclassify/int8"
)

// formats is the types of a convolution's activations, and their limits.
type formats struct{ in, res, out int8.Tensor }

// narrow is the formats of a convolution on int8.
func narrow() formats {
	t := int8.Tensor{Type: int8.Int8}
	return formats{t, t, t}
}

// formats draws types, not all of them int8, and limits.
func (s *source) formats() formats {
	f, kind := narrow(), s.between(1, 7)
	for i, t := range []*int8.Tensor{&f.in, &f.res, &f.out} {
		if kind>>i&1 == 1 {
			*t = int8.Tensor{Type: int8.Int16, NonNegative: s.chance(2),
				Bound: pick(s, math.MaxInt16, math.MaxInt16, int32(s.between(1, math.MaxInt16)), int32(s.between(1, 300)))}
		}
	}
	return f
}

func (f *formats) String() string {
	name := func(t *int8.Tensor) string {
		low, high := t.Limits()
		return fmt.Sprintf("%s in %d..%d", t.Type, low, high)
	}
	return fmt.Sprintf("%s with %s to %s", name(&f.in), name(&f.res), name(&f.out))
}

// highest is the largest magnitude of a tensor.
func highest(t *int8.Tensor) int64 {
	low, high := t.Limits()
	return int64(max(-low, high))
}

// planes is a stored activation; low is nil if it is int8.
type planes struct {
	data, low []int8.Value
	flip      int8.Value
}

func (p planes) at(i int) int32 {
	if p.low == nil {
		return int32(p.data[i] ^ p.flip)
	}
	return 256*int32(p.data[i]^p.flip) + int32(p.low[i]^p.flip) + 128
}

func (p planes) set(i int, q int32) {
	if p.low == nil {
		p.data[i] = int8.Value(q) ^ p.flip
		return
	}
	p.data[i] = int8.Value((q-(q&255))/256) ^ p.flip
	p.low[i] = int8.Value(q&255-128) ^ p.flip
}

// activations16 draws an activation's values: anything, the two ends, or one end
// only.
func (s *source) activations16(p planes, t *int8.Tensor) {
	if p.low == nil {
		s.activations(p.data, p.flip)
		return
	}
	low, high := t.Limits()
	kind := s.IntN(8)
	for i := range p.data {
		q := int32(s.between(int(low), int(high)))
		switch kind {
		case 0:
			q = low
		case 1:
			q = high
		case 2, 3:
			q = pick(s, low, high)
		}
		p.set(i, q)
	}
}
