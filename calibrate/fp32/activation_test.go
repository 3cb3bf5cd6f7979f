package fp32

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
)

func TestExp(t *testing.T) {
	for i := range 1_000_000 {
		x := float32(i-500_000) * 1.7e-4
		require.InEpsilon(t, math.Exp(float64(x)), exp(x), 0x1p-22, "exp(%v)", x)
	}
	require.True(t, math.IsNaN(float64(exp(float32(math.NaN())))))
}

func TestActivationOfGreatValues(t *testing.T) {
	for name, want := range map[models.Function][3]float32{
		models.Sigmoid: {0, 0, 1}, models.Swish: {0, 0, 1e30}, models.Softplus: {0, 0, 1e30}, models.Tanh: {-1, -1, 1},
	} {
		var y [3]float32
		function(models.Activation{Function: name, Alpha: 1})(y[:], []float32{-1e30, -300, 1e30})
		for i := range want {
			require.InDelta(t, want[i], y[i], 1e-8, "%s %d", name, i)
		}
	}
}

// Values one by one, which no kernel takes, have the same bits.
func TestActivationsHaveTheSameBits(t *testing.T) {
	inf, rng := float32(math.Inf(1)), rand.New(rand.NewPCG(10, 10))
	for _, op := range []models.Activation{{Function: models.Sigmoid}, {Function: models.Swish, Alpha: 1}, {Function: models.Swish, Alpha: 1.702}} {
		for n := range 40 {
			x := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()), 87.5, -89, 1e-40}
			for len(x) < 8+n*n {
				x = append(x, float32(rng.NormFloat64()*math.Exp2(float64(rng.IntN(12)-5))))
			}
			y := make([]float32, len(x)+9)
			function(op)(y[:len(x)], x)
			for i, v := range x {
				var want [1]float32
				function(op)(want[:], []float32{v})
				if want[0] == want[0] {
					require.Equal(t, math.Float32bits(want[0]), math.Float32bits(y[i]), "%v of %v", op, v)
				} else {
					require.True(t, y[i] != y[i], "%v of %v", op, v)
				}
			}
			require.Equal(t, make([]float32, 9), y[len(x):])
		}
	}
}
