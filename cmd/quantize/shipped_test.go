package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/observe"
	"edgeclassify/evaluate"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/q8"
)

// The network of the shipped table keeps its float origin's answers on pictures
// it has not seen.
func TestAccuracyOnHeldOutPictures(t *testing.T) {
	pictures := testneed.Sample(t, "images")
	code, out, errs := execute("eval", "-model", shippedModel(t), "-images", pictures, "-float", "resnet50-keras", "-holdout", "-json")
	require.Zero(t, code, errs)
	var r evaluate.Result
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	t.Log(out)
	require.Equal(t, 372, r.Images)
	require.GreaterOrEqual(t, r.Agreement.Value, 0.994)
	require.GreaterOrEqual(t, *r.SQNR, 28.0)
	require.GreaterOrEqual(t, r.ByImage.Lowest(), 14.0)
	require.GreaterOrEqual(t, r.ByImage.Median(), 29.5)
	require.GreaterOrEqual(t, r.Top1.Count, r.FloatTop1.Count-1)
}

// The shipped table has the means of its pictures and their ranges, blended with
// those of the batch norms, times what the search may have chosen, or as wide as the
// return level of its pictures asks for.
func TestShippedTableIsOfItsPictures(t *testing.T) {
	needWeights(t)
	g, err := load("resnet50-keras", models.ImportOptions{})
	require.NoError(t, err)
	shipped, _, err := shippedRanges(g.Hash())
	require.NoError(t, err)
	folded, err := g.Logits().Fold()
	require.NoError(t, err)
	images, err := evaluate.Draw(testneed.Sample(t, "images"), g.Preprocess, shipped.Images, shipped.Seed)
	require.NoError(t, err)
	seen, err := observe.Observe(t.Context(), folded, images, dataset.Pass{Threads: 2})
	require.NoError(t, err)

	prior, err := observe.DataFree(folded)
	require.NoError(t, err)
	table := seen.Table(shipped.Method).Blend(prior)
	require.Equal(t, table.ImagesHash, shipped.ImagesHash)
	require.Equal(t, table.Means, shipped.Means)
	require.Len(t, shipped.Ranges, len(table.Ranges))
	var widths []float64
	for _, stage := range []float64{1, 1.3, 1.3 * 1.3, 0.8, 1.3 * 0.8, 1.3 * 1.3 * 0.8} {
		for _, layer := range []float64{1, 1.2, 0.85, 1.2 * 0.85} {
			widths = append(widths, stage*layer)
		}
	}
	levels := seen.ReturnLevels()
	for layer, got := range shipped.Ranges {
		r := table.Ranges[layer]
		require.True(t, slices.ContainsFunc(append(widths, levels[layer]/max(r.Max, -r.Min)), func(width float64) bool {
			want := r.Scaled(width, width)
			return math.Abs(got.Min-want.Min)+math.Abs(got.Max-want.Max) < 1e-9*(want.Max-want.Min)
		}), "%s: %v of %v", layer, got, table.Ranges[layer])
	}
}

// The search finds the shipped network again, to the byte.
func TestSearchFindsTheShippedTable(t *testing.T) {
	if os.Getenv("SEARCH_RANGES") == "" {
		t.Skip("'make test-ranges' runs this test, which takes as long as all others: SEARCH_RANGES is not set")
	}
	needWeights(t)
	pictures, dir := testneed.Sample(t, "images"), t.TempDir()
	searched, shipped := filepath.Join(dir, "a.q8"), filepath.Join(dir, "b.q8")
	code, _, errs := execute("build", "-model", "resnet50-keras", "-images", pictures, "-limit", "128", "-seed", "2", "-out", searched)
	require.Zero(t, code, errs)
	code, _, errs = execute("build", "-model", "resnet50-keras", "-out", shipped)
	require.Zero(t, code, errs)
	a, err := q8.Open(searched)
	require.NoError(t, err)
	defer a.Close()
	b, err := q8.Open(shipped)
	require.NoError(t, err)
	defer b.Close()
	require.NotEmpty(t, b.Provenance.RangesHash)
	b.Provenance.RangesHash = ""
	require.Equal(t, a.Provenance, b.Provenance)
	require.Equal(t, a.Network.Layers, b.Network.Layers)
}
