package main

// peaks is the multiply-accumulates that one core of a design can do per cycle
// with the instructions of a kernel: of one instruction, times how many begin
// per cycle. Sources: Arm's Software Optimization Guides of the cores; Intel's
// Optimization Reference Manual.
var peaks = map[string]map[string]float64{
	"avx512vnni": { // VPDPBUSD: 64, on two ports
		"Ice Lake server": 128, "Sapphire Rapids": 128, "Emerald Rapids": 128, "Granite Rapids": 128,
	},
	"avx2": { // VPMADDWD: 16, on two ports
		"Ice Lake server": 32, "Sapphire Rapids": 32, "Emerald Rapids": 32, "Granite Rapids": 32,
	},
	"i8mm": { // SMMLA: 32
		"Cortex-A710": 64, "Neoverse-N2": 64, "Neoverse-V1": 128, "Neoverse-V2": 128,
	},
	"neondot": { // SDOT: 16
		"Cortex-A55": 16, "Cortex-A75": 32, "Cortex-A76": 32, "Cortex-A76AE": 32, "Cortex-A77": 32,
		"Cortex-A78": 32, "Cortex-A78AE": 32, "Neoverse-N1": 32,
	},
	"neon":     {"Cortex-A57": 8, "Cortex-A72": 8}, // SMULL: 8, on one pipe
	"neon_a53": {"Cortex-A53": 5.2},                // of SMULL, SMLAL and SADALP, one instruction per cycle
}

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
	return peaks[kernel][core] * float64(threads) * mhz / 1e3
}
