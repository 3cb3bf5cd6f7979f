//go:build amd64 && !purego

package amd64

import (
	"golang.org/x/sys/cpu"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// Kernels lists the kernels that this CPU can run, the fastest first.
func Kernels() []int8.Kernel {
	var kernels []int8.Kernel
	if cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX2 {
		kernels = append(kernels, avx512().Kernel())
	}
	return kernels
}

func avx512() *tile.Micro {
	m := &tile.Micro{
		Name: "avx512vnni", Channels: 32, Depth: 4, Unsigned: true,
		Shapes: []tile.Shape{{Pixels: 14, Run: conv14AVX512}, {Pixels: 7, Run: conv7AVX512}},
		Dense:  denseAVX512, Max: maxAVX2,
	}
	for i := range 16 { // see the assembly
		m.Order = append(m.Order, i/4*8+i%4)
	}
	for _, c := range m.Order {
		m.Order = append(m.Order, c+4)
	}
	return m
}

//go:noescape
func conv14AVX512(a tile.Args)

//go:noescape
func conv7AVX512(a tile.Args)

//go:noescape
func denseAVX512(a tile.DenseArgs)

//go:noescape
func maxAVX2(a tile.MaxArgs)
