package graphtest

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// volume is a tensor of the float64 reference.
type volume struct {
	tensor.Shape
	values []float64
}

func newVolume(s tensor.Shape) volume { return volume{s, make([]float64, s.Elements())} }

func (v volume) at(y, x, c int) *float64 { return &v.values[(y*v.W+x)*v.C+c] }

// within returns a value and whether it lies inside the image.
func (v volume) within(y, x, c int) (float64, bool) {
	if y < 0 || y >= v.H || x < 0 || x >= v.W {
		return 0, false
	}
	return *v.at(y, x, c), true
}

// Reference computes every node of g by its definition, in float64.
func Reference(t testing.TB, g *models.Graph, image []float32) map[string][]float64 {
	t.Helper()
	t.Helper()
	in := newVolume(g.Input())
	for i, v := range image {
		in.values[i] = float64(v)
	}
	volumes := []volume{in} // by tensor
	results := map[string][]float64{}
	for _, n := range g.Nodes {
		out := newVolume(n.Shape)
		var src []volume
		for _, id := range n.Inputs {
			src = append(src, volumes[id])
		}
		referenceOp(t, n.Op, out, src)
		volumes, results[n.Name] = append(volumes, out), out.values
	}
	return results
}

func referenceOp(t testing.TB, op models.Op, out volume, src []volume) {
	t.Helper()
	in := src[0]
	each := func(value func(y, x, c int) float64) {
		for y := range out.H {
			for x := range out.W {
				for c := range out.C {
					*out.at(y, x, c) = value(y, x, c)
				}
			}
		}
	}
	switch op := op.(type) {
	case *models.Conv:
		each(func(y, x, c int) float64 { return referenceConv(op, in, y, x, c) })
	case *models.Dense:
		each(func(_, _, c int) float64 {
			sum := 0.0
			if op.Bias != nil {
				sum = float64(op.Bias[c])
			}
			for i, v := range in.values {
				sum += v * float64(op.Weight[c*op.In+i])
			}
			return sum
		})
	case *models.BatchNorm:
		each(func(y, x, c int) float64 {
			normalized := (*in.at(y, x, c) - float64(op.Mean[c])) / math.Sqrt(float64(op.Variance[c])+float64(op.Epsilon))
			return float64(op.Gamma[c])*normalized + float64(op.Beta[c])
		})
	case models.ReLU:
		each(func(y, x, c int) float64 { return max(*in.at(y, x, c), 0) })
	case models.Add:
		each(func(y, x, c int) float64 { return *in.at(y, x, c) + *src[1].at(y, x, c) })
	case *models.MaxPool:
		each(func(y, x, c int) float64 {
			_, greatest, _ := referenceWindow(op.Window, in, y, x, c)
			return greatest
		})
	case *models.AveragePool:
		each(func(y, x, c int) float64 {
			sum, _, count := referenceWindow(op.Window, in, y, x, c)
			if op.CountPad {
				count = op.KH * op.KW
			}
			return sum / float64(count)
		})
	case models.GlobalAveragePool:
		whole := tensor.Window{KH: in.H, KW: in.W, StrideH: 1, StrideW: 1}
		each(func(_, _, c int) float64 {
			sum, _, count := referenceWindow(whole, in, 0, 0, c)
			return sum / float64(count)
		})
	case models.Softmax:
		sum := 0.0
		for _, v := range in.values {
			sum += math.Exp(v)
		}
		each(func(y, x, c int) float64 { return math.Exp(*in.at(y, x, c)) / sum })
	default:
		require.Failf(t, "no reference", "%T", op)
	}
}

func referenceConv(op *models.Conv, in volume, y, x, c int) float64 {
	sum := 0.0
	if op.Bias != nil {
		sum = float64(op.Bias[c])
	}
	perGroup := op.InC / op.Groups
	first := c / (op.OutC / op.Groups) * perGroup
	for ky := range op.KH {
		for kx := range op.KW {
			for i := range perGroup {
				v, _ := in.within(y*op.StrideH-op.Top+ky, x*op.StrideW-op.Left+kx, first+i)
				sum += v * float64(op.Weight[((c*op.KH+ky)*op.KW+kx)*perGroup+i])
			}
		}
	}
	return sum
}

func referenceWindow(w tensor.Window, in volume, y, x, c int) (sum, greatest float64, count int) {
	greatest = math.Inf(-1)
	for ky := range w.KH {
		for kx := range w.KW {
			if v, ok := in.within(y*w.StrideH-w.Top+ky, x*w.StrideW-w.Left+kx, c); ok {
				sum, greatest, count = sum+v, max(greatest, v), count+1
			}
		}
	}
	return sum, greatest, count
}

// RequireClose compares values, to a share of the largest.
func RequireClose(t testing.TB, want []float64, got []float32, relative float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	scale := 0.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		require.InDelta(t, want[i], got[i], relative*scale, "%s: value %d", what, i)
	}
}
