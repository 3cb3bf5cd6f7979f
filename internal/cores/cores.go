// Package cores is what is known of the speed of processor cores: peaks of
// kernels, and the costs that a model of the machine takes for granted.
package cores

// Peak is the multiply-accumulates that one core of a design can issue per cycle
// with the instructions of a kernel: those of one instruction, times how many
// begin per cycle where none of the others that a sum needs takes its place. 0
// where it is not known. Sources: Arm's Software Optimization Guides of the cores;
// Intel's Optimization Reference Manual.
func Peak(kernel, core string) float64 { return peaks[kernel][core] }

var peaks = map[string]map[string]float64{
	"avx512vnni": { // VPDPBUSD: 64, on two ports
		"Ice Lake server": 128, "Sapphire Rapids": 128, "Emerald Rapids": 128, "Granite Rapids": 128,
	},
	"avx2": { // VPMADDUBSW: 32, on two ports, and a VPMADDWD for three of them
		"Ice Lake server": 48, "Sapphire Rapids": 48, "Emerald Rapids": 48, "Granite Rapids": 48,
	},
	"i8mm": { // SMMLA: 32, on two pipes or four
		"Cortex-A710": 64, "Neoverse-N2": 64, "Neoverse-V1": 128, "Neoverse-V2": 128,
	},
	"neondot": { // SDOT: 16, on two pipes
		"Cortex-A55": 16, "Cortex-A75": 32, "Cortex-A76": 32, "Cortex-A76AE": 32, "Cortex-A77": 32,
		"Cortex-A78": 32, "Cortex-A78AE": 32, "Neoverse-N1": 32,
	},
	"neon": {"Cortex-A57": 8, "Cortex-A72": 8}, // SMULL: 8, on the only pipe that multiplies
	// One vector unit, which adds and loads as well: 384 products take 60 cycles of
	// SMULL, SMLAL and SADALP and 14 of loads.
	"neon_a53": {"Cortex-A53": 5.2},
}

// Costs are cycles that a core is taken to need. The Go code around assembly
// executes about 390 instructions for a call, 30 to copy a few bytes, and 8 for a
// byte of the image or of a pool (counted with scripts/icount.c), of which the A76
// is taken to execute 3 a cycle, the A72 2 and the A53 0.9.
type Costs struct {
	Caches float64 `json:"-"`                     // all cycles times this, for misses of caches, where none are simulated
	Call   float64 `json:"cycles_per_call"`       // Go code around a call of assembly
	Copy   float64 `json:"cycles_per_short_copy"` // a short run of bytes, in Go
	Byte   float64 `json:"cycles_per_byte_in_go"` // of the image and of pools
}

// The costs of the boards' cores.
func CortexA76() Costs { return Costs{1.08, 130, 12, 2.5} }
func CortexA72() Costs { return Costs{1.08, 200, 18, 4} }
func CortexA53() Costs { return Costs{1.10, 430, 40, 9} }

// Convolutions are what the convolutions of a network come to on a core, caches
// not counted, by 'make perf-model' for models without and with int16 outputs.
type Convolutions struct {
	Int8   float64 // products of bytes a cycle, requantization included
	Int16  float64 // the same where a tensor is int16; those of an int16 input are twice as many
	Output float64 // cycles for each output where a tensor is int16
}

// ConvolutionsA76 are those of the Cortex-A76.
func ConvolutionsA76() Convolutions { return Convolutions{28.8, 30.5, 2.5} }
