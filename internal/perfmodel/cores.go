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
	// Published is the products a cycle of the fastest kernel of this kind whose rate
	// somebody has measured and published.
	Published float64
	// Hides is the cycles of a miss for which the core goes on with other instructions.
	Hides span
	// Ahead is the lines by which the core's prefetcher is ahead of the one that is read.
	Ahead [2]int
}

// modelled lists the cores of the boards, and two for which only loops and tiles
// are shown. On the better side misses are hidden for as long as the reorder buffer takes to
// fill at the kernel's own rate (128 instructions: Arm, Cortex-A76 and Cortex-A72 Software
// Optimization Guides), on the worse one half of that; the A53 has none, and the kernel
// loads some cycles before use. Lines ahead are assumptions. Published rates: Arm Compute
// Library has 29.1 to 29.7 in the tables by which it chooses kernels for the A76, and 5.4 to
// 5.5 for the A72, as ruy has; gemmlowp's comments 3.1 for the A53.
func modelled() []core {
	return []core{
		{"A76", "Cortex-A76", arm64.NeonDot(), "neoverse-n1", cores.CortexA76(), 29.1, span{56, 28}, [2]int{12, 4}},
		{"A72", "Cortex-A72", arm64.Neon(), "cortex-a72", cores.CortexA72(), 5.4, span{64, 32}, [2]int{8, 2}},
		{"A53", "Cortex-A53", arm64.NeonA53(), "", cores.CortexA53(), 3.1, span{8, 0}, [2]int{4, 1}},
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
