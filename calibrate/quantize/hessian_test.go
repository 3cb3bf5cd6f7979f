package quantize

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// correlated makes images' tensors whose channels depend on each other, as
// those of trained networks do.
func correlated(rng *rand.Rand, shape tensor.Shape) func() []float32 {
	const causes = 12
	mix := graphtest.Normal(rng, shape.C*causes)
	return func() []float32 {
		x := make([]float32, shape.Elements())
		for p := 0; p < len(x); p += shape.C {
			cause := graphtest.Normal(rng, causes)
			for c := range shape.C {
				var v float32
				for k, z := range cause {
					v += mix[c*causes+k] * z
				}
				x[p+c] = max(0, v)
			}
		}
		return x
	}
}

func sampled(t *testing.T, u *Unit, shape tensor.Shape, image func() []float32) *Hessian {
	t.Helper()
	s := NewHessianSampler(u, shape)
	for range 60 {
		require.NoError(t, s.Add(image()))
	}
	h, err := s.Hessian()
	require.NoError(t, err)
	return h
}

// expected is the sum of d'Hd over all rows.
func expected(t *testing.T, h *Hessian, weight []float32, r *rounded) (sum float64) {
	t.Helper()
	g, err := h.gradient(weight, r)
	require.NoError(t, err)
	for i, w := range weight {
		sum += (float64(r.weight[i])*r.scales[i/h.depth] - float64(w)) * float64(g[i])
	}
	return sum
}

func moveBy(r *rounded, steps Steps) *rounded {
	moved := &rounded{r.scales, make([]int8.Value, len(r.weight))}
	for i, q := range r.weight {
		moved.weight[i] = q + steps[i]
	}
	return moved
}

// Hessian-based rounding lessens the error on images that it has not seen.
func TestStepsLessenTheErrorOnOtherImages(t *testing.T) {
	for _, c := range []struct {
		name   string
		window tensor.Window
		groups int
	}{
		{"3x3", tensor.Square(3, 1, 1), 1},
		{"1x1", tensor.Square(1, 1, 0), 1},
		{"strided, in groups", tensor.Square(3, 2, 1), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			shape := tensor.Shape{H: 7, W: 7, C: 32}
			op := graphtest.Conv(rng, c.window, c.groups, shape.C, 24)
			u := &Unit{Op: op}
			image := correlated(rng, shape)
			seen, unseen := sampled(t, u, shape, image), sampled(t, u, shape, image)
			r := roundToNearest(op.Weight, FloatBias(op.Bias, op.OutC))
			steps, err := seen.steps(op.Weight, r)
			require.NoError(t, err)
			moved := moveBy(r, steps)
			before, after := expected(t, unseen, op.Weight, r), expected(t, unseen, op.Weight, moved)
			t.Logf("%.3g -> %.3g", before, after)
			require.Less(t, after, 0.7*before)
			for i, q := range moved.weight {
				require.LessOrEqual(t, max(q, -q), int8.Value(127))
				require.LessOrEqual(t, max(steps[i], -steps[i]), int8.Value(1))
			}
		})
	}
}

// The Hessian of one window is that of the window: here the input has it as a
// whole, and channels are independent of each other.
func TestHessianOfIndependentChannels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	shape := tensor.Shape{H: 4, W: 4, C: 5}
	u := &Unit{Op: &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 5, OutC: 1}}
	s := NewHessianSampler(u, shape)
	for range 2000 {
		x := graphtest.Normal(rng, shape.Elements())
		for i := range x {
			x[i] = x[i]*float32(i%5+1) + 10
		}
		require.NoError(t, s.Add(x))
	}
	h, err := s.Hessian()
	require.NoError(t, err)
	mean := (1 + 4 + 9 + 16 + 25) / 5.0
	for i := range 5 {
		for j := range 5 {
			want := 0.0
			if i == j {
				want = float64((i+1)*(i+1)) + damping*mean
			}
			require.InDelta(t, want, h.of(0, 1)[i*5+j], 0.03*float64((i+1)*(j+1)))
		}
	}
}

// Hessian-weighted scales care for the weights whose inputs vary.
func TestScaleServesTheInputsThatVary(t *testing.T) {
	row := []float32{1, 0.30, 0.31, 0.29, -0.3}
	h := &Hessian{5, [][]float32{make([]float32, 25)}}
	h.groups[0][0] = 1 // only the largest weight's input varies
	require.InDelta(t, 1, 127*h.scale(row, 0, 1), 0.01, "which must not be clipped")
	require.Zero(t, h.scale(make([]float32, 5), 0, 1))
}
