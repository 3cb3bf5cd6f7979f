package calibrate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// integerLogits are the integer network's on one picture.
func integerLogits(t *testing.T, n *int8.Network, rgb []uint8) []float32 {
	t.Helper()
	acc, err := n.Reference(rgb, nil)
	require.NoError(t, err)
	logits := make([]float32, len(acc))
	n.Logits().Scaled(logits, acc)
	return logits
}

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
func TestWideOutputs(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g, pictures := residualClassifier(rand.New(rand.NewPCG(seed, 7)))
		table := observeNoise(t, g, pictures, 2)
		narrow, err := Quantize(g, table)
		require.NoError(t, err)
		table.Wide = slices.DeleteFunc(convolutions(narrow), func(string) bool { return rng.IntN(2) == 0 })
		n, err := Quantize(g, table)
		require.NoError(t, err)
		origin := map[string]string{}
		for i, l := range n.Layers {
			switch l.Op.(type) {
			case *int8.Conv:
				if slices.Contains(table.Wide, l.Name) {
					origin[l.Name] = l.Name
				}
			case *int8.MaxPool, *int8.AveragePool:
				origin[l.Name] = origin[l.Inputs[0]]
			default:
				continue
			}
			if origin[l.Name] == "" {
				require.Equal(t, int8.Int8, l.Out.Type, l.Name)
				require.InEpsilon(t, narrow.Layers[i].Out.Scale, l.Out.Scale, 0.1, l.Name) // which residuals move
				continue
			}
			require.Equal(t, int8.Int16, l.Out.Type, l.Name)
			finer := float64(narrow.Layers[i].Out.Scale / l.Out.Scale)
			require.InDelta(t, 6, math.Log2(finer), 5.1, l.Name)
			_, before := codes(&narrow.Layers[i].Out, 0)
			_, after := codes(&l.Out, 0)
			require.GreaterOrEqual(t, float64(after), 0.99*float64(before)*finer, l.Name)
		}
		for unit := range origin {
			if origin[unit] == unit {
				requireLargest(t, n, unit, origin)
			}
		}
	}
}

// requireLargest checks that no greater bound of the unit's output, and of what
// pools it, is valid.
func requireLargest(t *testing.T, n *int8.Network, unit string, origin map[string]string) {
	greater := *n
	greater.Layers = slices.Clone(n.Layers)
	for i := range greater.Layers {
		if l := &greater.Layers[i]; origin[l.Name] == unit {
			l.Out.Bound++
		} else if _, sum := l.Op.(int8.GlobalAveragePool); sum && origin[l.Inputs[0]] == unit {
			in := greater.Layers[i-1].Out
			require.Equal(t, greater.Layers[i-1].Name, l.Inputs[0])
			l.Out.Bound = int32(in.SumBound())
		}
	}
	require.Error(t, greater.Validate(), unit)
}

// With all outputs int16 next to nothing is left but the rounding of weights,
// that of scales and ratios included.
func TestWideNetworkIsTheFloatNetworkOfItsWeights(t *testing.T) {
	var all, rest, wide Noise
	for seed := range uint64(4) {
		g, pictures := residualClassifier(rand.New(rand.NewPCG(seed, 7)))
		g.Preprocess.Mean = wholeMean()
		table := observeNoise(t, g, pictures, 2)
		narrow, err := Quantize(g, table)
		require.NoError(t, err)
		weights, err := Simulate(g, narrow, func(string) Precision { return Precision{Unrounded: true, Unclipped: true} })
		require.NoError(t, err)
		table.Wide = slices.DeleteFunc(convolutions(narrow), func(name string) bool { return name == "c" }) // which sums keep coarse
		n, err := Quantize(g, table)
		require.NoError(t, err)
		for i := range 10 {
			rgb, err := pictures.Load(100 + i)
			require.NoError(t, err)
			exact := floatLogits(t, weights, rgb)
			all.Noise += distance(exact, integerLogits(t, narrow, rgb))
			rest.Noise += distance(exact, floatLogits(t, simulationWithout(t, g, narrow, "c"), rgb))
			wide.Noise += distance(exact, integerLogits(t, n, rgb))
		}
	}
	require.Less(t, rest.Noise, all.Noise/2)
	require.InEpsilon(t, rest.Noise, wide.Noise, 0.1)
}

