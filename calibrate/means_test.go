package calibrate

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// noise are random pictures; those with a number in missing cannot be loaded.
type noise struct {
	n, values int
	missing   map[int]bool
}

func (p noise) Len() int { return p.n }

func (p noise) Load(i int) ([]uint8, error) {
	if p.missing[i] {
		return nil, errors.New("no such picture")
	}
	rng := rand.New(rand.NewPCG(uint64(i), 5))
	rgb := make([]uint8, p.values)
	for k := range rgb {
		rgb[k] = uint8(rng.UintN(256))
	}
	return rgb, nil
}

// classifier is a small network that has an integer form.
func classifier(rng *rand.Rand) (*models.Graph, noise) {
	g := chain(tensor.Shape{H: 12, W: 12, C: 3},
		conv2d(rng, tensor.Square(3, 1, 1), 1, 3, 24), models.ReLU{},
		conv2d(rng, tensor.Square(3, 2, 1), 2, 24, 32), models.ReLU{},
		&models.MaxPool{Window: tensor.Square(2, 2, 0)},
		conv2d(rng, tensor.Square(1, 1, 0), 1, 32, 24), models.ReLU{},
		models.GlobalAveragePool{},
		&models.Dense{In: 24, Out: 10, Weight: normal(rng, 240), Bias: normal(rng, 10)})
	g.Preprocess = preprocess.Torchvision()
	g.Preprocess.Crop = 12
	g.Classes = make([]labels.Class, 10)
	return g, noise{n: 40, values: 12 * 12 * 3, missing: map[int]bool{3: true, 17: true}}
}

func observeNoise(t *testing.T, g *models.Graph, pictures noise, threads int) *RangeTable {
	t.Helper()
	return seen(t, g, pictures, threads).Table(ClipMSE)
}

func TestStatisticsDoNotDependOnThreads(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(1, 1)))
	want := seen(t, g, pictures, 1)
	require.Equal(t, 38, want.Images)
	for _, threads := range []int{2, 5} {
		require.Equal(t, want, seen(t, g, pictures, threads))
	}
}

func TestPictureThatFailsEndsObserve(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(1, 1)))
	_, err := Observe(context.Background(), g, pictures, ObserveOptions{Threads: 3})
	require.ErrorContains(t, err, "no such picture")
}

func TestMeansAreThoseOfTheFloatNetwork(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(2, 1)))
	pictures.n = 1
	table := observeNoise(t, g, pictures, 1)
	require.Len(t, table.Means, 3) // of all inputs of weights but the image
	rgb, err := pictures.Load(0)
	require.NoError(t, err)
	image := make([]float32, len(rgb))
	g.Preprocess.Float(image, rgb)
	pooled := reference(t, g, image)[g.Nodes[7].Name] // the global average is the mean
	require.InDeltaSlice(t, pooled, []float64(table.Means[g.Nodes[7].Name]), 1e-3)
}

func TestTableIsTheSameOnceStored(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(3, 1)))
	table := observeNoise(t, g, pictures, 2)
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	stored, err := ReadRanges(&file)
	require.NoError(t, err)
	require.Equal(t, table, stored)
}

func TestMeansThatAreNoNumbers(t *testing.T) {
	for _, text := range []string{"1 x", "NaN", "1 Inf", "1e300"} {
		_, err := ReadRanges(strings.NewReader(`{"means": {"a": "` + text + `"}}`))
		require.ErrorContains(t, err, "mean", text)
	}
}

func TestMeansOfAnotherNetwork(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(4, 1)))
	table := observeNoise(t, g, pictures, 2)
	name := g.Nodes[7].Name
	table.Means[name] = table.Means[name][1:]
	_, err := Quantize(g, table)
	require.ErrorContains(t, err, name)
	require.ErrorContains(t, err, "23 means")
}

func TestHostileMeansGiveAValidNetwork(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(6, 1)))
	table := observeNoise(t, g, pictures, 2)
	for _, means := range table.Means {
		for c := range means {
			means[c] = huge / 2
		}
	}
	n, err := Quantize(g, table)
	require.NoError(t, err)
	conv, ok := n.Layers[1].Op.(*int8.Conv)
	require.True(t, ok)
	for _, b := range conv.Bias {
		require.Less(t, math.Abs(float64(b)), float64(1<<29))
	}
}

// Without the correction the logits are off on average; with it, less.
func TestBiasCorrectionTakesAwayTheMeanError(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(5, 1)))
	pictures.missing = nil
	table := observeNoise(t, g, pictures, 2)
	corrected := meanLogitError(t, g, table, pictures)
	table.Means = nil
	plain := meanLogitError(t, g, table, pictures)
	t.Logf("squared mean error of the logits: %.3g without, %.3g with correction", plain, corrected)
	require.Less(t, corrected, plain/2)
}

// meanLogitError is the sum over classes of the squared mean difference between
// the float network's logits and the quantized one's.
func meanLogitError(t *testing.T, g *models.Graph, table *RangeTable, pictures noise) float64 {
	t.Helper()
	n, err := Quantize(g, table)
	require.NoError(t, err)
	float, err := NewExecutor(g, 1)
	require.NoError(t, err)
	image, logits := make([]float32, pictures.values), make([]float32, 10)
	errs := make([]float64, 10)
	for i := range pictures.n {
		rgb, err := pictures.Load(i)
		require.NoError(t, err)
		g.Preprocess.Float(image, rgb)
		want, err := float.Run(image, nil)
		require.NoError(t, err)
		got, err := n.Reference(rgb, nil)
		require.NoError(t, err)
		n.Logits().Scaled(logits, got)
		for c := range errs {
			errs[c] += float64(logits[c]-want[c]) / float64(pictures.n)
		}
	}
	sum := 0.0
	for _, e := range errs {
		sum += e * e
	}
	return sum
}

func TestMeanError(t *testing.T) {
	row := []float32{0.9, -2.2, 3.1, 0.4}
	got := meanError([]int8.Value{1, -2, 3, 0}, row, 1, Means{7, 10, 100}, 1, 2)
	require.InDelta(t, 0.1*10+0.2*100-0.1*10-0.4*100, got, 1e-4)
	require.Zero(t, meanError([]int8.Value{1, 1, 1, 1}, row, 1, nil, 0, 4))
}
