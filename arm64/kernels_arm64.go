//go:build !purego

package arm64

import (
	"slices"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// Kernels lists the kernels that this CPU can run, the fastest first.
func Kernels() []int8.Kernel { return kernels(Detect()) }

func kernels(cpu CPU) []int8.Kernel {
	var kernels []int8.Kernel
	if cpu.Int8Matrix && cpu.DotProduct {
		k := i8mm().Kernel()
		k.ConvolutionInt16 = neonDot().PackInt16
		kernels = append(kernels, k)
	}
	if cpu.DotProduct {
		kernels = append(kernels, neonDot().Kernel())
	}
	if slices.ContainsFunc(cpu.Fast(), func(c Core) bool { return c.MIDR.InOrder() }) {
		return append(kernels, neonA53().Kernel(), neon().Kernel())
	}
	return append(kernels, neon().Kernel(), neonA53().Kernel())
}

// i8mm is for cores with matrix products, such as the Neoverse-N2 and Apple's
// M2. It has no sums for int16 tensors: neonDot's do.
func i8mm() *tile.Micro {
	return &tile.Micro{
		Name: "i8mm", NR: 16, KR: 8,
		Shapes: []tile.Shape{{MR: 4, Run: conv4I8MM}, {MR: 2, Run: conv2I8MM}},
		Dense:  denseNEON, Max: maxNEON,
	}
}

// neonDot is for cores with dot product, such as the Cortex-A76.
func neonDot() *tile.Micro {
	return &tile.Micro{
		Name: "neondot", NR: 8, KR: 4,
		Shapes: []tile.Shape{{MR: 7, Run: conv7NeonDot}, {MR: 8, Run: conv8NeonDot}},
		Sums:   tile.Shape{MR: 7, Run: sums7NeonDot}, Requantize: requantizeNEON,
		Dense: denseNEON, Max: maxNEON,
	}
}

//go:noescape
func conv4I8MM(a tile.Args)

//go:noescape
func conv2I8MM(a tile.Args)

//go:noescape
func conv7NeonDot(a tile.Args)

//go:noescape
func conv8NeonDot(a tile.Args)

//go:noescape
func sums7NeonDot(a tile.Args)
