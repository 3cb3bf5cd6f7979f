package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func gaussian(n int, seed uint64, signed bool) []float32 {
	random := rand.New(rand.NewPCG(seed, 3))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(random.NormFloat64() * math.Pow(2, float64(seed)))
		if !signed {
			v[i] = max(0, v[i])
		}
	}
	return v
}

func TestHistogramDoesNotDependOnOrderOrParts(t *testing.T) {
	parts := [][]float32{gaussian(500, 1, true), gaussian(500, 9, false), gaussian(500, 4, true), {0, 0, 1e-30}}
	whole := newHistogram()
	for _, p := range parts {
		require.NoError(t, whole.add(p))
	}
	joined := newHistogram()
	for i := len(parts) - 1; i >= 0; i-- {
		h := newHistogram()
		require.NoError(t, h.add(parts[i]))
		joined.join(h)
	}
	require.Equal(t, whole, joined)
	total := whole.zeros
	whole.each(func(_ float64, n uint64) { total += n })
	require.EqualValues(t, 1503, total)
}

func TestHistogramRejectsNaNAndInfinity(t *testing.T) {
	require.Error(t, newHistogram().add([]float32{1, float32(math.NaN())}))
	require.Error(t, newHistogram().add([]float32{float32(math.Inf(-1))}))
}

func TestLeastSquaresRangeBeatsMinMaxAndPercentile(t *testing.T) {
	for _, signed := range []bool{false, true} {
		h := newHistogram()
		require.NoError(t, h.add(gaussian(100_000, 0, signed)))
		require.NoError(t, h.add([]float32{20})) // an outlier
		full, mse, cut := MinMax.choose(h), MSE.choose(h), Percentile.choose(h)
		require.EqualValues(t, 20, full.Max)
		require.Less(t, mse.Max, full.Max)
		require.Less(t, h.loss(mse, 1), h.loss(full, 1))
		require.LessOrEqual(t, h.loss(mse, 1), h.loss(cut, 1))
		require.InDelta(t, 3.9, cut.Max, 0.5) // of a normal distribution
		require.Equal(t, signed, mse.Min < 0)

		wide := ClipMSE.choose(h)
		require.Greater(t, wide.Max, mse.Max)
		require.Less(t, wide.Max, full.Max)
		require.Less(t, h.loss(wide, clipWeight), h.loss(mse, clipWeight))
	}
}

func TestDeadTensorGetsAFiniteRange(t *testing.T) {
	h := newHistogram()
	require.NoError(t, h.add(make([]float32, 10)))
	for _, m := range Methods() {
		require.NoError(t, m.choose(h).check())
	}
}

func TestWeightScaleOfDeadAndPlainChannels(t *testing.T) {
	require.Zero(t, weightScale(make([]float32, 9)))
	require.InDelta(t, 0.5, weightScale([]float32{63.5, -63.5, 1, -0.5}), 1e-6)
}
