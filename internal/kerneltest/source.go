package kerneltest

import (
	"math"
	"math/rand/v2"

	"edgeclassify/int8"
)

// source draws random values.
type source struct{ *rand.Rand }

func newSource(seed uint64) *source { return &source{rand.New(rand.NewPCG(seed, 0))} }

// chance is true once in n times.
func (s *source) chance(n int) bool { return s.IntN(n) == 0 }

// between draws from lo to hi, both included.
func (s *source) between(lo, hi int) int { return lo + s.IntN(hi-lo+1) }

// fill draws all bytes.
func (s *source) fill(b []int8.Value) {
	for len(b) >= 8 {
		word := s.Uint64()
		for i := range 8 {
			b[i] = int8.Value(word >> (8 * i))
		}
		b = b[8:]
	}
	for i := range b {
		b[i] = int8.Value(s.Uint32())
	}
}

// gap is the bytes between one pixel and the next: mostly none.
func (s *source) gap() int {
	if s.chance(4) {
		return s.IntN(40)
	}
	return 0
}

func pick[T any](s *source, from ...T) T { return from[s.IntN(len(from))] }

// cuts splits length, at multiples of unit, into a few pieces: their ends.
func (s *source) cuts(length, unit int) []int {
	var ends []int
	for end := unit; end < length; end += unit {
		if s.chance(3) {
			ends = append(ends, end)
		}
	}
	if s.chance(2) {
		ends = nil
	}
	return append(ends, length)
}

// activations draws inputs: anything, the two ends, or one end only.
func (s *source) activations(b []int8.Value, flip int8.Value) {
	s.fill(b)
	kind := s.IntN(8)
	for i := range b {
		switch kind {
		case 0:
			b[i] = -128 ^ flip
		case 1:
			b[i] = 127 ^ flip
		case 2, 3:
			b[i] = (b[i]>>7 ^ 127) ^ flip
		}
	}
}

// weightKinds is the number of ways to draw weights.
const weightKinds = 8

// weights draws the weights of one output: the two ends, one end only, small
// ones, none, a single one, some of which a few fill a 16-bit lane, or anything.
func (s *source) weights(w []int8.Value, kind int) {
	end := pick[int8.Value](s, -127, 127)
	for i := range w {
		switch kind {
		case 0:
			w[i] = pick[int8.Value](s, -127, 127)
		case 1:
			w[i] = end
		case 2:
			w[i] = int8.Value(s.between(-12, 12))
		case 3, 4:
			w[i] = 0
		case 5:
			w[i] = int8.Value(s.between(-45, 45))
		default:
			w[i] = int8.Value(s.between(-127, 127))
		}
	}
	if kind == 4 {
		w[s.IntN(len(w))] = pick[int8.Value](s, -1, 1)
	}
}

// brink draws an accumulator and a multiplier whose product is the least that
// is rounded to an output, or one less.
func (s *source) brink() (accumulator, multiplier int32) {
	for {
		m := int64(s.between(1<<9, 1<<13)) | 1
		for q := int64(-127); q < 128; q++ {
			product := (q*int8.OneOut-int8.OneOut/2)<<31 - 1<<30 - s.Int64N(2)
			if a := product / m; a*m == product && max(a, -a) <= math.MaxInt32 {
				return int32(a), int32(m)
			}
		}
	}
}
