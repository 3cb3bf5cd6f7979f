package elementary

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	for range 10000 {
		x := rng.NormFloat64() * 50
		require.InEpsilon(t, math.Exp(x), Exp(x), 2e-15)
		require.InDelta(t, x, Log(math.Exp(x)), 1e-14+2e-15*math.Abs(x))
		for _, x := range []float64{x, x / 30, x / 1e6} {
			require.InDelta(t, math.Tanh(x), Tanh(x), 1e-15)
			require.InDelta(t, math.Erf(x), Erf(x), 2e-15)
		}
	}
	require.Equal(t, 1.0, Exp(0))
	require.Zero(t, Log(1))
	require.Zero(t, Exp(-1e300))
	require.Equal(t, Exp(700), Exp(1e300), "the largest")
	for _, f := range []func(float64) float64{Tanh, Erf} {
		require.Zero(t, f(0))
		require.Equal(t, []float64{-1, 1}, []float64{f(-1e300), f(1e300)})
		require.True(t, math.IsNaN(f(math.NaN())))
	}
}

// The sum is that of every machine.
func TestBits(t *testing.T) {
	hash := fnv.New64a()
	for x := -30.0; x < 30; x += 0.0625 {
		for _, v := range []float64{Exp(x), Log(math.Abs(x) + 0.1), Tanh(x / 8), Erf(x / 5)} {
			require.NoError(t, binary.Write(hash, binary.LittleEndian, v))
		}
	}
	require.Equal(t, uint64(0xafb6e91fb75b1d92), hash.Sum64())
}
