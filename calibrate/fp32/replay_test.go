package fp32

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// A convolution with doubled weights and bias doubles its output to the bit,
// which is therefore what runs from such an output on must give.
func TestReplay(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(1, 7)))
	var alterable []tensor.ID
	for _, name := range []string{"stem+", "max", "a1+", "a2+", "aside", "asum+", "b1+", "bsum", "average", "c+", "pool", "fc"} {
		alterable = append(alterable, graphtest.ID(t, g, name))
	}
	r, err := NewReplay(g, alterable...)
	require.NoError(t, err)
	r = r.Clone()
	rgb, err := images.Load(0)
	require.NoError(t, err)
	plain := logits(t, g, rgb)
	replayed := func() []float32 {
		got, err := r.Run(rgb)
		require.NoError(t, err)
		return slices.Clone(got)
	}
	require.Equal(t, plain, replayed())
	for _, id := range alterable {
		require.Equal(t, plain, r.From(id, func(y, x []float32) { copy(y, x) }), g.Topology().Name(id))
	}
	for conv, output := range map[string]string{"stem": "stem+", "aside": "aside", "a1": "a1+", "c": "c+", "a2": "a2+"} {
		got := r.From(graphtest.ID(t, g, output), func(y, x []float32) {
			for i, v := range x {
				y[i] = 2 * v
			}
		})
		twice := graphtest.Scaled(graphtest.Node(t, g, conv).Op.(models.Linear), 2)
		require.Equal(t, logits(t, graphtest.Replace(t, g, conv, twice), rgb), got, conv)
	}
	require.Equal(t, plain, replayed())
	_, err = r.Run(rgb[1:])
	require.ErrorContains(t, err, "a picture has 866 values, want 867")
}

func logits(t *testing.T, g *models.Graph, rgb []uint8) []float32 {
	t.Helper()
	e, err := NewExecutor(g, 1)
	require.NoError(t, err)
	values, err := e.RunImage(rgb, nil)
	require.NoError(t, err)
	return values
}
