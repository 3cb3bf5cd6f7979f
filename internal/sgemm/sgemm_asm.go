//go:build (amd64 || arm64) && !purego

package sgemm

import "unsafe"

// args is what a kernel in assembly takes. Distances are in bytes.
type args struct {
	x, y, residual, panel *float32
	tiles                 int
	runs, depth           int // of a window, and values of a run
	stride, pitch         int // between windows, and between the runs of one
	yStride               int
	limits                Limits
	ahead                 uintptr // what to call into the cache meanwhile
	pace                  int     // how much of it for each value
}

func (m *product) args(y Results, x Windows, depth, n int) args {
	const size = int(unsafe.Sizeof(float32(0)))
	return args{
		x: &x.Values[0], y: &y.Values[0], residual: unsafe.SliceData(y.Residual), panel: &m.panel[0],
		tiles: n, runs: m.runs, depth: depth,
		stride: x.Stride * size, pitch: x.Pitch * size, yStride: y.Stride * size,
		limits: y.limits(),
		ahead:  uintptr(unsafe.Pointer(&m.panel[0])) + uintptr((len(m.panel)+m.called)*size), pace: m.pace * size,
	}
}
