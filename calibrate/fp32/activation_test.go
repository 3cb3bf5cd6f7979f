package fp32

import (
	"math"
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
