package diagnose

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
)

func TestSensitivitiesAreThoseOfSimulations(t *testing.T) {
	g, n, pictures := quantized(t, 4)
	g.Preprocess.Mean = wholeMean()
	got, err := Sensitivities(t.Context(), g, n, pictures, dataset.Pass{Threads: 1, Limit: 8})
	require.NoError(t, err)
	require.Len(t, got, 8)
	exact, err := Simulate(g, n, noError)
	require.NoError(t, err)
	total := simulatedNoise(t, g, g, n, pictures, nil)
	for _, s := range got {
		alone := simulatedNoise(t, exact, g, n, pictures, func(layer string) Precision {
			return Precision{FloatWeights: true, Unrounded: layer != s.Layer, Unclipped: layer != s.Layer}
		})
		want := 0.0
		for i, v := range alone {
			want += v / total[i] / 8
		}
		require.InEpsilon(t, want, s.Share, 0.02, s.Layer)
		require.InDelta(t, math.Pow(10, -s.Gain()/10), 1-s.Share, 1e-9)
	}
	for _, threads := range []int{2, 5} {
		again, err := Sensitivities(t.Context(), g, n, pictures, dataset.Pass{Threads: threads, Limit: 8})
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
}

// simulatedNoise is the power of the difference to exact logits for each of 8
// of 40 pictures.
func simulatedNoise(t *testing.T, exact, g *models.Graph, n *int8.Network, pictures graphtest.Images, precision func(string) Precision) (noise []float64) {
	t.Helper()
	simulation, err := Simulate(g, n, precision)
	require.NoError(t, err)
	for i := 0; i < 40; i += 5 {
		rgb, err := pictures.Load(i)
		require.NoError(t, err)
		noise = append(noise, distance(floatLogits(t, exact, rgb), floatLogits(t, simulation, rgb)))
	}
	return noise
}
