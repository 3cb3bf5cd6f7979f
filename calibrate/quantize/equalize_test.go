package quantize_test

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
	"edgeclassify/importer"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// seen observes g on the images that can be loaded.
func seen(t testing.TB, g *models.Graph, images dataset.Images) *observe.Statistics {
	t.Helper()
	s, err := observe.Observe(t.Context(), g, images, dataset.Pass{Threads: 2, Skip: func(error) {}})
	require.NoError(t, err)
	return s
}

// corrupt multiplies one in ten channels of every group, in blocks and in
// residual streams, by 16 to 256. The float network's logits keep their bits,
// but ranges that all channels share leave few codes for the others.
func corrupt(t *testing.T, rng *rand.Rand, g *models.Graph) *models.Graph {
	t.Helper()
	e := quantize.Equalization{}
	for _, group := range quantize.Groups(g) {
		scales := make(quantize.Log2Scales, group.Channels)
		for c := range scales {
			if c == 0 || rng.IntN(10) == 0 {
				scales[c] = -4 - rng.IntN(5)
			}
		}
		e[group.Name] = scales
	}
	corrupted, err := quantize.Equalize(g, e)
	require.NoError(t, err)
	return corrupted
}

// equalized equalizes all groups of g from what the images show.
func equalized(t *testing.T, g *models.Graph, images dataset.Images, beta float64) *models.Graph {
	t.Helper()
	e, err := quantize.Equalize(g, quantize.NewEqualization(g, seen(t, g, images).Peaks(), beta))
	require.NoError(t, err)
	return e
}

func resNet50(t *testing.T) *models.Graph {
	t.Helper()
	g, err := importer.Import(testneed.Weights(t, "resnet50-keras"), models.ImportOptions{})
	require.NoError(t, err)
	folded, err := g.Fold()
	require.NoError(t, err)
	return folded
}

func TestGroupsOfAResidualNetwork(t *testing.T) {
	g, _ := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(1, 1)))
	type group struct {
		name                          string
		channels                      int
		tensors, producers, consumers []string
	}
	var got []group
	for _, found := range quantize.Groups(g) {
		nodes := func(numbers []int) (names []string) {
			for _, i := range numbers {
				names = append(names, g.Nodes[i].Name)
			}
			return names
		}
		got = append(got, group{found.Name, found.Channels, g.Topology().Names(found.Tensors), nodes(found.Producers), nodes(found.Consumers)})
	}
	require.Equal(t, []group{
		{"stem_conv", 16, []string{"stem_conv", "stem", "pool"}, []string{"stem_conv"}, []string{"side", "a_conv"}},
		{"side", 32, []string{"side", "b", "sum", "first", "d", "sum2", "second", "average"}, []string{"side", "b", "d"}, []string{"c_conv", "fc"}},
		{"a_conv", 24, []string{"a_conv", "a"}, []string{"a_conv"}, []string{"b"}},
		{"c_conv", 24, []string{"c_conv", "c"}, []string{"c_conv"}, []string{"d"}},
	}, got)
}

func TestGroupsOfResNet50(t *testing.T) {
	g := resNet50(t)
	groups := quantize.Groups(g)
	streams := 0
	for _, group := range groups {
		if len(group.Producers) > 1 {
			streams++
			blocks := len(group.Producers) - 1 // and the projection
			require.Equal(t, []int{3, 4, 6, 3}[streams-1], blocks)
		}
	}
	require.Equal(t, 4, streams)
	require.Len(t, groups, 1+2*16+4) // the stem, two in each block, the streams
	require.NotContains(t, groups[len(groups)-1].Tensors, graphtest.ID(t, g, "fc1000"))
}

