//go:build !purego

package arm64

import "edgeclassify/int8/tile"

// neon is for out-of-order cores without dot product, such as the Cortex-A72.
func neon() *tile.Micro {
	return &tile.Micro{
		Name: "neon", NR: 4, KR: 16,
		Shapes: []tile.Shape{{MR: 4, Run: conv4NEON}, {MR: 3, Run: conv3NEON}},
		Sums:   tile.Shape{MR: 4, Run: sums4NEON}, Requantize: requantizeNEON,
		Dense: denseNEON, Max: maxNEON,
	}
}

// neonA53 is for in-order cores without dot product, such as the Cortex-A53. It
// has neon's way with int16 tensors.
func neonA53() *tile.Micro {
	return &tile.Micro{
		Name: "neon_a53", NR: 4, KR: 16,
		Shapes: []tile.Shape{{MR: 3, Run: conv3A53}, {MR: 2, Run: conv2A53}},
		Sums:   tile.Shape{MR: 4, Run: sums4NEON}, Requantize: requantizeNEON,
		WideSteps: WideSteps, Wide: WideA53,
		Dense: denseNEON, Max: maxNEON,
	}
}

//go:noescape
func conv4NEON(a tile.Args)

//go:noescape
func conv3NEON(a tile.Args)

//go:noescape
func sums4NEON(a tile.Args)

//go:noescape
func conv3A53(a tile.Args)

//go:noescape
func conv2A53(a tile.Args)