// simulationWithout has no error of activations but those of one layer.
func simulationWithout(t *testing.T, g *models.Graph, n *int8.Network, layer string) *models.Graph {
	t.Helper()
	s, err := Simulate(g, n, func(name string) Precision { return Precision{Unrounded: name != layer, Unclipped: name != layer} })
	require.NoError(t, err)
	return s
}

// signs is a convolution whose weights are 1 or -1, the most that a sum can
// grow from.
func signs(rng *rand.Rand, w tensor.Window, in, out int) *models.Conv {
	c := conv2d(rng, w, 1, in, out)
	for i := range c.Weight {
		c.Weight[i] = float32(1 - 2*rng.IntN(2))
	}
	return c
}

// wideChain is quantized with the outputs of some of its layers in int16.
func wideChain(t *testing.T, side int, change func(*RangeTable), ops ...models.Op) (*int8.Network, error) {
	t.Helper()
	g := chain(tensor.Shape{H: side, W: side, C: 3}, ops...)
	g.Preprocess = preprocess.Torchvision()
	g.Preprocess.Crop = side
	g.Classes = make([]labels.Class, ops[len(ops)-1].(*models.Dense).Out)
	table := observeNoise(t, g, noise{n: 10, values: g.Input.Elements()}, 2)
	change(table)
	return Quantize(g, table)
}

// Steps are as fine as the layers that read them, and the ones that make them,
// allow.
func TestWideStepsThatWouldOverflow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dense := &models.Dense{In: 8, Out: 3, Weight: normal(rng, 24), Bias: normal(rng, 3)}
	first, second := signs(rng, tensor.Square(1, 1, 0), 3, 600), signs(rng, tensor.Square(3, 1, 0), 600, 8)
	ops := []models.Op{first, models.ReLU{}, second, models.ReLU{}, models.GlobalAveragePool{}, dense}
	n, err := wideChain(t, 6, func(r *RangeTable) { r.Wide = []string{"conv0"} }, ops...)
	require.NoError(t, err)
	bound := n.Layers[0].Out.Bound // of 5400 weights of 127
	require.InEpsilon(t, math.MaxInt32/127/5400, bound, 0.1)
	require.GreaterOrEqual(t, bound, int32(255*8))
	narrow, err := wideChain(t, 6, func(*RangeTable) {}, ops...)
	require.NoError(t, err)
	require.InDelta(t, 8, narrow.Layers[0].Out.Scale/n.Layers[0].Out.Scale, 1e-3)

	shrink := func(by float64) func(*RangeTable) {
		return func(r *RangeTable) {
			r.Wide = []string{"conv0", "conv2"}
			r.Ranges["conv2"] = r.Ranges["conv2"].times(by, by)
		}
	}
	for _, by := range []float64{0.1, 0.03} {
		n, err = wideChain(t, 6, shrink(by), ops...)
		require.NoError(t, err, "%g", by)
		require.Equal(t, int8.Int16, n.Layers[1].Out.Type)
	}
	_, err = wideChain(t, 6, shrink(0.01), ops...)
	require.ErrorContains(t, err, `layer "conv2" cannot have an int16 output`)
}

func TestWideOutputsThatCannotBe(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	ops := []models.Op{
		signs(rng, tensor.Square(1, 1, 0), 3, 8), models.ReLU{}, models.GlobalAveragePool{},
		&models.Dense{In: 8, Out: 3, Weight: normal(rng, 24), Bias: normal(rng, 3)},
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
		_, err := wideChain(t, c.side, func(r *RangeTable) { r.Wide = []string{c.wide} }, ops...)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
}
