package observe

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
	whole := NewHistogram()
	for _, p := range parts {
		require.NoError(t, whole.Add(p))
	}
	joined := NewHistogram()
	for i := len(parts) - 1; i >= 0; i-- {
		h := NewHistogram()
		require.NoError(t, h.Add(parts[i]))
		joined.Join(h)
	}
	require.Equal(t, whole, joined)
	total := whole.zeros()
	whole.each(func(_ float64, n uint64) { total += n })
	require.EqualValues(t, 1503, total)
}

func TestBinsOfValues(t *testing.T) {
	const width = 1.0 / 4
	for v, want := range map[float32]int{
		0: 0, float32(math.Copysign(0, -1)): 0,
		math.SmallestNonzeroFloat32: 1, -math.SmallestNonzeroFloat32: -1,
		0.2499: 1, 0.25: 2, -0.2499: -1, -0.25: -2, 0.74: 3, -1000: -4001, half*width - 0.25: half, -half*width + 0.25: -half,
	} {
		require.Equal(t, half+want, bin(v, 1/width), "%g", v)
	}
}

// A value weighs as much as its channel, wherever it falls.
func TestBothHistogramsHaveTheSameBins(t *testing.T) {
	weights := []uint64{3, 1, 1024}
	for _, signed := range []bool{false, true} {
		values := append(gaussian(2999, 2, signed), 0)
		plain, weighted, want, repeated := NewHistogram(), NewHistogram(), NewHistogram(), NewHistogram()
		require.NoError(t, addBoth(plain, weighted, values, weights))
		require.NoError(t, want.Add(values))
		for i, v := range values {
			for range weights[i%3] {
				require.NoError(t, repeated.Add([]float32{v}))
			}
		}
		require.Equal(t, want, plain)
		require.Equal(t, repeated, weighted)
		require.Equal(t, signed, plain.signed())
	}
}

func TestExtremes(t *testing.T) {
	negativeZero := float32(math.Copysign(0, -1))
	for _, c := range []struct {
		values []float32
		lo, hi float32
	}{
		{nil, 0, 0}, {[]float32{3, 4}, 0, 4}, {[]float32{-3, -4}, -4, 0}, {[]float32{negativeZero}, 0, 0},
		{[]float32{math.MaxFloat32, -math.MaxFloat32, 1}, -math.MaxFloat32, math.MaxFloat32},
	} {
		lo, hi, err := extremes(c.values)
		require.NoError(t, err)
		require.Equal(t, c.lo, lo, c.values)
		require.False(t, math.Signbit(float64(lo)) && lo == 0)
		require.Equal(t, c.hi, hi, c.values)
	}
	for _, sign := range []float64{1, -1} {
		for _, v := range []float64{math.NaN(), math.Inf(1)} {
			_, _, err := extremes([]float32{1, float32(math.Copysign(v, sign)), 2})
			require.ErrorContains(t, err, "NaN or infinite")
		}
	}
}

func TestHistogramRejectsNaNAndInfinity(t *testing.T) {
	require.Error(t, NewHistogram().Add([]float32{1, float32(math.NaN())}))
	require.Error(t, NewHistogram().Add([]float32{float32(math.Inf(-1))}))
}
