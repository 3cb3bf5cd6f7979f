// Package arena places buffers that live for some steps of a computation in one
// block of memory, so that those which never live together share it.
package arena

import (
	"math/rand/v2"
	"slices"
)

// Buffer is a need for memory during steps First to Last, both included.
type Buffer struct {
	First, Last int
	Size        int // in bytes, or any other unit
	// Over is an earlier buffer, at least as large, whose memory this one takes
	// over if that one is last used in the step First; -1 for none.
	Over int
}

// Place gives every buffer an offset such that buffers alive in one step never
// share memory, but where one takes over another's. Peak is the memory needed,
// and bound the largest sum of sizes alive in one step: no placement can need
// less. The result depends on the buffers alone.
func Place(buffers []Buffer) (offsets []int, peak, bound int) {
	lives, owner := merge(buffers)
	bound = lowerBound(lives)
	placed, peak, _ := search(lives, bound)
	offsets = make([]int, len(buffers))
	for i := range buffers {
		offsets[i] = placed[owner[i]]
	}
	return offsets, peak, bound
}

// merge makes one buffer of those that take each other's memory over: the first
// of them, which owns it. The others have no size.
func merge(buffers []Buffer) (lives []Buffer, owner []int) {
	lives, owner = slices.Clone(buffers), make([]int, len(buffers))
	for i, b := range buffers {
		owner[i] = i
		if b.Over >= 0 && buffers[b.Over].Last == b.First {
			owner[i] = owner[b.Over]
			lives[owner[i]].Last = b.Last
			lives[i].Size = 0
		}
	}
	return lives, owner
}

func lowerBound(buffers []Buffer) int {
	end := 0
	for _, b := range buffers {
		end = max(end, b.Last+1)
	}
	change := make([]int, end+1) // of the sum, by step
	for _, b := range buffers {
		change[b.First] += b.Size
		change[b.Last+1] -= b.Size
	}
	bound, sum := 0, 0
	for _, c := range change {
		sum += c
		bound = max(bound, sum)
	}
	return bound
}

// maxComparisons of buffers, about, take a search some tenths of a second.
const maxComparisons = 50_000_000

// search places buffers one after the other, each at the lowest offset that is
// free for its lifetime (first fit). The order decides the result: it begins with
// the largest buffers, and while the bound is not met a seeded local search moves
// single buffers in the order. What it costs is bounded: thousands of buffers get
// fewer rounds.
func search(buffers []Buffer, bound int) (offsets []int, peak, spent int) {
	const rounds = 2000
	order := make([]int, len(buffers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return buffers[b].Size - buffers[a].Size })
	offsets, peak, spent = firstFit(buffers, order)
	random := rand.New(rand.NewPCG(1, 1))
	for round := 0; round < rounds && peak > bound && spent < maxComparisons; round++ {
		next := slices.Clone(order)
		from, to := random.IntN(len(next)), random.IntN(len(next))
		moved := next[from]
		next = slices.Insert(slices.Delete(next, from, from+1), to, moved)
		o, p, n := firstFit(buffers, next)
		if spent += n; p <= peak {
			offsets, peak, order = o, p, next
		}
	}
	return offsets, peak, spent
}

// firstFit also returns how many comparisons it took.
func firstFit(buffers []Buffer, order []int) (offsets []int, peak, comparisons int) {
	type place struct{ first, last, offset, end int }
	offsets = make([]int, len(buffers))
	var placed []place // in ascending offset
	for _, i := range order {
		b, at := &buffers[i], 0
		for j := range placed {
			p := &placed[j]
			comparisons++
			if b.Last < p.first || p.last < b.First {
				continue
			}
			if at+b.Size <= p.offset {
				break
			}
			at = max(at, p.end)
		}
		offsets[i] = at
		peak = max(peak, at+b.Size)
		k, _ := slices.BinarySearchFunc(placed, at, func(p place, at int) int { return p.offset - at })
		placed = slices.Insert(placed, k, place{b.First, b.Last, at, at + b.Size})
	}
	return offsets, peak, comparisons
}
