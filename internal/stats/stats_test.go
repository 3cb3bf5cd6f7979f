package stats

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Table I, method 3, of Newcombe, "Two-sided confidence intervals for the
// single proportion: comparison of seven methods", Statistics in Medicine 17
// (1998) 857-872.
func TestWilsonAgreesWithNewcombe(t *testing.T) {
	for _, c := range []struct {
		count, n  int
		low, high float64
	}{
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
	} {
		low, high := Wilson(c.count, c.n)
		require.InDelta(t, c.low, low, 5e-5, c)
		require.InDelta(t, c.high, high, 5e-5, c)

		low, high = Wilson(c.n-c.count, c.n)
		require.InDelta(t, 1-c.high, low, 5e-5, c)
		require.InDelta(t, 1-c.low, high, 5e-5, c)
	}
}

func TestWilsonStaysWithinItsBounds(t *testing.T) {
	low, high := Wilson(0, 0)
	require.Equal(t, []float64{0, 1}, []float64{low, high}, "nothing seen, nothing known")
	for n := 1; n < 100; n++ {
		for count := range n + 1 {
			low, high := Wilson(count, n)
			share := float64(count) / float64(n)
			require.True(t, 0 <= low && low <= share+1e-12 && share-1e-12 <= high && high <= 1, "%d of %d: %v to %v", count, n, low, high)
		}
	}
}

// The exact conditional test in the examples of Fagerland, Lydersen and Laake,
// "The McNemar test for binary matched-pairs data: mid-p and asymptotic are
// better than exact conditional", BMC Medical Research Methodology 13:91
// (2013).
func TestMcNemarAgreesWithFagerland(t *testing.T) {
	require.InDelta(t, 0.0703, McNemar(1, 7), 5e-5, "airway hyper-responsiveness, of Bentur et al.")
	require.InDelta(t, 0.0525, McNemar(6, 16), 5e-5, "complete response, of Cavo et al.")
}

func TestMcNemarTakesBothSides(t *testing.T) {
	require.Equal(t, 1.0, McNemar(0, 0))
	require.Equal(t, 1.0, McNemar(5, 5))
	require.Equal(t, 1.0, McNemar(5, 6))
	require.Equal(t, McNemar(3, 12), McNemar(12, 3))
	require.InDelta(t, 2.0/1024, McNemar(0, 10), 1e-12, "ten heads or ten tails")
	require.Less(t, McNemar(400, 600), 1e-9)
	require.Positive(t, McNemar(400, 600))
}
