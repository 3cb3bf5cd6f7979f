package main

import (
	"slices"

	"edgeclassify/arm64"
	"edgeclassify/internal/cores"
)

// core is a kind of core and the kernel that it runs.
type core struct {
	name   string
	design string // cores.Peak's name
	kernel arm64.Description
	cpu    string // llvm-mca's name; empty for the in-order model
	cores.Costs
}

// modelled lists the cores of the boards, and two for which only loops and tiles
// are shown.
func modelled() []core {
	return []core{
		{"A76", "Cortex-A76", arm64.NeonDot(), "neoverse-n1", cores.CortexA76()},
		{"A72", "Cortex-A72", arm64.Neon(), "cortex-a72", cores.CortexA72()},
		{"A53", "Cortex-A53", arm64.NeonA53(), "", cores.CortexA53()},
		{name: "Neoverse N2", design: "Neoverse-N2", kernel: arm64.I8MM(), cpu: "neoverse-n2"},
		{name: "Neoverse V1", design: "Neoverse-V1", kernel: arm64.I8MM(), cpu: "neoverse-v1"},
	}
}

func (c core) peak() float64 { return cores.Peak(c.kernel.Name, c.design) }

// tiles is those that requantize, and the one for int16 tensors.
func tiles(k arm64.Description) []arm64.Tile {
	if k.Sums.Function == "" {
		return k.Tiles
	}
	return append(slices.Clone(k.Tiles), k.Sums)
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
