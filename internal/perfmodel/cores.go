package main

import (
	"slices"

	"edgeclassify/arm64"
	"edgeclassify/int8"
)

// kernel is a kernel of package arm64 as internal/perfmodel needs to know it:
// this program runs on any machine, the kernel's own description exists on arm64
// only.
type kernel struct {
	name            string
	channels, depth int // as in tile.Micro
	shapes          []shape
	sums            shape                           // for int16 tensors; none if those of another kernel do
	requantize      string                          // function, for int16 tensors
	dense, max      string                          // functions
	wide            func(weights []int8.Value) bool // as in tile.Micro
	wideSteps       int
}

type shape struct {
	pixels   int
	function string
}

func i8mm() kernel {
	return kernel{"i8mm", 16, 8, []shape{{4, "conv4I8MM"}, {2, "conv2I8MM"}}, shape{}, "", "denseNEON", "maxNEON", nil, 0}
}

func neonDot() kernel {
	return kernel{"neondot", 8, 4, []shape{{7, "conv7NeonDot"}, {8, "conv8NeonDot"}}, shape{7, "sums7NeonDot"},
		"requantizeNEON", "denseNEON", "maxNEON", nil, 0}
}

func neon() kernel {
	return kernel{"neon", 4, 16, []shape{{4, "conv4NEON"}, {3, "conv3NEON"}}, shape{4, "sums4NEON"},
		"requantizeNEON", "denseNEON", "maxNEON", nil, 0}
}

func neonA53() kernel {
	return kernel{"neon_a53", 4, 16, []shape{{3, "conv3A53"}, {2, "conv2A53"}}, shape{4, "sums4NEON"},
		"requantizeNEON", "denseNEON", "maxNEON", arm64.WideA53, arm64.WideSteps}
}

// tiles is the shapes, and the one for int16 tensors.
func (k kernel) tiles() []shape {
	if k.sums.function == "" {
		return k.shapes
	}
	return append(slices.Clone(k.shapes), k.sums)
}

// core is a kind of core and the kernel that it runs.
type core struct {
	name   string
	kernel kernel
	cpu    string  // llvm-mca's name; empty for the in-order model
	peak   float64 // products of bytes a cycle, if nothing else were to be done
	assumptions
}

// assumptions are what the model takes for granted about a core. The Go code
// that it does not look at executes about 390 instructions around a call, 30 to
// copy a few bytes, and 8 for a byte of the image or of the pool (counted with
// scripts/icount.c), of which the A76 is taken to execute 3 a cycle, the A72 2
// and the A53 0.9.
type assumptions struct {
	Caches float64 `json:"cache_factor"`          // all cycles times this, for misses of the first cache
	Call   float64 `json:"cycles_per_call"`       // Go code around a call of assembly
	Copy   float64 `json:"cycles_per_short_copy"` // a short run of bytes, in Go
	Byte   float64 `json:"cycles_per_byte_in_go"` // of the image and of the pool's sums
}

// cores lists those of the boards, and two for which only loops and tiles are
// shown. Peaks: SDOT on two pipes, SMMLA on two (N2) or four (V1); without dot
// product the 8 products of one SMULL a cycle, on the A72's only pipe that
// multiplies and on the A53's only 128-bit unit, which also has to add: 5.2 at
// most.
func cores() []core {
	return []core{
		{"A76", neonDot(), "neoverse-n1", 32, assumptions{1.08, 130, 12, 2.5}},
		{"A72", neon(), "cortex-a72", 8, assumptions{1.08, 200, 18, 4}},
		{"A53", neonA53(), "", 8, assumptions{1.10, 430, 40, 9}},
		{name: "Neoverse N2", kernel: i8mm(), cpu: "neoverse-n2", peak: 64},
		{name: "Neoverse V1", kernel: i8mm(), cpu: "neoverse-v1", peak: 128},
	}
}

// board is a machine whose time is predicted.
type board struct {
	Name    string  `json:"board"`
	Core    string  `json:"core"`
	GHz     float64 `json:"ghz"`
	Threads int     `json:"threads"`
	// Stream is what all cores together read from memory, 10^9 bytes a second.
	Stream float64 `json:"dram_gb_per_s"`
	// Cache is the bytes of activations that stay on the chip.
	Cache int `json:"cache_bytes"`
	// Exposed is the share of the shorter of computing and reading that the
	// longer one does not hide.
	Exposed float64 `json:"exposed"`
	// Barrier is the microseconds at the end of each layer.
	Barrier float64 `json:"barrier_us"`
}

func boards() []board {
	return []board{
		{"Pi 5", "A76", 2.4, 4, 9, 4 << 20, 0.15, 5},
		{"Pi 4", "A72", 1.8, 4, 4, 900 << 10, 0.35, 8},
		{"Pi 3B+", "A53", 1.4, 4, 1.9, 450 << 10, 0.6, 12},
		{"Zero 2 W", "A53", 1.0, 4, 1.5, 450 << 10, 0.6, 16},
	}
}
