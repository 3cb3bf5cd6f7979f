package diagnose

import (
	"edgeclassify/calibrate/fp32"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// apply is a function of each value: one for all, or one for each channel.
type apply struct {
	elementwise
	functions []func(x float64) float64
}

// Kind implements models.Op.
func (*apply) Kind() string { return "apply" }

// Compile implements fp32.Compiler.
func (a *apply) Compile() fp32.Operation { return fp32.Operation{Run: a.run, OverX: true} }

func (a *apply) run(w fp32.Worker, y []float32, in [][]float32) {
	from, to := w.Part(len(y), fp32.Line)
	for i, v := range in[0][from:to] {
		y[from+i] = float32(a.functions[(from+i)%len(a.functions)](float64(v)))
	}
}

// pairwise is a function of the values of two tensors, the second of which may have
// one pixel for all of the first.
type pairwise struct {
	operation
	function func(x, z float64) float64
}

// Kind implements models.Op.
func (*pairwise) Kind() string { return "pairwise" }

// Infer implements models.Op.
func (*pairwise) Infer(in []tensor.Shape) (tensor.Shape, error) { return models.Mul{}.Infer(in) }

// Compile implements fp32.Compiler.
func (p *pairwise) Compile() fp32.Operation { return fp32.Operation{Run: p.run, OverX: true} }

func (p *pairwise) run(w fp32.Worker, y []float32, in [][]float32) {
	x, z := in[0], in[1]
	from, to := w.Part(len(y), fp32.Line)
	for i := from; i < to; i++ {
		y[i] = float32(p.function(float64(x[i]), float64(z[i%len(z)])))
	}
}
