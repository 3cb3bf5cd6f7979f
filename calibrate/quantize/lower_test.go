package quantize_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// nodes builds a network of nodes whose inputs are named.
func nodes(t *testing.T, channels int, add func(rng *rand.Rand, add func(name string, op models.Op, inputs ...string))) *models.Graph {
	t.Helper()
	b := models.NewBuilder("pixels", tensor.Shape{H: 4, W: 4, C: channels})
	add(rand.New(rand.NewPCG(1, 2)), func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) })
	return graphtest.ForImages(graphtest.Graph(t, b, "nodes"), preprocess.Caffe())
}

func pointwise(rng *rand.Rand, in, out int) *models.Conv {
	return graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, in, out)
}

// Layers stand depth first, not in the order of the nodes; what nobody needs is none.
func TestUnitsAreInTheOrderOfTheirUse(t *testing.T) {
	g := nodes(t, 3, func(rng *rand.Rand, add func(string, models.Op, ...string)) {
		add("stem", pointwise(rng, 3, 4), "pixels")
		add("shortcut", pointwise(rng, 4, 4), "stem")
		add("unused", models.Softmax{}, "stem")
		add("a", pointwise(rng, 4, 5), "stem")
		add("a+", models.ReLU{}, "a")
		add("b", pointwise(rng, 5, 4), "a+")
		add("sum", models.Add{}, "shortcut", "b")
		add("sum+", models.ReLU{}, "sum")
		add("max", &models.MaxPool{Window: tensor.Square(2, 2, 0)}, "sum+")
		add("average", models.GlobalAveragePool{}, "max")
		add("fc", graphtest.Dense(rng, 4, 2), "average")
		add("probabilities", models.Softmax{}, "fc")
	})
	units, err := quantize.Lower(g)
	require.NoError(t, err)
	type unit struct {
		name, tensor string
		inputs       []tensor.ID
		relu         bool
	}
	var got []unit
	for _, u := range units {
		got = append(got, unit{u.Name, g.Topology().Name(u.Output), u.Inputs, u.Clip.NonNegative()})
		require.Equal(t, u.Shape, g.Shape(u.Output))
	}
	require.Equal(t, []unit{
		{"stem", "stem", []tensor.ID{0}, false},
		{"a", "a+", []tensor.ID{1}, true},
		{"shortcut", "shortcut", []tensor.ID{1}, false},
		{"b", "sum+", []tensor.ID{2, 3}, true},
		{"max", "max", []tensor.ID{4}, true},
		{"average", "average", []tensor.ID{5}, false},
		{"fc", "fc", []tensor.ID{6}, false},
	}, got)
	require.Equal(t, []quantize.Unit{units[0], units[1], units[5]}, quantize.Averaged(units))
}

// What has no integer form is refused, with the node to blame and the way out.
func TestNodesWithoutAnIntegerForm(t *testing.T) {
	const none = "has no integer form; end the network before it, or replace it"
	for want, c := range map[string]struct {
		add    func(rng *rand.Rand, add func(string, models.Op, ...string))
		output string
	}{
		`node "norm" (batchnorm): ` + none: {func(rng *rand.Rand, add func(string, models.Op, ...string)) {
			add("norm", graphtest.BatchNorm(rng, 3), "pixels")
		}, "norm"},
		`node "middle" (softmax): ` + none: {func(rng *rand.Rand, add func(string, models.Op, ...string)) {
			add("c", pointwise(rng, 3, 3), "pixels")
			add("middle", models.Softmax{}, "c")
		}, "middle"},
		`node "c" (conv): a weight or bias is NaN`: {func(rng *rand.Rand, add func(string, models.Op, ...string)) {
			c := pointwise(rng, 3, 3)
			c.Weight[4] = float32(math.NaN())
			add("c", c, "pixels")
		}, "c"},
	} {
		g := nodes(t, 3, func(rng *rand.Rand, add func(string, models.Op, ...string)) {
			c.add(rng, add)
			add("average", models.GlobalAveragePool{}, c.output)
			add("fc", graphtest.Dense(rng, 3, 2), "average")
		})
		_, err := quantize.Lower(g)
		require.ErrorContains(t, err, want)
	}
	headless := graphtest.Chain(t, tensor.Shape{H: 4, W: 4, C: 3}, pointwise(rand.New(rand.NewPCG(1, 2)), 3, 2), models.Softmax{})
	_, err := quantize.Lower(headless)
	require.ErrorContains(t, err, `node "conv0" (conv): the network must end in a dense classifier`)
}

// A grey image has one channel, a colour image three.
func TestChannelsOfTheImage(t *testing.T) {
	for channels := 1; channels <= 4; channels++ {
		g := nodes(t, channels, func(rng *rand.Rand, add func(string, models.Op, ...string)) {
			c := pointwise(rng, channels, 2)
			c.Weight, c.Bias = []float32{0.5, 1, 0, 0, -1, 0, 0, 0}[:2*channels], nil
			add("c", c, "pixels")
			add("average", models.GlobalAveragePool{}, "c")
			add("fc", graphtest.Dense(rng, 2, 2), "average")
		})
		table := &quantize.RangeTable{Ranges: map[string]quantize.Range{"c": {Min: -255, Max: 255}}}
		n, err := quantize.Network(g, table)
		if channels%2 == 0 {
			require.ErrorContains(t, err, "want an image of 1 or 3 channels")
			continue
		}
		require.NoError(t, err)
		require.Len(t, n.Input.Zero, channels)
		mean, at := g.Preprocess.Mean[0], g.Preprocess.Channel(0) // blue
		if channels == 1 {
			at = 0
		}
		require.InDelta(t, mean-128, n.Input.Zero[at], 0.5)
		image := make([]uint8, n.Input.Shape.Elements())
		for i := range image {
			image[i] = 104
		}
		for i := at; i < len(image); i += channels {
			image[i] = 154
		}
		var seen []int32
		_, err = n.Reference(image, func(l *int8.Layer, values []int32) {
			if l.Name == "c" {
				seen = values
			}
		})
		require.NoError(t, err)
		out := n.Layers[0].Out
		want := 0.5 * (154 - mean)
		if channels == 3 {
			want += 104 - g.Preprocess.Mean[1]
		}
		require.InDelta(t, want, out.Scale*float32(seen[0]-int32(out.ZeroAt(0))), float64(out.Scale))
	}
}
