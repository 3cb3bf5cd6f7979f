//go:build !purego

package arm64

import (
	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// Kernels lists the kernels that this CPU can run, the fastest first.
func Kernels() []int8.Kernel {
	cpu := Detect()
	var kernels []int8.Kernel
	if cpu.Int8Matrix {
		kernels = append(kernels, i8mm().Kernel())
	}
	if cpu.DotProduct {
		kernels = append(kernels, neonDot().Kernel())
	}
	return kernels
}

// i8mm is for cores with matrix products, such as the Neoverse-N2 and Apple's
// M2.
func i8mm() *tile.Micro {
	return &tile.Micro{
		Name: "i8mm", Channels: 16, Depth: 8,
		Shapes: []tile.Shape{{Pixels: 4, Run: conv4I8MM}, {Pixels: 2, Run: conv2I8MM}},
		Dense:  denseNEON, Max: maxNEON,
	}
}

// neonDot is for cores with dot product, such as the Cortex-A76.
func neonDot() *tile.Micro {
	return &tile.Micro{
		Name: "neondot", Channels: 8, Depth: 4,
		Shapes: []tile.Shape{{Pixels: 7, Run: conv7NeonDot}, {Pixels: 8, Run: conv8NeonDot}},
		Dense:  denseNEON, Max: maxNEON,
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
