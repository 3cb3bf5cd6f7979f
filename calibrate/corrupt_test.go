package calibrate

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
)

// corrupt multiplies one in ten channels of every group, in blocks and in
// residual streams, by 16 to 256. The float network's logits keep their bits,
// but ranges that all channels share leave few codes for the others.
func corrupt(t *testing.T, rng *rand.Rand, g *models.Graph) *models.Graph {
	t.Helper()
	groups, err := Groups(g)
	require.NoError(t, err)
	exponents := Exponents{}
	for _, group := range groups {
		e := make([]int, group.Channels)
		for c := range e {
			if c == 0 || rng.IntN(10) == 0 {
				e[c] = -4 - rng.IntN(5)
			}
		}
		exponents[group.Name] = e
	}
	corrupted, err := Equalize(g, exponents)
	require.NoError(t, err)
	return corrupted
}

// balanced equalizes all groups of g from its peaks on the pictures.
func balanced(t *testing.T, g *models.Graph, pictures Images, beta float64) *models.Graph {
	t.Helper()
	exponents, err := Balance(g, seen(t, g, pictures, 2).peaks, beta)
	require.NoError(t, err)
	equalized, err := Equalize(g, exponents)
	require.NoError(t, err)
	return equalized
}

// seen observes g on the pictures that can be loaded.
func seen(t *testing.T, g *models.Graph, pictures Images, threads int) *Statistics {
	t.Helper()
	s, err := Observe(t.Context(), g, pictures, ObserveOptions{Threads: threads, Skip: func(error) {}})
	require.NoError(t, err)
	return s
}
