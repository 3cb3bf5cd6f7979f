package calibrate

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// correlated makes pictures' tensors whose channels depend on each other, as
// those of trained networks do.
func correlated(rng *rand.Rand, shape tensor.Shape) func() []float32 {
	const causes = 12
	mix := normal(rng, shape.C*causes)
	return func() []float32 {
		x := make([]float32, shape.Elements())
		for p := 0; p < len(x); p += shape.C {
			cause := normal(rng, causes)
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

func sampled(t *testing.T, u unit, shape tensor.Shape, image func() []float32) *covariance {
	t.Helper()
	s := newSampler(u, shape)
	for range 60 {
		require.NoError(t, s.add(image()))
	}
	cov, err := s.covariance()
	require.NoError(t, err)
	return cov
}

// expected is the sum of d'Cd over all rows.
func expected(t *testing.T, cov *covariance, weight []float32, r *rounded) (sum float64) {
	t.Helper()
	g, err := cov.gradient(weight, r)
	require.NoError(t, err)
	for i, w := range weight {
		sum += (float64(r.weight[i])*r.scales[i/cov.depth] - float64(w)) * float64(g[i])
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

// Rounding by second moments lessens the error on pictures that it has not seen.
func TestStepsLessenTheErrorOnOtherPictures(t *testing.T) {
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
			op := conv2d(rng, c.window, c.groups, shape.C, 24)
			u := unit{name: "c", op: op, inputs: []string{"x"}, shape: tensor.Shape{C: 24}}
			image := correlated(rng, shape)
			seen, unseen := sampled(t, u, shape, image), sampled(t, u, shape, image)
			r := newRounder(&models.Graph{InputName: "image"}, []unit{u}).nearest(u)
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

// A covariance of one window is that of the window: here the input has it as a
// whole, and channels are independent of each other.
func TestCovarianceOfIndependentChannels(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	shape := tensor.Shape{H: 4, W: 4, C: 5}
	u := unit{op: &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 5, OutC: 1}}
	s := newSampler(u, shape)
	for range 2000 {
		x := normal(rng, shape.Elements())
		for i := range x {
			x[i] = x[i]*float32(i%5+1) + 10
		}
		require.NoError(t, s.add(x))
	}
	cov, err := s.covariance()
	require.NoError(t, err)
	mean := (1 + 4 + 9 + 16 + 25) / 5.0
	for i := range 5 {
		for j := range 5 {
			want := 0.0
			if i == j {
				want = float64((i+1)*(i+1)) + damping*mean
			}
			require.InDelta(t, want, cov.of(0, 1)[i*5+j], 0.03*float64((i+1)*(j+1)))
		}
	}
}

// Scales by second moments care for the weights whose inputs vary.
func TestScaleServesTheInputsThatVary(t *testing.T) {
	row := []float32{1, 0.30, 0.31, 0.29, -0.3}
	cov := &covariance{5, [][]float32{make([]float32, 25)}}
	cov.groups[0][0] = 1 // only the largest weight's input varies
	require.InDelta(t, 1, 127*cov.scale(row, 0, 1), 0.01, "which must not be clipped")
	require.Zero(t, cov.scale(make([]float32, 5), 0, 1))
}

func TestStepsAreTheSameOnceStored(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	steps := make(Steps, 1000)
	for i := range steps {
		steps[i] = int8.Value(rng.IntN(3) - 1)
	}
	text, err := json.Marshal(steps)
	require.NoError(t, err)
	require.Less(t, len(text), 500)
	var stored Steps
	require.NoError(t, json.Unmarshal(text, &stored))
	require.Equal(t, steps, stored)
	for _, hostile := range []string{`"???"`, `"AAAA"`, `"` + "c3RlcHM=" + `"`} {
		require.Error(t, json.Unmarshal([]byte(hostile), &stored), hostile)
	}
}
