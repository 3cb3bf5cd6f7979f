package observe

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
)

// seen observes g on the images that can be loaded.
func seen(t *testing.T, g *models.Graph, images dataset.Images, threads int) *Statistics {
	t.Helper()
	s, err := Observe(t.Context(), g, images, dataset.Pass{Threads: threads, Skip: func(error) {}})
	require.NoError(t, err)
	return s
}

func TestStatisticsDoNotDependOnThreads(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(1, 1)))
	want := seen(t, g, pictures, 1)
	require.Equal(t, 38, want.Images)
	for _, threads := range []int{2, 5} {
		require.Equal(t, want, seen(t, g, pictures, threads))
	}
}

// An equalized network seen beside the one that it comes from is as if seen alone.
func TestEqualizationsAreObservedTogether(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(1, 1)))
	plain := seen(t, g, pictures, 1)
	all := []quantize.Equalization{nil, quantize.NewEqualization(g, plain.Peaks(), 0.25), quantize.NewEqualization(g, plain.Peaks(), 1)}
	got, err := ObserveEqualized(t.Context(), g, all, pictures, dataset.Pass{Threads: 2, Skip: func(error) {}})
	require.NoError(t, err)
	require.Equal(t, plain, got[0])
	for i, e := range all[1:] {
		equalized, err := quantize.Equalize(g, e)
		require.NoError(t, err)
		require.NotEqual(t, plain.Peaks(), got[1+i].Peaks())
		require.Equal(t, seen(t, equalized, pictures, 1), got[1+i])
	}
}

func TestPictureThatFailsEndsObserve(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(1, 1)))
	_, err := Observe(t.Context(), g, pictures, dataset.Pass{Threads: 3})
	require.ErrorContains(t, err, "no such picture")
}

func TestMeansAreThoseOfTheFloatNetwork(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(2, 1)))
	pictures.N = 1
	table := seen(t, g, pictures, 1).Table(quantize.ClipMSE)
	require.Len(t, table.Means, 3) // of all inputs of weights but the image
	rgb, err := pictures.Load(0)
	require.NoError(t, err)
	image := make([]float32, len(rgb))
	g.Preprocess.Float(image, rgb)
	pooled := graphtest.Reference(t, g, image)[g.Nodes[7].Name] // the global average is the mean
	require.InDeltaSlice(t, pooled, []float64(table.Means[g.Nodes[7].Name]), 1e-3)
}

func TestTableIsTheSameOnceStored(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(3, 1)))
	table := seen(t, g, pictures, 2).Table(quantize.ClipMSE)
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	stored, err := quantize.ReadRanges(&file)
	require.NoError(t, err)
	require.Equal(t, table, stored)
}

// Without the correction the logits are off on average; with it, less.
func TestBiasCorrectionTakesAwayTheMeanError(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(5, 1)))
	pictures.Missing = nil
	table := seen(t, g, pictures, 2).Table(quantize.ClipMSE)
	corrected := meanLogitError(t, g, table, pictures)
	table.Means = nil
	plain := meanLogitError(t, g, table, pictures)
	t.Logf("squared mean error of the logits: %.3g without, %.3g with correction", plain, corrected)
	require.Less(t, corrected, plain/2)
}

// meanLogitError is the sum over classes of the squared mean difference between
// the float network's logits and the quantized one's.
func meanLogitError(t *testing.T, g *models.Graph, table *quantize.RangeTable, pictures graphtest.Images) float64 {
	t.Helper()
	n, err := quantize.Network(g, table)
	require.NoError(t, err)
	float, err := fp32.NewExecutor(g, 1)
	require.NoError(t, err)
	logits := make([]float32, 10)
	errs := make([]float64, 10)
	for i := range pictures.N {
		rgb, err := pictures.Load(i)
		require.NoError(t, err)
		want, err := float.RunImage(rgb, nil)
		require.NoError(t, err)
		got, err := n.Reference(rgb, nil)
		require.NoError(t, err)
		n.Classifier().Scaled(logits, got)
		for c := range errs {
			errs[c] += float64(logits[c]-want[c]) / float64(pictures.N)
		}
	}
	sum := 0.0
	for _, e := range errs {
		sum += e * e
	}
	return sum
}

// A channel that hardly matters does not make the others' steps coarse.
func TestChannelWeightsNarrowTheRange(t *testing.T) {
	g, pictures := graphtest.Classifier(t, rand.New(rand.NewPCG(21, 1)))
	stem, reader := g.Nodes[0].Op.(*models.Conv), g.Nodes[2].Op.(*models.Conv)
	for i := range stem.Weight[:27] {
		stem.Weight[i] *= 30 // of channel 0
	}
	for i := range reader.Weight {
		if i/(len(reader.Weight)/2) == 0 && i%12 == 0 {
			reader.Weight[i] = 0 // which nobody reads
		}
	}
	reach := func(m quantize.Method) float64 {
		return seen(t, g, pictures, 3).Table(m).Ranges["conv0"].Max
	}
	require.Less(t, reach(quantize.ChannelMSE), 0.7*reach(quantize.ClipMSE))
}
