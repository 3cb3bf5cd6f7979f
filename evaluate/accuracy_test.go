package evaluate

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/importer"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/q8"
)

// Channels that stand out, in blocks and in residual streams, ruin a network of
// plain ranges. The search mends it.
func TestSearchMendsACorruptedResNet50(t *testing.T) {
	testneed.Long(t, "runs whole networks")
	g, err := importer.Import(testneed.Weights(t, "resnet50-keras"), models.ImportOptions{})
	require.NoError(t, err)
	folded, err := g.Logits().Fold()
	require.NoError(t, err)
	folded = withOutliers(t, folded)
	photographs := testneed.Sample(t, "images")
	images, err := Draw(photographs, g.Preprocess, 20, 1)
	require.NoError(t, err)
	others, err := Draw(photographs, g.Preprocess, 0, 0)
	require.NoError(t, err)
	others = others.without(images.Files)
	others.Files = others.Files[:50]

	seen, err := observe.Observe(t.Context(), folded, images, dataset.Pass{Threads: 2})
	require.NoError(t, err)
	ruined := agreement(t, folded, seen.Table(quantize.MinMax), others)
	budget := len(quantize.Methods()) + 3 // with the bias correction and two equalizations
	found, err := calibrate.Search(t.Context(), folded, images, calibrate.SearchOptions{Threads: 2, Budget: budget})
	require.NoError(t, err)
	require.Equal(t, budget, found.Tried)
	require.True(t, slices.ContainsFunc(found.Trials, isEqualization))
	mended := agreement(t, folded, found.Table, others)
	t.Logf("agreement %.2f with ranges of all values, %.2f after %d of %d trials", ruined, mended, found.Tried, found.Planned)
	require.Less(t, ruined, 0.5)
	require.GreaterOrEqual(t, mended, 0.99)
}

// agreement is that of the network quantized by the table with the float one.
func agreement(t *testing.T, folded *models.Graph, table *quantize.RangeTable, images ImageSet) float64 {
	t.Helper()
	m, err := calibrate.Model(folded, table, q8.Provenance{}, 2)
	require.NoError(t, err)
	e, err := New(m, folded, images, slices.Repeat([]int{-1}, images.Len()))
	require.NoError(t, err)
	require.NoError(t, e.Run(t.Context(), 2, nil))
	r := e.Result()
	require.Equal(t, images.Len(), r.Images)
	return r.Agreement.Value
}

func isEqualization(trial calibrate.Trial) bool {
	return strings.HasPrefix(trial.Name, "equalization") && trial.Kept
}

// withOutliers multiplies one in ten channels by 16 to 256, which leaves the
// function as it is.
func withOutliers(t *testing.T, folded *models.Graph) *models.Graph {
	t.Helper()
	rng, equalization := rand.New(rand.NewPCG(5, 0)), quantize.Equalization{}
	for _, group := range quantize.Groups(folded) {
		scales := make(quantize.Log2Scales, group.Channels)
		for c := range scales {
			if c == 0 || rng.IntN(10) == 0 {
				scales[c] = -4 - rng.IntN(5)
			}
		}
		equalization[group.Name] = scales
	}
	scaled, err := quantize.Equalize(folded, equalization)
	require.NoError(t, err)
	return scaled
}
