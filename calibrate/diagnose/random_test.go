package diagnose

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// random is a folded network of random operations, with images.
func random(t *testing.T, seed uint64) (*models.Graph, graphtest.Images) {
	t.Helper()
	g := graphtest.Random(t, rand.New(rand.NewPCG(seed, 11)))
	g.Preprocess = preprocess.Torchvision()
	g.Preprocess.Crop = preprocess.Size{H: g.Input().H, W: g.Input().W}
	g, err := g.Fold()
	require.NoError(t, err)
	return g, graphtest.Images{N: 12, Values: g.Input().Elements()}
}

// Networks of any operations have an integer form that a simulation has the bits of,
// and layers make no more noise than their 8 bits have to: 20 dB, but for the few
// whose random products cancel.
func TestRandomNetworks(t *testing.T) {
	seeds := uint64(150)
	if testing.Short() {
		seeds = 25
	}
	layers, poor := 0, 0
	for seed := range seeds {
		g, images := random(t, seed)
		n := quantizedOn(t, g, images)
		if len(Inexact(n)) == 0 {
			simulation, err := Simulate(g, n, nil)
			require.NoError(t, err)
			rgb, err := images.Load(100)
			require.NoError(t, err)
			requireReference(t, n, simulation, rgb)
		}
		a, err := Analyze(t.Context(), g, n, images, dataset.Pass{Threads: 1})
		require.NoError(t, err)
		for i, l := range a.Layers {
			if db := l.Isolated.SQNR(); db != nil && ownRange(n, i) {
				layers++
				if *db < 20 {
					poor++
					t.Logf("network %d: layer %q (%s): %.1f dB", seed, l.Layer, n.Layers[i].Op.Kind(), *db)
				}
			}
		}
		_, err = Sensitivities(t.Context(), g, n, images, dataset.Pass{Threads: 1, Limit: 2})
		require.NoError(t, err)
	}
	require.Greater(t, layers, 3*int(seeds))
	require.LessOrEqual(t, 200*poor, layers)
}

// ownRange tells whether a layer has the range that its own values ask for: not that
// of what it averages, of the greater ones beside it in a concatenation, or what a
// function leaves of them.
func ownRange(n *int8.Network, layer int) bool {
	if _, pool := n.Layers[layer].Op.(*int8.AveragePool); pool {
		return false
	}
	for _, reader := range n.Topology().Consumers(tensor.Output(layer)) {
		switch n.Layers[reader].Op.(type) {
		case int8.Concat, *int8.Lookup:
			return false
		}
	}
	return true
}
