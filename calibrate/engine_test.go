package calibrate

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/runtime"
)

// Logits and means are those of the arithmetic contract.
func TestInt8LogitsAndMeansAreTheReferences(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(13, 1)))
	n := quantized(t, g, seen(t, g, images).Table(quantize.MSE))
	const count = 5
	layers := []int{len(n.Layers) - 2, 1}
	rgbs, logits, means := make([][]uint8, count), make([][]float32, count), map[string][]float64{}
	for i := range rgbs {
		var err error
		rgbs[i], err = images.Load(i)
		require.NoError(t, err)
		reference, err := n.Reference(rgbs[i], func(l *int8.Layer, values []int32) {
			channels := l.Out.Shape.C
			if means[l.Name] == nil {
				means[l.Name] = make([]float64, channels)
			}
			for k, q := range values {
				means[l.Name][k%channels] += float64(int(q)-int(l.Out.ZeroAt(k%channels))) / float64(len(values)/channels*count)
			}
		})
		require.NoError(t, err)
		logits[i] = make([]float32, len(reference))
		n.Classifier().Scaled(logits[i], reference)
	}
	for _, threads := range []int{1, 3} {
		got, err := int8Logits(t.Context(), n, rgbs, threads)
		require.NoError(t, err)
		require.Equal(t, logits, got)
		plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
		require.NoError(t, err)
		r := newReplay(rgbs, threads)
		for _, layer := range layers {
			found, err := r.means(t.Context(), plan, layer)
			require.NoError(t, err)
			require.Len(t, found, len(n.Layers[layer].Inputs))
			for i, id := range n.Layers[layer].Inputs {
				require.InDeltaSlice(t, means[n.Topology().Name(id)], found[i], 1e-9)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := int8Logits(ctx, n, rgbs, 2)
	require.ErrorIs(t, err, context.Canceled)
}
