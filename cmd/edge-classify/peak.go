package main

import "edgeclassify/internal/cores"

// needs is why a kernel is picked before those that are slower.
var needs = map[string]string{
	"avx512vnni": "the CPU has AVX-512 with VNNI",
	"avx2":       "the CPU has AVX2, but not all of AVX-512 with VNNI",
	"i8mm":       "the CPU has int8 matrix products",
	"neondot":    "the CPU has dot products, but no int8 matrix products",
	"neon":       "the CPU has no dot products, and reorders instructions",
	"neon_a53":   "the CPU has no dot products, and executes instructions in order",
}

// peak is the GMAC/s that so many cores can do at that clock; 0 where it is
// not known.
func peak(kernel, core string, threads int, mhz float64) float64 {
	return cores.Peak(kernel, core) * float64(threads) * mhz / 1e3
}
