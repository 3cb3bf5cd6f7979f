package quantize_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

func convolutions(n *int8.Network) (names []string) {
	for _, l := range n.Layers {
		if _, conv := l.Op.(*int8.Conv); conv {
			names = append(names, l.Name)
		}
	}
	return names
}

// Whatever layers are chosen, outputs and the pools behind them have the wanted
// types, and bounds are the largest that are valid.
func TestInt16Outputs(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(seed, 7)))
		table := seen(t, g, images).Table(quantize.ClipMSE)
		narrow, err := quantize.Network(g, table)
		require.NoError(t, err)
		table.Int16 = slices.DeleteFunc(convolutions(narrow), func(string) bool { return rng.IntN(2) == 0 })
		n, err := quantize.Network(g, table)
		require.NoError(t, err)
		origins := make([]tensor.ID, n.Topology().Len()) // the int16 output that a tensor is or pools
		for i, l := range n.Layers {
			id := tensor.Output(i)
			switch l.Op.(type) {
			case *int8.Conv:
				if slices.Contains(table.Int16, l.Name) {
					origins[id] = id
				}
			case *int8.MaxPool, *int8.AveragePool:
				origins[id] = origins[l.Inputs[0]]
			default:
				continue
			}
			before := narrow.Layers[i].Out
			if origins[id] == tensor.Input {
				require.Equal(t, int8.Int8, l.Out.Type, l.Name)
				require.InEpsilon(t, before.Scale, l.Out.Scale, 0.1, l.Name) // which residuals move
				continue
			}
			require.Equal(t, int8.Int16, l.Out.Type, l.Name)
			finer := float64(before.Scale / l.Out.Scale)
			require.InDelta(t, 6, math.Log2(finer), 5.1, l.Name)
			require.GreaterOrEqual(t, float64(l.Out.Bound), 0.99*float64(127-int(before.ZeroAt(0)))*finer, l.Name)
		}
		for i := range n.Layers {
			if id := tensor.Output(i); origins[id] == id {
				requireLargest(t, n, id, origins)
			}
		}
	}
}

// requireLargest checks that no greater bound of an int16 output, and of what
// pools it, is valid.
func requireLargest(t *testing.T, n *int8.Network, id tensor.ID, origins []tensor.ID) {
	layers := slices.Clone(n.Layers)
	for i := range layers {
		l := &layers[i]
		if origins[tensor.Output(i)] == id {
			l.Out.Bound++
		} else if in := l.Inputs[0]; n.Content(tensor.Output(i)) == int8.Sums && origins[in] == id {
			l.Out.Bound = int32(layers[in.Node()].Out.SumBound())
		}
	}
	_, err := int8.NewNetwork(n.Name, n.Input, layers)
	require.Error(t, err, n.Topology().Name(id))
}

// With all outputs int16 next to nothing is left but the rounding of weights,
// that of scales and ratios included.
func TestInt16NetworkIsTheFloatNetworkOfItsWeights(t *testing.T) {
	all, rest, finer := 0.0, 0.0, 0.0
	for seed := range uint64(4) {
		g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(seed, 7)))
		g.Preprocess.Mean = [3]float32{104, 117, 124}
		table := seen(t, g, images).Table(quantize.ClipMSE)
		narrow := quantizedBy(t, g, table)
		weights := simulationWithout(t, g, narrow, "")
		some := simulationWithout(t, g, narrow, "c") // which sums keep coarse
		table.Int16 = slices.DeleteFunc(convolutions(narrow), func(name string) bool { return name == "c" })
		n := quantizedBy(t, g, table)
		for i := range 10 {
			rgb, err := images.Load(100 + i)
			require.NoError(t, err)
			exact := floatLogits(t, weights, rgb)
			all += distance(exact, integerLogits(t, narrow, rgb))
			rest += distance(exact, floatLogits(t, some, rgb))
			finer += distance(exact, integerLogits(t, n, rgb))
		}
	}
	require.Less(t, rest, all/2)
	require.InEpsilon(t, rest, finer, 0.1)
}

