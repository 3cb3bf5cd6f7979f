package main

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/report"
	"edgeclassify/runtime"
)

// evaluated builds ResNet50 by the flags and compares it with its float network
// on some of the photographs that it has not seen.
func evaluated(t *testing.T, photographs string, flags ...string) report.Evaluation {
	t.Helper()
	out := filepath.Join(t.TempDir(), "a.q8")
	code, _, errs := quantize(append([]string{"build", "-model", "resnet50-keras", "-out", out}, flags...)...)
	require.Zero(t, code, errs)
	eval := []string{"eval", "-model", out, "-images", photographs, "-float", "resnet50-keras", "-limit", "100", "-seed", "7", "-json"}
	if slices.Contains(flags, "-images") {
		eval = append(eval, "-holdout")
	}
	code, text, errs := quantize(eval...)
	require.Zero(t, code, errs)
	var r report.Evaluation
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	t.Logf("%d pictures: agreement %.4f, SQNR %.1f dB", r.Images, r.Agreement.Value, *r.SQNR)
	require.GreaterOrEqual(t, r.Images, 90)
	return r
}

func TestDataFreeModelAgreesWithFloat(t *testing.T) {
	needWeights(t)
	require.GreaterOrEqual(t, evaluated(t, testneed.Sample(t, "images"), "-data-free").Agreement.Value, 0.97)
}

func TestEightPicturesAreEnough(t *testing.T) {
	needWeights(t)
	photographs := testneed.Sample(t, "images")
	require.GreaterOrEqual(t, evaluated(t, photographs, "-images", photographs, "-limit", "8").Agreement.Value, 0.985)
}

// Channels that stand out, in blocks and in residual streams, ruin a network of
// plain ranges. The search mends it.
func TestSearchMendsACorruptedResNet50(t *testing.T) {
	needWeights(t)
	g, err := load("resnet50-keras")
	require.NoError(t, err)
	folded, err := calibrate.Fold(g.Logits())
	require.NoError(t, err)
	folded = withOutliers(t, folded)
	photographs := testneed.Sample(t, "images")
	set, err := draw(photographs, g.Preprocess, 20, 1)
	require.NoError(t, err)
	others, err := draw(photographs, g.Preprocess, 0, 0)
	require.NoError(t, err)
	others.files = slices.DeleteFunc(others.files, func(file string) bool { return slices.Contains(set.files, file) })[:100]
	pictures, want := floatClasses(t, folded, others)

	seen, err := calibrate.Observe(t.Context(), folded, set, calibrate.ObserveOptions{Threads: 2})
	require.NoError(t, err)
	ruined := agreement(t, folded, seen.Table(calibrate.MinMax), pictures, want)
	var found *calibrate.Found
	for budget := 25 * time.Second; found == nil || !slices.ContainsFunc(found.Trials, isEqualization); budget *= 2 {
		found, err = calibrate.Search(t.Context(), folded, set, calibrate.SearchOptions{Threads: 2, Budget: budget})
		require.NoError(t, err)
	}
	mended := agreement(t, folded, found.Table, pictures, want)
	t.Logf("agreement %.2f with ranges of all values, %.2f after %d of %d trials", ruined, mended, found.Tried, found.Planned)
	require.Less(t, ruined, 0.5)
	require.GreaterOrEqual(t, mended, 0.99)
}

func isEqualization(trial calibrate.Trial) bool {
	return strings.HasPrefix(trial.Name, "equalization") && trial.Kept
}

// withOutliers multiplies one in ten channels by 16 to 256, which leaves the
// function as it is.
func withOutliers(t *testing.T, folded *models.Graph) *models.Graph {
	t.Helper()
	groups, err := calibrate.Groups(folded)
	require.NoError(t, err)
	rng, exponents := rand.New(rand.NewPCG(5, 0)), calibrate.Exponents{}
	for _, group := range groups {
		powers := make(calibrate.Powers, group.Channels)
		for c := range powers {
			if c == 0 || rng.IntN(10) == 0 {
				powers[c] = -4 - rng.IntN(5)
			}
		}
		exponents[group.Name] = powers
	}
	scaled, err := calibrate.Equalize(folded, exponents)
	require.NoError(t, err)
	return scaled
}

// floatClasses loads pictures and names their classes by the float network.
func floatClasses(t *testing.T, g *models.Graph, set imageSet) (pictures [][]uint8, classes []int) {
	t.Helper()
	pictures, classes = make([][]uint8, set.Len()), make([]int, set.Len())
	first, err := calibrate.NewExecutor(g, 1)
	require.NoError(t, err)
	executors := []*calibrate.Executor{first, first.Clone()}
	err = calibrate.EachImage(t.Context(), len(executors), set.Len(), nil, func(worker, i int) error {
		rgb, err := set.Load(i)
		if err != nil {
			return err
		}
		image := make([]float32, len(rgb))
		g.Preprocess.Float(image, rgb)
		logits, err := executors[worker].Run(image, nil)
		if err != nil {
			return err
		}
		pictures[i], classes[i] = rgb, slices.Index(logits, slices.Max(logits))
		return nil
	})
	require.NoError(t, err)
	return pictures, classes
}

// agreement is the share of pictures that the network quantized by the table
// gives these classes.
func agreement(t *testing.T, g *models.Graph, table *calibrate.RangeTable, pictures [][]uint8, classes []int) float64 {
	t.Helper()
	n, err := calibrate.Quantize(g, table)
	require.NoError(t, err)
	agree := 0
	for i, l := range int8Logits(t, n, pictures) {
		if slices.Index(l, slices.Max(l)) == classes[i] {
			agree++
		}
	}
	return float64(agree) / float64(len(pictures))
}

// int8Logits are the real logits of the integer runtime.
func int8Logits(t *testing.T, n *int8.Network, pictures [][]uint8) [][]float32 {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 2})
	require.NoError(t, err)
	session := plan.NewSession()
	defer session.Close()
	out := make([][]float32, len(pictures))
	for i, rgb := range pictures {
		logits, err := session.Run(rgb)
		require.NoError(t, err)
		out[i] = make([]float32, len(logits))
		n.Logits().Scaled(out[i], logits)
	}
	return out
}
