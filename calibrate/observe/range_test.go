package observe

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
)

func TestLeastSquaresRangeBeatsMinMaxAndPercentile(t *testing.T) {
	for _, signed := range []bool{false, true} {
		h := NewHistogram()
		require.NoError(t, h.Add(gaussian(100_000, 0, signed)))
		require.NoError(t, h.Add([]float32{20})) // an outlier
		full, mse, cut := h.Range(quantize.MinMax, nil), h.Range(quantize.MSE, nil), h.Range(quantize.Percentile, nil)
		require.EqualValues(t, 20, full.Max)
		require.Less(t, mse.Max, full.Max)
		require.Less(t, h.bins().loss(mse, 1), h.bins().loss(full, 1))
		require.LessOrEqual(t, h.bins().loss(mse, 1), h.bins().loss(cut, 1))
		require.InDelta(t, 3.9, cut.Max, 0.5) // of a normal distribution
		require.Equal(t, signed, mse.Min < 0)

		wide := h.Range(quantize.ClipMSE, nil)
		require.Greater(t, wide.Max, mse.Max)
		require.Less(t, wide.Max, full.Max)
		require.Less(t, h.bins().loss(wide, clipWeight), h.bins().loss(mse, clipWeight))
	}
}

func TestDeadTensorGetsAFiniteRange(t *testing.T) {
	h := NewHistogram()
	require.NoError(t, h.Add(make([]float32, 10)))
	for _, m := range quantize.Methods() {
		requireSound(t, h.Range(m, nil))
	}
}

// requireSound checks that a range can be quantized to.
func requireSound(t *testing.T, r quantize.Range) {
	t.Helper()
	require.LessOrEqual(t, r.Min, 0.0)
	require.GreaterOrEqual(t, r.Max, 0.0)
	require.Greater(t, r.Max-r.Min, 1e-30)
	require.Less(t, r.Max-r.Min, 1e30)
}

func repeated(v float32, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = v
	}
	return values
}

// Whatever a tensor holds, its range has a usable scale and is no wider than
// the values.
func TestEveryMethodGivesAFiniteScale(t *testing.T) {
	outlier := append(gaussian(5000, 0, false), 1e6)
	for name, values := range map[string][]float32{
		"zeros": repeated(0, 100), "constant": repeated(3, 100), "negative": repeated(-0.1, 100),
		"tiny": repeated(math.SmallestNonzeroFloat32, 100), "great": repeated(1e25, 10),
		"one value": {7}, "one of many": append(repeated(0, 100_000), 2), "both signs": {-1, 1e-9},
		"outlier": outlier, "normal": gaussian(5000, 1, true), "rectified": gaussian(5000, 1, false),
	} {
		h := NewHistogram()
		require.NoError(t, h.Add(values))
		for _, m := range quantize.Methods() {
			r := h.Range(m, nil)
			requireSound(t, r)
			scale, zero := r.Params()
			require.Greater(t, scale, 0.0, "%s: %s", name, m)
			require.InDelta(t, 0, r.Min+float64(int(zero)+128)*scale, scale, "%s: %s: zero has a code", name, m)
			if h.max > 1e-20 || h.min < -1e-20 {
				require.LessOrEqual(t, r.Max, float64(h.max), "%s: %s", name, m)
				require.GreaterOrEqual(t, r.Min, float64(h.min), "%s: %s", name, m)
			}
		}
	}
}

func TestRangesDoNotDependOnRepetition(t *testing.T) {
	values := gaussian(3000, 2, true)
	once, often := NewHistogram(), NewHistogram()
	require.NoError(t, once.Add(values))
	for range 8 {
		require.NoError(t, often.Add(values))
	}
	for _, m := range []quantize.Method{quantize.ClipMSE, quantize.MSE, quantize.Entropy, quantize.MinMax} {
		require.Equal(t, once.Range(m, nil), often.Range(m, nil), m)
	}
}

func TestEntropyCutsOutliersAndKeepsTheRest(t *testing.T) {
	h := NewHistogram()
	require.NoError(t, h.Add(append(gaussian(100_000, 0, false), 40)))
	require.InDelta(t, 4.5, h.Range(quantize.Entropy, nil).Max, 2.5) // of a normal distribution

	even := NewHistogram()
	for i := range 200_000 {
		require.NoError(t, even.Add([]float32{float32(i) / 200_000}))
	}
	require.InDelta(t, 1, even.Range(quantize.Entropy, nil).Max, 1e-3)
}

// The divergence by its definition, of counts small enough to do by hand.
func TestDivergence(t *testing.T) {
	// p = 1/8 3/8 2/8 2/8, q = 2/6 2/6 2/6, 0 without the clipped values.
	require.True(t, math.IsInf(divergence([]float64{1, 3, 2, 0, 2}, 4, 4), 1))
	// Levels of two bins: q = 2/8 2/8 2/8 2/8.
	want := 1./8*math.Log(1./2) + 3./8*math.Log(3./2)
	require.InDelta(t, want, divergence([]float64{1, 3, 2, 2}, 4, 2), 1e-12)
	// Two clipped values on the last bin: p = 1/10 3/10 2/10 4/10, q as before.
	want = .1*math.Log(.1*4) + .3*math.Log(.3*4) + .2*math.Log(.2*4) + .4*math.Log(.4*4)
	require.InDelta(t, want, divergence([]float64{1, 3, 2, 2, 1, 1}, 4, 2), 1e-12)
	require.Zero(t, divergence([]float64{5, 0, 0, 5}, 4, 2), "empty bins stay empty")
}
