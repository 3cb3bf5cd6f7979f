package calibrate

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// mobile is a network of what MobileNets, EfficientNets, DenseNets and heads of several
// layers are made of, folded.
func mobile(t *testing.T, rng *rand.Rand) (*models.Graph, graphtest.Images) {
	t.Helper()
	b := models.NewBuilder("image", tensor.Shape{H: 24, W: 24, C: 3})
	add := func(name string, op models.Op, inputs ...string) string {
		_, _ = b.Add(name, op, inputs...)
		return name
	}
	conv := func(name string, k, stride, groups, in, out int, from string) string {
		c := graphtest.Conv(rng, tensor.Square(k, stride, k/2), groups, in, out)
		c.Bias = nil
		norm := graphtest.BatchNorm(rng, out)
		for i := range norm.Gamma {
			norm.Gamma[i], norm.Mean[i], norm.Variance[i] = 0.5+float32(i%3)/2, 0, 1
		}
		return add(name+"_bn", norm, add(name, c, from))
	}
	x := add("stem_act", models.Activation{Function: models.HardSwish}, conv("stem", 3, 1, 3, 3, 12, "image"))
	wide := add("expand_act", models.Clip{Max: 6}, conv("expand", 1, 1, 1, 12, 24, x))
	wide = add("depthwise_act", models.Activation{Function: models.Swish, Alpha: 1}, conv("depthwise", 3, 1, 24, 24, 24, wide))
	se := add("squeeze", models.GlobalAveragePool{}, wide)
	se = add("reduce_act", models.ReLU{}, add("reduce", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 24, 6), se))
	se = add("gate", models.Activation{Function: models.Sigmoid}, add("excite", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 6, 24), se))
	x = add("sum", models.Add{}, conv("project", 1, 1, 1, 24, 12, add("scale", models.Mul{}, wide, se)), x)
	dense := add("cat1", models.Concat{}, x, conv("grow1", 3, 1, 1, 12, 8, x))
	dense = add("cat2", models.Concat{}, dense, conv("grow2", 3, 1, 1, 20, 8, add("pre", models.ReLU{}, dense)))
	other := add("other", models.Activation{Function: models.LeakyReLU, Alpha: 0.1}, dense)
	x = add("twice", models.Add{}, dense, other)
	x = add("hidden_act", models.ReLU{}, add("hidden", graphtest.Dense(rng, 28, 16), add("pool", models.GlobalAveragePool{}, x)))
	add("probabilities", models.Activation{Function: models.Sigmoid}, add("fc", graphtest.Dense(rng, 16, 5), x))
	g, err := graphtest.ForImages(graphtest.Graph(t, b, "mobile"), preprocess.Caffe()).Fold()
	require.NoError(t, err)
	return g.Logits(), graphtest.Images{N: 24, Values: g.Input().Elements()}
}

func TestSearchOfEveryOperation(t *testing.T) {
	g, images := mobile(t, rand.New(rand.NewPCG(3, 9)))
	g.Preprocess.Std = [3]float32{60, 61, 62}
	prior, err := observe.DataFree(g)
	require.NoError(t, err)
	f := find(t, g, images, SearchOptions{Threads: 2, Prior: prior})
	require.Equal(t, f.Planned, f.Tried)
	n := quantized(t, g, f.Table)
	sqnr, free := signalToNoise(t, g, n, images), signalToNoise(t, g, quantized(t, g, prior), images)
	t.Logf("%.1f dB, data-free %.1f dB", sqnr, free)
	require.Greater(t, sqnr, 30.0)
	require.Greater(t, free, 15.0)

	kinds := map[string]int{}
	for _, l := range n.Layers {
		kinds[l.Op.Kind()]++
	}
	require.Equal(t, 2, kinds["concat"])
	require.Equal(t, 2, kinds["mean"], "of the gate, and of a plane whose sums do not fit")
	require.Equal(t, 1, kinds["mul"])
	require.Equal(t, 1, kinds["add"], "the other has a host")
	require.Equal(t, 6, kinds["lookup"], "4 curves, a ReLU, and what joins a concatenation")

	c, err := ChooseInt16(t.Context(), g, f.Table, images, Int16Options{Threads: 2})
	require.NoError(t, err)
	require.NotEmpty(t, c.Layers)
	for _, l := range c.Layers {
		id, err := n.Topology().ID(l.Layer)
		require.NoError(t, err)
		for _, reader := range n.Topology().Consumers(id) {
			require.NotContains(t, []string{"lookup", "mul", "concat"}, n.Layers[reader].Op.Kind(), l.Layer)
		}
	}
	require.Greater(t, signalToNoise(t, g, quantized(t, g, c.Table), images), sqnr-1)
}

