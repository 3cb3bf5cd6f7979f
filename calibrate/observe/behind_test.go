package observe

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/models"
)

// Where a function follows, its error counts: HardSwish is 0 below -3, and codes there
// would be wasted.
func TestRangeBehindAFunction(t *testing.T) {
	rng, h := rand.New(rand.NewPCG(1, 5)), NewHistogram()
	values := make([]float32, 1<<14)
	for i := range values {
		values[i] = float32(5 * rng.NormFloat64())
	}
	require.NoError(t, h.Add(values))
	f := models.Activation{Function: models.HardSwish}.Apply
	plain, behind := h.Range(quantize.MSE, nil), h.Range(quantize.MSE, f)
	require.Less(t, plain.Min, -10.0)
	require.InDelta(t, -3, behind.Min, 0.5)
	bins := h.behind(f)
	require.Less(t, bins.loss(behind, 1, f), 0.6*bins.loss(plain, 1, f))
	require.Equal(t, h.Limits(), h.Range(quantize.MinMax, f))
}
