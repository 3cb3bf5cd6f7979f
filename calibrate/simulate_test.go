package calibrate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// residualClassifier has every layer that has an integer form: shortcuts with
// and without a convolution, groups, both kinds of pools.
func residualClassifier(rng *rand.Rand) (*models.Graph, noise) {
	const classes = 10
	g := &models.Graph{Name: "residual", InputName: "picture", Input: tensor.Shape{H: 17, W: 17, C: 3}}
	add := func(name string, op models.Op, inputs ...string) {
		g.Nodes = append(g.Nodes, models.Node{Name: name, Inputs: inputs, Op: op})
	}
	add("stem", conv2d(rng, tensor.Square(3, 1, 1), 1, 3, 20), "picture")
	add("stem+", models.ReLU{}, "stem")
	add("max", &models.MaxPool{Window: tensor.Square(3, 2, 1)}, "stem+")
	add("a1", conv2d(rng, tensor.Square(1, 1, 0), 1, 20, 12), "max")
	add("a1+", models.ReLU{}, "a1")
	add("a2", conv2d(rng, tensor.Square(3, 2, 1), 2, 12, 12), "a1+")
	add("a2+", models.ReLU{}, "a2")
	add("a3", conv2d(rng, tensor.Square(1, 1, 0), 1, 12, 24), "a2+")
	add("aside", conv2d(rng, tensor.Square(1, 2, 0), 1, 20, 24), "max")
	add("asum", models.Add{}, "a3", "aside")
	add("asum+", models.ReLU{}, "asum")
	add("b1", conv2d(rng, tensor.Square(3, 1, 1), 24, 24, 24), "asum+")
	add("b1+", models.ReLU{}, "b1")
	add("b2", conv2d(rng, tensor.Square(1, 1, 0), 1, 24, 24), "b1+")
	add("bsum", models.Add{}, "asum+", "b2")
	add("average", &models.AveragePool{Window: tensor.Square(2, 1, 1), CountPad: true}, "bsum")
	add("c", conv2d(rng, tensor.Square(1, 1, 0), 1, 24, 30), "average")
	add("c+", models.ReLU{}, "c")
	add("pool", models.GlobalAveragePool{}, "c+")
	add("fc", &models.Dense{In: 30, Out: classes, Weight: normal(rng, 30*classes), Bias: normal(rng, classes)}, "pool")
	g.Preprocess = preprocess.Caffe()
	g.Preprocess.Crop, g.Preprocess.Std = 17, [3]float32{60, 61, 62}
	g.Classes = make([]labels.Class, classes)
	return g, noise{n: 40, values: g.Input.Elements()}
}

// quantized is a random network in float and as integers.
func quantized(t *testing.T, seed uint64) (*models.Graph, *int8.Network, noise) {
	t.Helper()
	g, pictures := residualClassifier(rand.New(rand.NewPCG(seed, 7)))
	n, err := Quantize(g, observeNoise(t, g, pictures, 2))
	require.NoError(t, err)
	return g, n, pictures
}

// simulate runs a simulation on one picture and returns the outputs to show.
func simulateOn(t *testing.T, simulation *models.Graph, rgb []uint8, shown ...string) (logits []float32, values map[string][]float32) {
	t.Helper()
	e, err := NewExecutor(simulation, 2, shown...)
	require.NoError(t, err)
	input := make([]float32, len(rgb))
	simulation.Preprocess.Float(input, rgb)
	values = map[string][]float32{}
	logits, err = e.Run(input, func(name string, _ tensor.Shape, v []float32) { values[name] = slices.Clone(v) })
	require.NoError(t, err)
	return logits, values
}

func TestSimulationHasTheReferencesBits(t *testing.T) {
	for seed := range uint64(4) {
		g, n, pictures := quantized(t, seed)
		require.Empty(t, Inexact(n))
		simulation, err := Simulate(g, n, nil)
		require.NoError(t, err)
		rgb, err := pictures.Load(100)
		require.NoError(t, err)
		requireReference(t, n, simulation, rgb)
	}
}

// Random networks reach the corners of the contract, int16 activations among
// them. They have no float network, which this simulation does without.
func TestSimulationOfRandomNetworks(t *testing.T) {
	compared := 0
	for seed := range uint64(60) {
		for _, n := range []*int8.Network{nettest.Random(seed), nettest.Int16(seed)} {
			if len(Inexact(n)) > 0 {
				continue
			}
			compared++
			s := simulator{network: n}
			made := s.begin()
			for i := range n.Layers {
				l := &n.Layers[i]
				made[l.Name] = s.layer("", l, made, Precision{})
			}
			requireReference(t, n, s.simulation(), nettest.Image(n, seed))
		}
	}
	require.Greater(t, compared, 60)
}

