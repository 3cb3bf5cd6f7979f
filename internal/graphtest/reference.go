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
		reference, ok := references[n.Op.Kind()]
		require.True(t, ok, "no reference of %T", n.Op)
		value := reference(n.Op, src)
		for y := range out.H {
			for x := range out.W {
				for c := range out.C {
					*out.at(y, x, c) = value(y, x, c)
				}
			}
		}
		volumes, results[n.Name] = append(volumes, out), out.values
	}
	return results
}

// value gives an operation's output.
type value = func(y, x, c int) float64

// references define the operations by their kind.
var references = map[string]func(op models.Op, in []volume) value{
	"conv": func(op models.Op, in []volume) value {
		return func(y, x, c int) float64 { return referenceConv(op.(*models.Conv), in[0], y, x, c) }
	},
	"dense": func(op models.Op, in []volume) value {
		d := op.(*models.Dense)
		return func(_, _, c int) float64 {
			sum := 0.0
			if d.Bias != nil {
				sum = float64(d.Bias[c])
			}
			for i, v := range in[0].values {
				sum += v * float64(d.Weight[c*d.In+i])
			}
			return sum
		}
	},
	"batchnorm": func(op models.Op, in []volume) value {
		b := op.(*models.BatchNorm)
		return func(y, x, c int) float64 {
			normalized := (*in[0].at(y, x, c) - float64(b.Mean[c])) / math.Sqrt(float64(b.Variance[c])+float64(b.Epsilon))
			return float64(b.Gamma[c])*normalized + float64(b.Beta[c])
		}
	},
	"activation": func(op models.Op, in []volume) value {
		a := op.(models.Activation)
		return func(y, x, c int) float64 { return referenceActivation(a, *in[0].at(y, x, c)) }
	},
	"channelactivation": func(op models.Op, in []volume) value {
		a := op.(*models.ChannelActivation)
		return func(y, x, c int) float64 { return a.Func(c)(*in[0].at(y, x, c)) }
	},
	"clip": func(op models.Op, in []volume) value {
		l := op.(models.Clip)
		return func(y, x, c int) float64 { return min(max(*in[0].at(y, x, c), float64(l.Min)), float64(l.Max)) }
	},
	"concat": func(_ models.Op, in []volume) value {
		return func(y, x, c int) float64 {
			i := 0
			for ; c >= in[i].C; i++ {
				c -= in[i].C
			}
			return *in[i].at(y, x, c)
		}
	},
	"gather": func(op models.Op, in []volume) value {
		return func(y, x, c int) float64 { return *in[0].at(y, x, op.(*models.Gather).Indices[c]) }
	},
	"mul": func(_ models.Op, in []volume) value {
		return func(y, x, c int) float64 {
			return *in[0].at(y, x, c) * *in[1].at(min(y, in[1].H-1), min(x, in[1].W-1), c)
		}
	},
	"pad": func(op models.Op, in []volume) value {
		p := op.(models.Pad)
		return func(y, x, c int) float64 {
			v, _ := in[0].within(y-p.Top, x-p.Left, c)
			return v
		}
	},
	"relu": func(_ models.Op, in []volume) value {
		return func(y, x, c int) float64 { return max(*in[0].at(y, x, c), 0) }
	},
	"add": func(_ models.Op, in []volume) value {
		return func(y, x, c int) float64 { return *in[0].at(y, x, c) + *in[1].at(y, x, c) }
	},
	"maxpool": func(op models.Op, in []volume) value {
		return func(y, x, c int) float64 {
			_, greatest, _ := referenceWindow(op.(*models.MaxPool).Window, in[0], y, x, c)
			return greatest
		}
	},
	"avgpool": func(op models.Op, in []volume) value {
		p := op.(*models.AveragePool)
		return func(y, x, c int) float64 {
			sum, _, count := referenceWindow(p.Window, in[0], y, x, c)
			if p.CountPad {
				count = p.KH * p.KW
			}
			return sum / float64(count)
		}
	},
	"globalavgpool": func(_ models.Op, in []volume) value {
		whole := tensor.Window{KH: in[0].H, KW: in[0].W, StrideH: 1, StrideW: 1}
		return func(_, _, c int) float64 {
			sum, _, count := referenceWindow(whole, in[0], 0, 0, c)
			return sum / float64(count)
		}
	},
	"softmax": func(_ models.Op, in []volume) value {
		sum := 0.0
		for _, v := range in[0].values {
			sum += math.Exp(v)
		}
		return func(y, x, c int) float64 { return math.Exp(*in[0].at(y, x, c)) / sum }
	},
}

// referenceActivation has the formulas of ONNX's operators.
func referenceActivation(a models.Activation, x float64) float64 {
	alpha, beta := float64(a.Alpha), float64(a.Beta)
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	switch a.Function {
	case models.Sigmoid:
		return sigmoid(x)
	case models.HardSigmoid:
		return max(0, min(1, alpha*x+beta))
	case models.HardSwish:
		return x * max(0, min(6, x+3)) / 6
	case models.Swish:
		return x * sigmoid(alpha*x)
	case models.LeakyReLU:
		if x < 0 {
			return alpha * x
		}
		return x
	case models.ELU:
		if x < 0 {
			return alpha * (math.Exp(x) - 1)
		}
		return x
	case models.GELU:
		return 0.5 * x * (1 + math.Erf(x/math.Sqrt2))
	case models.GELUTanh:
		return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case models.Tanh:
		return 2*sigmoid(2*x) - 1
	case models.Softplus:
		return math.Log(math.Exp(x) + 1)
	case models.Mish:
		return x * math.Tanh(math.Log(1+math.Exp(x)))
	}
	return math.NaN()
}

func referenceConv(op *models.Conv, in volume, y, x, c int) float64 {
	sum := 0.0
	if op.Bias != nil {
		sum = float64(op.Bias[c])
	}
	perGroup := op.InC / op.Groups
	first := c / (op.OutC / op.Groups) * perGroup
	stepH, stepW := op.Steps()
	for ky := range op.KH {
		for kx := range op.KW {
			for i := range perGroup {
				v, _ := in.within(y*op.StrideH-op.Top+ky*stepH, x*op.StrideW-op.Left+kx*stepW, first+i)
				sum += v * float64(op.Weight[((c*op.KH+ky)*op.KW+kx)*perGroup+i])
			}
		}
	}
	return sum
}

func referenceWindow(w tensor.Window, in volume, y, x, c int) (sum, greatest float64, count int) {
	greatest = math.Inf(-1)
	stepH, stepW := w.Steps()
	for ky := range w.KH {
		for kx := range w.KW {
			if v, ok := in.within(y*w.StrideH-w.Top+ky*stepH, x*w.StrideW-w.Left+kx*stepW, c); ok {
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
		require.InDelta(t, want[i], got[i], max(relative*scale, 1e-30), "%s: value %d", what, i)
	}
}
