package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
)

func setAll(rows [][]float32, v float32) {
	for _, row := range rows {
		for i := range row {
			row[i] = v
		}
	}
}

// plain are images of one colour each.
type plain []uint8

func (p plain) Len() int { return len(p) }

func (p plain) Load(i int) ([]uint8, error) {
	rgb := make([]uint8, 17*17*3)
	for k := range rgb {
		rgb[k] = p[i]
	}
	return rgb, nil
}

// same shows one image again and again.
type same struct {
	dataset.Images
	n int
}

func (s same) Len() int                  { return s.n }
func (s same) Load(int) ([]uint8, error) { return s.Images.Load(0) }

// Whatever a network and its images are like, every method gives a valid
// network with finite scales whose logits are numbers.
func TestUnusualNetworksAndImages(t *testing.T) {
	for name, edit := range map[string]func(weights, biases [][]float32){
		"dead channels": func(weights, biases [][]float32) {
			for i, w := range weights {
				clear(w[:len(w)/2])
				clear(biases[i][:len(biases[i])/2])
			}
		},
		"all dead":      func(weights, biases [][]float32) { setAll(weights, 0); setAll(biases, 0) },
		"biases alone":  func(weights, _ [][]float32) { setAll(weights, 0) },
		"never active":  func(weights, biases [][]float32) { setAll(weights, 0); setAll(biases, -1) },
		"constant":      func(weights, biases [][]float32) { setAll(weights, 0.1); setAll(biases, 0.5) },
		"great biases":  func(_, biases [][]float32) { setAll(biases, 1e6) },
		"outlier":       func(weights, biases [][]float32) { outlier(weights[2], biases[2], 1<<18) },
		"tiny weights":  func(weights, biases [][]float32) { setAll(weights[:2], 1e-30); setAll(biases, 0) },
		"denormal":      func(weights, biases [][]float32) { setAll(weights, math.SmallestNonzeroFloat32); setAll(biases, 0) },
		"great weights": func(weights, biases [][]float32) { setAll(weights[:2], 1e3); setAll(biases[:2], 1e3) },
	} {
		t.Run(name, func(t *testing.T) {
			g, random := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(1, 2)))
			edit(graphtest.Weights(g))
			random.N = leastImages
			requireEveryMethod(t, g, random)
		})
	}
	for name, images := range map[string]dataset.Images{
		"one": graphtest.Images{N: 1, Values: 17 * 17 * 3}, "duplicates": same{graphtest.Images{N: 1, Values: 17 * 17 * 3}, leastImages},
		"black": plain{0, 0}, "plain": plain{0, 1, 77, 255},
	} {
		t.Run(name, func(t *testing.T) {
			g, _ := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(1, 2)))
			requireEveryMethod(t, g, images)
		})
	}
}

func requireEveryMethod(t *testing.T, g *models.Graph, images dataset.Images) {
	t.Helper()
	s := seen(t, g, images)
	for _, m := range quantize.Methods() {
		requireSane(t, g, s.Table(m))
	}
	requireSane(t, g, find(t, g, images, SearchOptions{Budget: 20}).Table)
}

// What no integer network can hold is refused, with the name of the layer.
func TestImpossibleNetworks(t *testing.T) {
	good, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(3, 2)))
	table := seen(t, good, images).Table(quantize.MSE)
	nan, infinite := float32(math.NaN()), float32(math.Inf(1))
	for name, c := range map[string]struct {
		edit func(weights, biases [][]float32)
		want string
	}{
		"NaN weight":      {func(weights, _ [][]float32) { weights[1][5] = nan }, `node "a1" (conv): a weight or bias is NaN`},
		"NaN bias":        {func(_, biases [][]float32) { biases[2][0] = nan }, `node "a2" (conv): a weight or bias is NaN`},
		"infinite weight": {func(weights, _ [][]float32) { weights[0][0] = infinite }, `node "stem" (conv): a weight or bias is NaN or beyond float32`},
		"NaN classifier":  {func(weights, _ [][]float32) { weights[len(weights)-1][3] = nan }, `node "fc" (dense): a weight or bias is NaN`},
	} {
		g, _ := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(3, 2)))
		c.edit(graphtest.Weights(g))
		_, err := quantize.Network(g, table)
		require.ErrorContains(t, err, c.want, name)
		_, err = observe.Observe(t.Context(), g, images, dataset.Pass{Threads: 2})
		require.ErrorContains(t, err, c.want, name)
		_, err = Search(t.Context(), g, images, SearchOptions{Threads: 2})
		require.ErrorContains(t, err, c.want, name)
	}

	g, _ := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(3, 2)))
	weights, _ := graphtest.Weights(g)
	setAll(weights[:1], math.MaxFloat32)
	_, err := observe.Observe(t.Context(), g, images, dataset.Pass{Threads: 2})
	require.ErrorContains(t, err, `node "stem+": a value is NaN or infinite`)

	g, _ = graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(3, 2)))
	weights, biases := graphtest.Weights(g)
	outlier(weights[3], biases[3], 1e12)
	for _, m := range quantize.Methods() {
		_, err := quantize.Network(g, seen(t, g, images).Table(m))
		require.ErrorContains(t, err, `layer "a3"`, "%s", m)
	}
	_, err = Search(t.Context(), g, images, SearchOptions{Threads: 2})
	require.ErrorContains(t, err, `mse ranges: calibrate: layer "a3"`)
}

func outlier(weight, bias []float32, factor float32) {
	for i := range weight[:len(weight)/len(bias)] {
		weight[i] *= factor
	}
	bias[0] *= factor
}

// requireSane quantizes by a table that was stored.
func requireSane(t *testing.T, g *models.Graph, table *quantize.RangeTable) {
	t.Helper()
	n, err := quantize.Network(g, stored(t, table))
	require.NoError(t, err)
	rgb := make([]uint8, n.Input.Shape.Elements())
	for i := range rgb {
		rgb[i] = uint8(i * 7)
	}
	logits, err := n.Reference(rgb, nil)
	require.NoError(t, err)
	real := make([]float32, len(logits))
	n.Classifier().Scaled(real, logits)
	for _, v := range real {
		require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0))
	}
}
