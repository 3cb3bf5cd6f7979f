package runtime

import (
	"math/rand/v2"
	"slices"
)

// interval is a buffer's need for memory: size bytes during steps first to
// last, both included.
type interval struct {
	first, last int
	size        int
}

func (a interval) overlaps(b interval) bool { return a.first <= b.last && b.first <= a.last }

// lowerBound is the largest sum of sizes alive in one step: no placement can
// need less.
func lowerBound(buffers []interval) int {
	bound := 0
	for _, at := range buffers {
		sum := 0
		for _, b := range buffers {
			if b.first <= at.first && at.first <= b.last {
				sum += b.size
			}
		}
		bound = max(bound, sum)
	}
	return bound
}

// place gives every buffer an offset such that buffers alive in one step never
// share a byte, and returns the offsets and the bytes needed. Buffers are
// placed one after the other, each at the lowest offset that is free for its
// lifetime (first fit). The order decides the result: it begins with the
// largest buffers, and while the lower bound is not met a seeded local search
// moves single buffers in the order. The result depends on the input alone.
func place(buffers []interval) (offsets []int, peak int) {
	const rounds = 2000
	order := make([]int, len(buffers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return buffers[b].size - buffers[a].size })
	bound := lowerBound(buffers)
	offsets, peak = firstFit(buffers, order)
	random := rand.New(rand.NewPCG(1, 1))
	for round := 0; round < rounds && peak > bound; round++ {
		next := slices.Clone(order)
		from, to := random.IntN(len(next)), random.IntN(len(next))
		moved := next[from]
		next = slices.Insert(slices.Delete(next, from, from+1), to, moved)
		if o, p := firstFit(buffers, next); p <= peak {
			offsets, peak, order = o, p, next
		}
	}
	return offsets, peak
}

func firstFit(buffers []interval, order []int) (offsets []int, peak int) {
	offsets = make([]int, len(buffers))
	var placed []int // in ascending offset
	for _, i := range order {
		at := 0
		for _, j := range placed {
			if !buffers[i].overlaps(buffers[j]) {
				continue
			}
			if at+buffers[i].size <= offsets[j] {
				break
			}
			at = max(at, offsets[j]+buffers[j].size)
		}
		offsets[i] = at
		peak = max(peak, at+buffers[i].size)
		k, _ := slices.BinarySearchFunc(placed, at, func(j, at int) int { return offsets[j] - at })
		placed = slices.Insert(placed, k, i)
	}
	return offsets, peak
}
