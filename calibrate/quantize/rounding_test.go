package quantize

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

func TestWeightScaleOfDeadAndPlainChannels(t *testing.T) {
	require.Zero(t, weightScale(make([]float32, 9)))
	require.InDelta(t, 0.5, weightScale([]float32{63.5, -63.5, 1, -0.5}), 1e-6)
}

func TestMeanError(t *testing.T) {
	row := []float32{0.9, -2.2, 3.1, 0.4}
	got := meanError([]int8.Value{1, -2, 3, 0}, row, 1, PerChannel{7, 10, 100}, 1, 2)
	require.InDelta(t, 0.1*10+0.2*100-0.1*10-0.4*100, got, 1e-4)
	require.Zero(t, meanError([]int8.Value{1, 1, 1, 1}, row, 1, nil, 0, 4))
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

// A channel that is never active still has columns, one that nobody reads still
// has activations: neither may stand out.
func TestEqualizationOfDeadChannels(t *testing.T) {
	live := []float64{1, 1, 1, 1}
	dead := func(c int, v float64) []float64 {
		d := slices.Clone(live)
		d[c] = v
		return d
	}
	for _, beta := range []float64{0, 0.5, 1} {
		require.Equal(t, Log2Scales{0, 0, 0, 0}, log2ScalesOf(live, live, beta))
		require.Equal(t, -10+3, log2ScalesOf(dead(2, 0), dead(2, 1<<20), beta)[2], "never active, weights 2^10")
		require.Equal(t, 10-3, log2ScalesOf(dead(2, 1<<10), dead(2, 0), beta)[2], "never read, peak 2^10")
		require.Equal(t, Log2Scales{0, 0, 0, 0}, log2ScalesOf(dead(2, 0), dead(2, 0), beta))
		require.Equal(t, make(Log2Scales, 4), log2ScalesOf(make([]float64, 4), make([]float64, 4), beta))
	}
	require.Equal(t, reach, log2ScalesOf(dead(0, 1e300), live, 1)[0])
}
