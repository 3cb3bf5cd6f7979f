package calibrate

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/graphtest"
	"edgeclassify/q8"
)

// The self-test's answer is that of the arithmetic contract, for any number of
// threads.
func TestModelHoldsTheReferencesAnswer(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(14, 1)))
	table, from := seen(t, g, images).Table(quantize.MSE), q8.Provenance{Tool: "test", Images: images.N}
	for _, threads := range []int{1, 3, 1000} {
		m, err := Model(g, table, from, threads)
		require.NoError(t, err)
		require.Equal(t, quantized(t, g, table), m.Network)
		require.Equal(t, from, m.Provenance)
		require.Equal(t, g.Preprocess, m.Preprocess)
		require.Equal(t, g.Classes, m.Classes)
		logits, err := m.Reference(m.SelfTest.Image(m.Network), nil)
		require.NoError(t, err)
		require.NoError(t, m.SelfTest.Check(logits))
	}
	delete(table.Ranges, "b1")
	_, err := Model(g, table, from, 1)
	require.ErrorContains(t, err, `layer "b1": the range table has no entry for it`)
}
