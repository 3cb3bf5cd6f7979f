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
	if cpu.DotProduct {
		kernels = append(kernels, neonDot().Kernel())
	}
	return kernels
}

func neonDot() *tile.Micro {
	return &tile.Micro{
		Name: "neondot", Channels: 8, Depth: 4,
		Shapes: []tile.Shape{{Pixels: 7, Run: conv7NeonDot}, {Pixels: 8, Run: conv8NeonDot}},
		Dense:  denseNEON, Max: maxNEON,
	}
}

//go:noescape
func conv8NeonDot(a tile.Args)

//go:noescape
func conv7NeonDot(a tile.Args)
