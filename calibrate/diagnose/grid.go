package diagnose

import (
	"math"

	"edgeclassify/calibrate/fp32"
)

// grid is the values that a tensor can have: multiples of 1/steps, or all where
// steps is 0, from lo to hi.
type grid struct {
	elementwise
	steps, lo, hi float64
}

// Kind implements models.Op.
func (*grid) Kind() string { return "grid" }

// Compile implements fp32.Compiler.
func (g *grid) Compile() fp32.Operation { return fp32.Operation{Run: g.run, OverX: true} }

func (g *grid) run(w fp32.Worker, y []float32, in [][]float32) {
	x := in[0]
	from, to := w.Part(len(y), fp32.Line)
	for i, v := range x[from:to] {
		y[from+i] = float32(g.nearest(float64(v)))
	}
}

// nearest rounds half up, as the integer arithmetic does.
func (g *grid) nearest(v float64) float64 {
	if g.steps != 0 {
		v = math.Floor(float64(v*g.steps)+0.5) / g.steps
	}
	return max(g.lo, min(g.hi, v))
}