// Where a factor cannot pass, nothing is scaled.
func TestGroupsLeaveOutWhatCannotBeScaled(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	chain := func(ops ...models.Op) *models.Graph {
		return graphtest.Chain(t, tensor.Shape{H: 4, W: 4, C: 3}, ops...)
	}
	conv := func() *models.Conv { return pointwise(rng, 3, 3) }
	for name, g := range map[string]*models.Graph{
		"image":      chain(models.ReLU{}, conv()),
		"batch norm": chain(conv(), models.ReLU{}, graphtest.BatchNorm(rng, 3), conv()),
		"output":     chain(conv(), models.ReLU{}),
		"softmax":    chain(conv(), models.GlobalAveragePool{}, models.Softmax{}),
	} {
		require.Empty(t, quantize.Groups(g), name)
	}
}

// The function stays the same, bit for bit, in every kind of network.
func TestEqualizeIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	classifier, _ := graphtest.Classifier(t, rng)
	stream, _ := graphtest.StreamClassifier(t, rng)
	residual, _ := graphtest.ResidualClassifier(t, rng)
	folded, err := graphtest.Residual(t, rng).Fold()
	require.NoError(t, err)
	scaled := 0
	for name, g := range map[string]*models.Graph{
		"classifier": classifier, "stream": stream, "residual": residual, "branches": graphtest.Residual(t, rng), "folded": folded,
		"depthwise": graphtest.Chain(t, tensor.Shape{H: 6, W: 8, C: 3},
			graphtest.Conv(rng, tensor.Square(3, 1, 1), 3, 3, 12), &models.AveragePool{Window: tensor.Square(2, 2, 1)},
			graphtest.Conv(rng, tensor.Square(3, 1, 0), 12, 12, 12), models.ReLU{}, graphtest.Dense(rng, 2*3*12, 5)),
	} {
		groups := quantize.Groups(g)
		scaled += len(groups)
		image := graphtest.Normal(rng, g.Input().Elements())
		want, got := outputs(t, g, image), outputs(t, corrupt(t, rng, g), image)
		require.Equal(t, want[g.Output()], got[g.Output()], name)
		for _, group := range groups {
			for _, node := range group.Producers {
				require.NotEqual(t, want[tensor.Output(node)], got[tensor.Output(node)], g.Nodes[node].Name)
			}
		}
	}
	require.Greater(t, scaled, 10)
}

// outputs are all tensors that g makes of an image.
func outputs(t *testing.T, g *models.Graph, image []float32) map[tensor.ID][]float32 {
	t.Helper()
	var all []tensor.ID
	for i := range g.Nodes {
		all = append(all, tensor.Output(i))
	}
	e, err := fp32.NewExecutor(g, 1, all...)
	require.NoError(t, err)
	made := map[tensor.ID][]float32{}
	_, err = e.Run(image, func(id tensor.ID, values []float32) error {
		made[id] = slices.Clone(values)
		return nil
	})
	require.NoError(t, err)
	return made
}

func TestEqualizeLeavesResNet50sLogits(t *testing.T) {
	g := resNet50(t).Logits()
	image := graphtest.Normal(rand.New(rand.NewPCG(5, 1)), g.Input().Elements())
	logits := func(g *models.Graph) []float32 {
		e, err := fp32.NewExecutor(g, 2)
		require.NoError(t, err)
		logits, err := e.Run(image, nil)
		require.NoError(t, err)
		return logits
	}
	require.Equal(t, logits(g), logits(corrupt(t, rand.New(rand.NewPCG(4, 1)), g)))
}

func TestEqualizeErrors(t *testing.T) {
	g, _ := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(5, 1)))
	first := func(v int) quantize.Log2Scales { return append(quantize.Log2Scales{v}, make([]int, 23)...) }
	for want, e := range map[string]quantize.Equalization{
		`group "a_conv": 2 exponents, want 24`:           {"a_conv": make([]int, 2)},
		"1 of the 1 groups are none of this network":     {"a": make([]int, 24)},
		`group "a_conv": channel 0: the exponent 99`:     {"a_conv": first(99)},
		`group "a_conv": channel 0: the exponent -99999`: {"a_conv": first(-99999)},
	} {
		_, err := quantize.Equalize(g, e)
		require.ErrorContains(t, err, want)
	}
	g.Nodes[4].Op.(*models.Conv).Weight[0] = math.MaxFloat32
	_, err := quantize.Equalize(g, quantize.Equalization{"a_conv": first(-1)})
	require.ErrorContains(t, err, `node "a_conv": a weight or bias is NaN or beyond float32`)
}

