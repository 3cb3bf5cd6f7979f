package board

import "time"

// links is the number of dependent instructions in a round of chain.
const links = 64

// MeasureMHz measures the clock of the core that it runs on: exclusive or and
// addition of registers take one cycle each on every CPU that Go runs on, and
// each waits for the one before. It takes some ten milliseconds and is right
// to a few percent; system files tell the nominal clock of a virtual machine
// or nothing at all. In an emulator it is the speed of the emulation.
func MeasureMHz() float64 {
	const samples, rounds = 100, 1000
	best := time.Duration(1<<63 - 1)
	x := uint64(1)
	for range samples {
		start := time.Now()
		x = chain(x, 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, rounds)
		// The quickest sample is the one that nothing interrupted. Reading x
		// keeps the work alive.
		if took := time.Since(start); took < best && x != 0 {
			best = took
		}
	}
	return links * rounds / float64(max(best, 1).Nanoseconds()) * 1e3
}

//go:noinline
func chain(x, a, b uint64, rounds int) uint64 {
	for range rounds {
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
		x = ((((((((x ^ a) + b) ^ a) + b) ^ a) + b) ^ a) + b)
	}
	return x
}
