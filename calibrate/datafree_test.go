package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// trained is a residual network whose batch norms hold the statistics of its
// pictures, as training leaves them.
func trained(t *testing.T, rng *rand.Rand) (*models.Graph, noise) {
	t.Helper()
	const size, classes = 10, 10
	g := &models.Graph{Name: "trained", InputName: "image", Input: tensor.Shape{H: size, W: size, C: 3},
		Preprocess: preprocess.Torchvision(), Classes: make([]labels.Class, classes)}
	g.Preprocess.Crop = size
	add := func(name string, op models.Op, inputs ...string) {
		g.Nodes = append(g.Nodes, models.Node{Name: name, Inputs: inputs, Op: op})
	}
	pictures := noise{n: 12, values: g.Input.Elements()}
	convNorm := func(name, input string, k, in, out int) {
		add(name, conv2d(rng, tensor.Square(k, 1, k/2), 1, in, out), input)
		add(name+"_bn", statistics(t, rng, g, pictures), name)
	}
	convNorm("stem", "image", 3, 3, 32)
	add("stem_relu", models.ReLU{}, "stem_bn")
	convNorm("side", "stem_relu", 1, 32, 48)
	convNorm("a", "stem_relu", 3, 32, 32)
	add("a_relu", models.ReLU{}, "a_bn")
	convNorm("b", "a_relu", 1, 32, 48)
	add("sum", models.Add{}, "b_bn", "side_bn")
	add("sum_relu", models.ReLU{}, "sum")
	add("average", models.GlobalAveragePool{}, "sum_relu")
	add("fc", &models.Dense{In: 48, Out: classes, Weight: normal(rng, 48*classes), Bias: normal(rng, classes)}, "average")
	return g, pictures
}

// statistics is the batch norm of the graph's last node.
func statistics(t *testing.T, rng *rand.Rand, g *models.Graph, pictures noise) *models.BatchNorm {
	t.Helper()
	last := g.Nodes[len(g.Nodes)-1]
	channels := last.Op.(*models.Conv).OutC
	sum, squares, n := make([]float64, channels), make([]float64, channels), 0.0
	e, err := NewExecutor(g, 1, last.Name)
	require.NoError(t, err)
	image := make([]float32, pictures.values)
	for i := range pictures.n {
		rgb, err := pictures.Load(i)
		require.NoError(t, err)
		g.Preprocess.Float(image, rgb)
		_, err = e.Run(image, func(_ string, shape tensor.Shape, values []float32) {
			for k, v := range values {
				sum[k%channels] += float64(v)
				squares[k%channels] += float64(v) * float64(v)
			}
			n += float64(shape.H * shape.W)
		})
		require.NoError(t, err)
	}
	bn := batchNormOf(rng, channels)
	for c := range channels {
		bn.Mean[c] = float32(sum[c] / n)
		bn.Variance[c] = float32(squares[c]/n - sum[c]/n*sum[c]/n)
	}
	return bn
}

// dataFree is DataFree that folds.
func dataFree(t *testing.T, g *models.Graph) (*RangeTable, error) {
	t.Helper()
	folded, err := Fold(g)
	require.NoError(t, err)
	return DataFree(g, folded)
}

func TestDataFreeTableIsNearTheMeasuredOne(t *testing.T) {
	g, pictures := trained(t, rand.New(rand.NewPCG(1, 1)))
	got, err := dataFree(t, g)
	require.NoError(t, err)
	folded, err := Fold(g)
	require.NoError(t, err)
	want := observeNoise(t, folded, pictures, 2)
	require.Len(t, got.Ranges, len(want.Ranges))
	for name, r := range want.Ranges {
		require.InDelta(t, 0, math.Log2(got.Ranges[name].Max/r.Max), 1.5, name)
		require.Equal(t, r.Min < 0, got.Ranges[name].Min < 0, name)
	}
	require.Len(t, got.Means, len(want.Means))
	for name, means := range want.Means {
		require.InDeltaSlice(t, []float64(means), []float64(got.Means[name]), 0.5, name)
	}
	require.Less(t, meanLogitError(t, folded, got, pictures), 4*meanLogitError(t, folded, &RangeTable{Ranges: want.Ranges}, pictures))
}

func TestDataFreeNeedsBatchNorms(t *testing.T) {
	g, _ := classifier(rand.New(rand.NewPCG(2, 1)))
	_, err := dataFree(t, g)
	require.ErrorContains(t, err, `layer "conv0": no batch norm tells`)
	require.ErrorContains(t, err, "calibrate on pictures")
}

func TestDataFreeOfDeadChannels(t *testing.T) {
	g, _ := trained(t, rand.New(rand.NewPCG(3, 1)))
	for _, n := range g.Nodes {
		if bn, ok := n.Op.(*models.BatchNorm); ok {
			clear(bn.Gamma)
			clear(bn.Beta)
		}
	}
	table, err := dataFree(t, g)
	require.NoError(t, err)
	for name, r := range table.Ranges {
		require.NoError(t, r.check(), name)
	}
}

func TestCurveIsStandardized(t *testing.T) {
	g := newCurve()
	var total float64
	var moments [5]float64
	for i, x := range g.points {
		w := float64(g.weights[i])
		total += w
		for k := range moments {
			moments[k] += w * math.Pow(x, float64(k))
		}
	}
	require.InDelta(t, 0, moments[1]/total, 1e-12)
	require.InDelta(t, 1, moments[2]/total, 1e-12)
	require.InDelta(t, 4.5, moments[4]/total, 0.02)
}

func TestBlendCountsThePriorAsOnePicture(t *testing.T) {
	table := &RangeTable{Images: 3, Method: ClipMSE,
		Ranges: map[string]Range{"a": {Min: -1, Max: 16}, "b": {Max: 2}, "own": {Max: 5}},
		Means:  map[string]Means{"a": {4, 8}, "own": {1}}}
	prior := &RangeTable{
		Ranges: map[string]Range{"a": {Min: -16, Max: 1}, "b": {Min: -3, Max: 2}},
		Means:  map[string]Means{"a": {8, 0}, "own": {1, 2}}}
	got := table.Blend(prior)
	require.Equal(t, map[string]Range{"a": {Min: -2, Max: 8}, "b": {Min: -3, Max: 2}, "own": {Max: 5}}, got.Ranges)
	require.Equal(t, map[string]Means{"a": {5, 6}, "own": {1}}, got.Means)
	require.Equal(t, 16.0, table.Ranges["a"].Max, "the table itself stays")
	require.Equal(t, ClipMSE, got.Method)
}

// A picture that shows a network half of what others hold: the prior helps.
func TestBlendMendsATableOfOnePicture(t *testing.T) {
	g, pictures := trained(t, rand.New(rand.NewPCG(4, 1)))
	free, err := dataFree(t, g)
	require.NoError(t, err)
	folded, err := Fold(g)
	require.NoError(t, err)
	one := observeNoise(t, folded, noise{n: 1, values: pictures.values}, 1)
	for name, r := range one.Ranges {
		one.Ranges[name] = r.times(0.5, 0.5)
	}
	require.Less(t, meanLogitError(t, folded, one.Blend(free), pictures), meanLogitError(t, folded, one, pictures)/2)
}
