//go:build !purego

package sgemm

import "golang.org/x/sys/cpu"

// kernels lists the kernels of this machine, the fastest last.
func kernels() []kernel {
	available := []kernel{portableKernel}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		available = append(available, kernel{avx2, 6, 16})
	}
	if cpu.X86.HasAVX512F {
		available = append(available, kernel{avx512, 14, 32})
	}
	return available
}

func (k kernel) tile(y, x Rows, panel []float32) {
	depth := k.checkTile(y, x, panel)
	switch k.isa {
	case avx2:
		tileAVX2(&y.Values[0], y.Stride, &x.Values[0], x.Stride, &panel[0], depth)
	case avx512:
		tileAVX512(&y.Values[0], y.Stride, &x.Values[0], x.Stride, &panel[0], depth)
	default:
		tileGeneric(y, x, panel, depth)
	}
}

// tileAVX2 is tileGeneric, fused, for a tile of 6x16. Strides count values.
//
//go:noescape
func tileAVX2(y *float32, yStride int, x *float32, xStride int, panel *float32, depth int)

// tileAVX512 is tileGeneric, fused, for a tile of 14x32. Strides count values.
//
//go:noescape
func tileAVX512(y *float32, yStride int, x *float32, xStride int, panel *float32, depth int)
