//go:build !purego

package sgemm

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// winogradIn does what WinogradIn does, if the machine has the kernel.
func winogradIn(dst []float32, apart int, src []float32, pitch, channels int) bool {
	if !cpu.X86.HasAVX2 || channels%8 != 0 {
		return false
	}
	winogradInAVX2(&dst[0], &src[0], 4*apart, 4*pitch, 4*channels, channels/8)
	return true
}

// winogradOut does what WinogradOut does, if the machine has the kernel.
func winogradOut(y, residual *[4][]float32, products []float32, apart int, limits Limits) bool {
	channels := len(y[0])
	if !cpu.X86.HasAVX2 || channels%8 != 0 {
		return false
	}
	a := winogradOutArgs{products: &products[0], apart: 4 * apart, eights: channels / 8, limits: limits}
	for i := range y {
		a.y[i] = &y[i][0]
		if residual != nil {
			a.residual[i] = unsafe.SliceData(residual[i])
		}
	}
	winogradOutAVX2(a)
	return true
}

// winogradOutArgs is what the kernel takes. Distances are in bytes.
type winogradOutArgs struct {
	products      *float32
	apart, eights int
	y, residual   [4]*float32
	limits        Limits
}

//go:noescape
func winogradInAVX2(dst, src *float32, apart, pitch, pixel, eights int)

//go:noescape
func winogradOutAVX2(a winogradOutArgs)