// requireReference compares all outputs with those of the reference.
func requireReference(t *testing.T, n *int8.Network, simulation *models.Graph, rgb []uint8) {
	t.Helper()
	var shown []string
	for _, l := range n.Layers {
		shown = append(shown, l.Name)
	}
	logits, values := simulateOn(t, simulation, rgb, shown...)
	acc, err := n.Reference(rgb, func(l *int8.Layer, want []int32) {
		if l.Out.Type == int8.Int32 {
			return
		}
		for k, v := range values[l.Name] {
			require.Equal(t, want[k], int32(v)+int32(l.Out.ZeroAt(0)), "%s: %s: value %d", n.Name, l.Name, k)
		}
	})
	require.NoError(t, err)
	want := make([]float32, len(acc))
	n.Logits().Scaled(want, acc)
	require.Equal(t, want, logits, n.Name)
}

// noError is a layer as in the float network.
func noError(string) Precision {
	return Precision{FloatWeights: true, Unrounded: true, Unclipped: true}
}

// wholeMean is a mean that a pixel can have, so that float and integer networks
// pad the image with the same.
func wholeMean() [3]float32 { return [3]float32{104, 117, 124} }

func floatLogits(t *testing.T, g *models.Graph, rgb []uint8) []float32 {
	t.Helper()
	logits, _ := simulateOn(t, g, rgb)
	return logits
}

func TestSimulationWithoutErrorsIsTheFloatNetwork(t *testing.T) {
	for seed := range uint64(4) {
		g, n, pictures := quantized(t, seed)
		g.Preprocess.Mean = wholeMean()
		n.Preprocess = g.Preprocess
		simulation, err := Simulate(g, n, noError)
		require.NoError(t, err)
		rgb, err := pictures.Load(100)
		require.NoError(t, err)
		require.InDeltaSlice(t, floatLogits(t, g, rgb), floatLogits(t, simulation, rgb), 1e-4)
	}
}

// Fewer errors leave less noise, and the noise of fine steps is next to none.
func TestEachErrorAddsNoise(t *testing.T) {
	g, n, pictures := quantized(t, 1)
	noise := func(p Precision) (sum float64) {
		simulation, err := Simulate(g, n, func(string) Precision { return p })
		require.NoError(t, err)
		for i := range 20 {
			rgb, err := pictures.Load(100 + i)
			require.NoError(t, err)
			sum += distance(floatLogits(t, g, rgb), floatLogits(t, simulation, rgb))
		}
		return sum
	}
	all := noise(Precision{})
	require.Less(t, noise(Precision{FloatWeights: true}), all)
	weights := noise(Precision{Unrounded: true, Unclipped: true})
	require.Less(t, weights, all)
	require.InEpsilon(t, weights, noise(Precision{FractionBits: 10, Unclipped: true}), 0.02)
	require.Less(t, noise(Precision{FloatWeights: true, FractionBits: 6}), 0.1*all)
	clipping := noise(Precision{FloatWeights: true, Unrounded: true})
	require.Positive(t, clipping)
	require.InEpsilon(t, clipping, noise(Precision{FloatWeights: true, FractionBits: 7}), 0.2, "which reaches 255.99")
}

func TestCopiesAreForConvolutionsOnly(t *testing.T) {
	g, n, pictures := quantized(t, 2)
	simulation, err := Simulate(g, n, func(layer string) (p Precision) {
		if layer == "a3" {
			p = Precision{FractionBits: 6, Copied: true}
		}
		return p
	})
	require.NoError(t, err)
	require.Equal(t, []string{"a3/copied"}, node(t, simulation, "b1/products").Inputs)
	require.Equal(t, []string{"b2/products", "a3"}, node(t, simulation, "b2").Inputs)

	rgb, err := pictures.Load(100)
	require.NoError(t, err)
	_, values := simulateOn(t, simulation, rgb, "a3", "a3/copied")
	between := 0
	for i, v := range values["a3"] {
		require.Equal(t, v, float32(math.Round(float64(v)*64)/64))
		require.Equal(t, min(255, float32(math.Floor(float64(v)+0.5))), values["a3/copied"][i])
		if v != values["a3/copied"][i] {
			between++
		}
	}
	require.Greater(t, between, len(values["a3"])/4)
}

func node(t *testing.T, g *models.Graph, name string) models.Node {
	t.Helper()
	at := slices.IndexFunc(g.Nodes, func(n models.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, at, 0, name)
	return g.Nodes[at]
}

func TestSimulationOfAnotherNetwork(t *testing.T) {
	_, n, _ := quantized(t, 1)
	g, _ := classifier(rand.New(rand.NewPCG(1, 1)))
	_, err := Simulate(g, n, nil)
	require.ErrorContains(t, err, "12 layers for a float network of 6")
	g, _ = residualClassifier(rand.New(rand.NewPCG(1, 1)))
	n.Layers[3].Name = "other"
	_, err = Simulate(g, n, nil)
	require.ErrorContains(t, err, "other")
}

func TestLargestSum(t *testing.T) {
	c := &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 2, InC: 4, OutC: 2, Weight: []int8.Value{100, -20, 7, -127}}
	require.Equal(t, 127*255, largestSum(c, &int8.Tensor{Type: int8.Int8, Zero: []int8.Value{-128}}))
	require.Equal(t, (7+127)*255, largestSum(c, &int8.Tensor{Type: int8.Int8, Zero: []int8.Value{0, 0, -128, 127}}))
}