// Factors of channels do not pass through what is not homogeneous.
func TestEqualizationKeepsEveryOperation(t *testing.T) {
	g, images := mobile(t, rand.New(rand.NewPCG(4, 9)))
	e := quantize.NewEqualization(g, seen(t, g, images).Peaks(), 0.5)
	require.NotEmpty(t, e)
	equalized, err := quantize.Equalize(g, e)
	require.NoError(t, err)
	scaled := 0
	for _, n := range equalized.Nodes {
		if a, ok := n.Op.(*models.ChannelActivation); ok && a.In != nil && a.Out != nil {
			scaled++
		}
	}
	require.NotZero(t, scaled, "curves whose input and output are scaled")
	rgb, err := images.Load(3)
	require.NoError(t, err)
	var logits [][]float32
	for _, net := range []*models.Graph{g, equalized} {
		x, err := fp32.NewExecutor(net, 1)
		require.NoError(t, err)
		y, err := x.RunImage(rgb, nil)
		require.NoError(t, err)
		logits = append(logits, y)
	}
	require.Equal(t, logits[0], logits[1])
}

// An image that something else than a convolution reads becomes an activation.
func TestImageWithoutAConvolution(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 9))
	for name, ops := range map[string][]models.Op{
		"pool":  {&models.MaxPool{Window: tensor.Square(2, 2, 0)}, models.GlobalAveragePool{}, graphtest.Dense(rng, 3, 4)},
		"mean":  {models.GlobalAveragePool{}, graphtest.Dense(rng, 3, 4)},
		"dense": {graphtest.Dense(rng, 12*12*3, 4)},
		"curve": {models.Activation{Function: models.Tanh}, graphtest.Dense(rng, 12*12*3, 4)},
	} {
		g := graphtest.ForImages(graphtest.Chain(t, tensor.Shape{H: 12, W: 12, C: 3}, ops...), preprocess.Caffe())
		g.Preprocess.Std = [3]float32{60, 61, 62}
		images := graphtest.Images{N: 20, Values: 12 * 12 * 3}
		f := find(t, g, images, SearchOptions{})
		n := quantized(t, g, f.Table)
		require.Greater(t, signalToNoise(t, g, n, images), 35.0, name)
		require.IsType(t, &int8.Dense{}, n.Layers[len(n.Layers)-1].Op)
	}
}

// Slopes of channels become tables of channels.
func TestPReLU(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 9))
	slopes := &models.ChannelActivation{Activation: models.Activation{Function: models.LeakyReLU}, Slopes: graphtest.Normal(rng, 8)}
	g := graphtest.ForImages(graphtest.Chain(t, tensor.Shape{H: 12, W: 12, C: 3},
		graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 3, 8), slopes, models.GlobalAveragePool{}, graphtest.Dense(rng, 8, 4)), preprocess.Caffe())
	g.Preprocess.Std = [3]float32{60, 61, 62}
	images := graphtest.Images{N: 20, Values: 12 * 12 * 3}
	n := quantized(t, g, find(t, g, images, SearchOptions{}).Table)
	require.Greater(t, signalToNoise(t, g, n, images), 35.0)
	require.Len(t, n.Layers[1].Op.(*int8.Lookup).Channel, 8)
}
