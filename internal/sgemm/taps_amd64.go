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

// run computes all channels, eight at a time; the last eight may be there already. Where
// a window has too many values for the first cache, a few go over all windows, which
// share them.
func (t *Taps) run(y Results, x Area, weight []float32, rows, columns int) {
	const near = 1 << 12 // values
	most := t.channels / tapChannels
	if x.Count > 1 && rows*columns*t.channels > near {
		most = min(most, 4)
	}
	for c := 0; c < t.channels; {
		c = min(c, t.channels-tapChannels)
		eights := min(most, (t.channels-c)/tapChannels)
		t.part(y, x, weight, rows, columns, c, eights)
		c += eights * tapChannels
	}
}

// part computes eights of channels from one on.
func (t *Taps) part(y Results, x Area, weight []float32, rows, columns, from, eights int) {
	const size = int(unsafe.Sizeof(float32(0)))
	a := tapsArgs{
		&y.Values[from], &x.Values[from], nil, &weight[from], &t.bias[from], eights, rows, columns,
		x.RowStride * size, x.ColumnStride * size, t.columns * t.channels * size, t.channels * size, y.limits(),
		x.Count, x.Stride * size, y.Stride * size,
	}
	if y.Residual != nil {
		a.residual = &y.Residual[from]
	}
	tapsAVX2(a)
}

//go:noescape
func tapsAVX2(a tapsArgs)