// simulationWithout has no error of activations but those of one layer.
func simulationWithout(t *testing.T, g *models.Graph, n *int8.Network, layer string) *models.Graph {
	t.Helper()
	s, err := diagnose.Simulate(g, n, func(name string) diagnose.Precision {
		return diagnose.Precision{Unrounded: name != layer, Unclipped: name != layer}
	})
	require.NoError(t, err)
	return s
}

// distance is the squared one.
func distance(a, b []float32) (sum float64) {
	for i := range a {
		sum += math.Pow(float64(a[i])-float64(b[i]), 2)
	}
	return sum
}

// signs is a convolution whose weights are 1 or -1, the most that a sum can
// grow from.
func signs(rng *rand.Rand, w tensor.Window, in, out int) *models.Conv {
	c := graphtest.Conv(rng, w, 1, in, out)
	for i := range c.Weight {
		c.Weight[i] = float32(1 - 2*rng.IntN(2))
	}
	return c
}

// int16Chain is quantized with the outputs of some of its layers in int16.
func int16Chain(t *testing.T, side int, change func(*quantize.RangeTable), ops ...models.Op) (*int8.Network, error) {
	t.Helper()
	g := graphtest.ForImages(graphtest.Chain(t, tensor.Shape{H: side, W: side, C: 3}, ops...), preprocess.Torchvision())
	table := seen(t, g, graphtest.Images{N: 10, Values: g.Input().Elements()}).Table(quantize.ClipMSE)
	change(table)
	return quantize.Network(g, table)
}

// Steps are as fine as the layers that read them, and the ones that make them,
// allow.
func TestInt16StepsThatWouldOverflow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dense := graphtest.Dense(rng, 8, 3)
	first, second := signs(rng, tensor.Square(1, 1, 0), 3, 600), signs(rng, tensor.Square(3, 1, 0), 600, 8)
	ops := []models.Op{first, models.ReLU{}, second, models.ReLU{}, models.GlobalAveragePool{}, dense}
	n, err := int16Chain(t, 6, func(r *quantize.RangeTable) { r.Int16 = []string{"conv0"} }, ops...)
	require.NoError(t, err)
	bound := n.Layers[0].Out.Bound // of 5400 weights of 127
	require.InEpsilon(t, math.MaxInt32/127/5400, bound, 0.1)
	require.GreaterOrEqual(t, bound, int32(255*8))
	narrow, err := int16Chain(t, 6, func(*quantize.RangeTable) {}, ops...)
	require.NoError(t, err)
	require.InDelta(t, 8, narrow.Layers[0].Out.Scale/n.Layers[0].Out.Scale, 1e-3)

	shrink := func(by float64) func(*quantize.RangeTable) {
		return func(r *quantize.RangeTable) {
			r.Int16 = []string{"conv0", "conv2"}
			r.Ranges["conv2"] = r.Ranges["conv2"].Scaled(by, by)
		}
	}
	for _, by := range []float64{0.1, 0.03} {
		n, err = int16Chain(t, 6, shrink(by), ops...)
		require.NoError(t, err, "%g", by)
		require.Equal(t, int8.Int16, n.Layers[1].Out.Type)
	}
	_, err = int16Chain(t, 6, shrink(0.01), ops...)
	require.ErrorContains(t, err, `layer "conv2" cannot have an int16 output`)
}

func TestInt16OutputsThatCannotBe(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	ops := []models.Op{
		signs(rng, tensor.Square(1, 1, 0), 3, 8), models.ReLU{}, models.GlobalAveragePool{},
		graphtest.Dense(rng, 8, 3),
	}
	for _, c := range []struct {
		side       int
		wide, want string
	}{
		{8, "conv0", ""},
		{9, "conv0", `layer "conv0" cannot have an int16 output`}, // 81 pixels of 510 steps do not add up in int16
		{8, "globalavgpool2", `layer "globalavgpool2" (globalavgpool)`},
		{8, "other", `layer "other"`},
	} {
		_, err := int16Chain(t, c.side, func(r *quantize.RangeTable) { r.Int16 = []string{c.wide} }, ops...)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
}
