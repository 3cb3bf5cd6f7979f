//go:build !purego

package sgemm

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

func tapsISA() isa {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return avx2
	}
	return portable
}

// tapsArgs is what the kernel takes. Distances are in bytes.
type tapsArgs struct {
	y, x, residual, weight, bias *float32
	eights                       int // of channels
	rows, columns                int
	xRow, xColumn                int
	weightRow, weightColumn      int
	limits                       Limits
	windows, xStride, yStride    int
}

// run computes all channels, eight at a time; the last eight may be there already.
func (t *Taps) run(y Results, x Area, weight []float32, rows, columns int) {
	const size = int(unsafe.Sizeof(float32(0)))
	a := tapsArgs{
		&y.Values[0], &x.Values[0], unsafe.SliceData(y.Residual), &weight[0], &t.bias[0],
		t.channels / tapChannels, rows, columns,
		x.RowStride * size, x.ColumnStride * size, t.columns * t.channels * size, t.channels * size, y.limits(),
		x.Count, x.Stride * size, y.Stride * size,
	}
	tapsAVX2(a)
	if last := t.channels - tapChannels; t.channels%tapChannels != 0 {
		a.y, a.x, a.weight, a.bias, a.eights = &y.Values[last], &x.Values[last], &weight[last], &t.bias[last], 1
		if y.Residual != nil {
			a.residual = &y.Residual[last]
		}
		tapsAVX2(a)
	}
}

//go:noescape
func tapsAVX2(a tapsArgs)
