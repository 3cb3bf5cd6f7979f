package diagnose

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/internal/nettest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// quantized is a random network in float and as integers.
func quantized(t *testing.T, seed uint64) (*models.Graph, *int8.Network, graphtest.Images) {
	t.Helper()
	g, pictures := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(seed, 7)))
	return g, quantizedOn(t, g, pictures), pictures
}

func quantizedOn(t *testing.T, g *models.Graph, pictures dataset.Images) *int8.Network {
	t.Helper()
	n, err := quantize.Network(g, observed(t, g, pictures))
	require.NoError(t, err)
	return n
}

func observed(t *testing.T, g *models.Graph, pictures dataset.Images) *quantize.RangeTable {
	t.Helper()
	s, err := observe.Observe(t.Context(), g, pictures, dataset.Pass{Threads: 2})
	require.NoError(t, err)
	return s.Table(quantize.ClipMSE)
}

// simulate runs a simulation on one picture and returns the outputs to show.
func simulateOn(t *testing.T, simulation *models.Graph, rgb []uint8, shown ...string) (logits []float32, values map[string][]float32) {
	t.Helper()
	ids, err := simulation.Topology().IDs(shown)
	require.NoError(t, err)
	e, err := fp32.NewExecutor(simulation, 2, ids...)
	require.NoError(t, err)
	values = map[string][]float32{}
	logits, err = e.RunImage(rgb, func(id tensor.ID, v []float32) error {
		values[simulation.Topology().Name(id)] = slices.Clone(v)
		return nil
	})
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

// A network of one channel reads grey pixels.
func TestSimulationOfGreyImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	g := graphtest.Chain(t, tensor.Shape{H: 12, W: 12, C: 1},
		graphtest.Conv(rng, tensor.Window{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 1, Bottom: 1, Left: 1, Right: 1}, 1, 1, 16),
		models.ReLU{}, models.GlobalAveragePool{}, graphtest.Dense(rng, 16, 5))
	g = graphtest.ForImages(g, preprocess.Torchvision().Ordered(preprocess.Grey))
	pictures := graphtest.Images{N: 20, Values: 12 * 12}
	n := quantizedOn(t, g, pictures)
	simulation, err := Simulate(g, n, nil)
	require.NoError(t, err)
	rgb, err := pictures.Load(3)
	require.NoError(t, err)
	requireReference(t, n, simulation, rgb)
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
			s := simulator{
				network: n, float: &models.Graph{}, units: slices.Repeat([]quantize.Unit{{Clip: models.Unlimited()}}, len(n.Layers)),
				builder: models.NewBuilder(int8.InputName, n.Input.Shape),
			}
			made := s.begin()
			for i := range n.Layers {
				made = append(made, s.layer("", i, made, Precision{}))
			}
			simulation, err := s.graph()
			require.NoError(t, err)
			requireReference(t, n, simulation, nettest.Image(n, seed))
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
	n.Classifier().Scaled(want, acc)
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
	inputs := func(name string) []string {
		return simulation.Topology().Names(graphtest.Node(t, simulation, name).Inputs)
	}
	require.Equal(t, []string{"a3/copied"}, inputs("b1/products"))
	require.Equal(t, []string{"b2/products", "a3"}, inputs("b2"))

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

func TestSimulationOfAnotherNetwork(t *testing.T) {
	_, n, _ := quantized(t, 1)
	g, _ := graphtest.Classifier(t, rand.New(rand.NewPCG(1, 1)))
	_, err := Simulate(g, n, nil)
	require.ErrorContains(t, err, "12 layers for a float network of 6")
	g, _ = graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(1, 1)))
	n.Layers[3].Name = "other"
	_, err = Simulate(g, n, nil)
	require.ErrorContains(t, err, "other")
}

func TestLargestSum(t *testing.T) {
	c := &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 2, InC: 4, OutC: 2, Weight: []int8.Value{100, -20, 7, -127}, Bias: make([]int32, 2)}
	require.Equal(t, 127*255, largestSum(c, &int8.Tensor{Type: int8.Int8, Zero: []int8.Value{-128}}))
	require.Equal(t, (7+127)*255, largestSum(c, &int8.Tensor{Type: int8.Int8, Zero: []int8.Value{0, 0, -128, 127}}))
}