func TestEqualizeLeavesItsInput(t *testing.T) {
	g, _ := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(6, 1)))
	same, _ := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(6, 1)))
	corrupt(t, rand.New(rand.NewPCG(7, 1)), g)
	require.Equal(t, same, g)
}

// Whatever the channels were multiplied by, equalized networks differ by one
// factor for each group, which quantization does not see.
func TestEqualizationUndoesCorruption(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(8, 1)))
	corrupted := corrupt(t, rand.New(rand.NewPCG(9, 1)), g)
	quantized := func(g *models.Graph) *int8.Network {
		return quantizedBy(t, g, seen(t, g, images).Table(quantize.MinMax))
	}
	for _, beta := range []float64{0, 0.25, 0.5, 1} {
		want, got := quantized(equalized(t, g, images, beta)), quantized(equalized(t, corrupted, images, beta))
		for i, l := range want.Layers {
			if conv, ok := l.Op.(*int8.Conv); ok {
				require.Equal(t, conv.Weight, got.Layers[i].Op.(*int8.Conv).Weight, "beta %g: %s", beta, l.Name)
			}
		}
	}
}

func TestFullyEqualizedActivationsReachEquallyFar(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(10, 1)))
	e := equalized(t, corrupt(t, rand.New(rand.NewPCG(11, 1)), g), images, 1)
	peaks := seen(t, e, images).Peaks()
	require.Len(t, peaks, 6)
	for _, name := range []string{"stem", "a", "c"} {
		live := slices.DeleteFunc(slices.Clone(peaks[graphtest.ID(t, e, name)]), func(p float64) bool { return p == 0 })
		require.NotEmpty(t, live)
		require.LessOrEqual(t, slices.Max(live)/slices.Min(live), 2.0, name)
	}
}

// Channels that stand out ruin the quantized network; equalized, it is as good
// as the one that nobody corrupted.
func TestEqualizationMendsQuantization(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(14, 1)))
	corrupted := corrupt(t, rand.New(rand.NewPCG(15, 1)), g)
	for _, m := range []quantize.Method{quantize.MinMax, quantize.ClipMSE} {
		loss := func(g *models.Graph) float64 { return meanLogitError(t, g, seen(t, g, images).Table(m), images) }
		sound, ruined, mended := loss(g), loss(corrupted), loss(equalized(t, corrupted, images, 0.25))
		t.Logf("%s: squared mean error of the logits %.3g, corrupted %.3g, equalized %.3g", m, sound, ruined, mended)
		require.Greater(t, ruined, 20*sound, m)
		require.Less(t, mended, 5*sound, m)
	}
}

// meanLogitError is the sum over classes of the squared mean difference between
// the float network's logits and the quantized one's.
func meanLogitError(t *testing.T, g *models.Graph, table *quantize.RangeTable, images graphtest.Images) (sum float64) {
	t.Helper()
	n, errs := quantizedBy(t, g, table), make([]float64, 10)
	for i := range images.N {
		rgb, err := images.Load(i)
		require.NoError(t, err)
		want, got := floatLogits(t, g, rgb), integerLogits(t, n, rgb)
		for c := range errs {
			errs[c] += float64(got[c]-want[c]) / float64(images.N)
		}
	}
	for _, e := range errs {
		sum += e * e
	}
	return sum
}

func floatLogits(t *testing.T, g *models.Graph, rgb []uint8) []float32 {
	t.Helper()
	e, err := fp32.NewExecutor(g, 1)
	require.NoError(t, err)
	logits, err := e.RunImage(rgb, nil)
	require.NoError(t, err)
	return logits
}

// integerLogits are the integer network's, in real units.
func integerLogits(t *testing.T, n *int8.Network, rgb []uint8) []float32 {
	t.Helper()
	acc, err := n.Reference(rgb, nil)
	require.NoError(t, err)
	logits := make([]float32, len(acc))
	n.Classifier().Scaled(logits, acc)
	return logits
}
