package quantize_test

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/graphtest"
)

// Networks of one quantizer share what has not changed, and are those that another one
// makes.
func TestNetworksShareLayers(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(21, 1)))
	table := seen(t, g, images).Table(quantize.MSE)
	q, err := quantize.New(g, nil)
	require.NoError(t, err)
	first, err := q.Network(table)
	require.NoError(t, err)
	for _, u := range quantize.Activations(q.Units()) {
		wider := *table
		wider.Ranges = maps.Clone(table.Ranges)
		wider.Ranges[u.Name] = wider.Ranges[u.Name].Scaled(1.5, 1.5)
		n, err := q.Network(&wider)
		require.NoError(t, err)
		before := true
		for i := range n.Layers {
			before = before && n.Layers[i].Name != u.Name
			if before {
				require.True(t, n.Layers[i].Op == first.Layers[i].Op, "%s is before %s", n.Layers[i].Name, u.Name)
			}
		}
		again, err := q.Network(table)
		require.NoError(t, err)
		for i := range again.Layers {
			require.True(t, again.Layers[i].Op == first.Layers[i].Op, again.Layers[i].Name)
		}
		want, err := quantize.Network(g, &wider)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
}
