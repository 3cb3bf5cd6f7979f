package observe

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// trained is a residual network whose batch norms hold the statistics of its
// images, as training leaves them.
func trained(t *testing.T, rng *rand.Rand) (*models.Graph, graphtest.Images) {
	t.Helper()
	shape := tensor.Shape{H: 10, W: 10, C: 3}
	images := graphtest.Images{N: 12, Values: shape.Elements()}
	var nodes []func(b *models.Builder) error
	add := func(name string, op models.Op, inputs ...string) {
		nodes = append(nodes, func(b *models.Builder) error {
			_, err := b.Add(name, op, inputs...)
			return err
		})
	}
	build := func() *models.Graph {
		b := models.NewBuilder("image", shape)
		for _, add := range nodes {
			require.NoError(t, add(b))
		}
		return graphtest.ForImages(graphtest.Graph(t, b, "trained"), preprocess.Torchvision())
	}
	convNorm := func(name, input string, k, in, out int) {
		add(name, graphtest.Conv(rng, tensor.Square(k, 1, k/2), 1, in, out), input)
		add(name+"_bn", statistics(t, rng, build(), images), name)
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
	add("fc", graphtest.Dense(rng, 48, 10), "average")
	return build(), images
}

// statistics is the batch norm of the graph's last node.
func statistics(t *testing.T, rng *rand.Rand, g *models.Graph, images graphtest.Images) *models.BatchNorm {
	t.Helper()
	channels := g.Shape(g.Output()).C
	sum, squares, n := make([]float64, channels), make([]float64, channels), 0.0
	e, err := fp32.NewExecutor(g, 1)
	require.NoError(t, err)
	for i := range images.N {
		rgb, err := images.Load(i)
		require.NoError(t, err)
		values, err := e.RunImage(rgb, nil)
		require.NoError(t, err)
		for k, v := range values {
			sum[k%channels] += float64(v)
			squares[k%channels] += float64(v) * float64(v)
		}
		n += float64(len(values) / channels)
	}
	bn := graphtest.BatchNorm(rng, channels)
	for c := range channels {
		bn.Mean[c] = float32(sum[c] / n)
		bn.Variance[c] = float32(squares[c]/n - sum[c]/n*sum[c]/n)
	}
	return bn
}

func folded(t *testing.T, g *models.Graph) *models.Graph {
	t.Helper()
	f, err := g.Fold()
	require.NoError(t, err)
	return f
}

func TestDataFreeTableIsNearTheMeasuredOne(t *testing.T) {
	g, pictures := trained(t, rand.New(rand.NewPCG(1, 1)))
	got, err := DataFree(folded(t, g))
	require.NoError(t, err)
	want := seen(t, folded(t, g), pictures, 2).Table(quantize.ClipMSE)
	require.Len(t, got.Ranges, len(want.Ranges))
	for name, r := range want.Ranges {
		require.InDelta(t, 0, math.Log2(got.Ranges[name].Max/r.Max), 1.5, name)
		require.Equal(t, r.Min < 0, got.Ranges[name].Min < 0, name)
	}
	require.Len(t, got.Means, len(want.Means))
	for name, means := range want.Means {
		require.InDeltaSlice(t, []float64(means), []float64(got.Means[name]), 0.5, name)
	}
	require.Less(t, meanLogitError(t, folded(t, g), got, pictures), 4*meanLogitError(t, folded(t, g), &quantize.RangeTable{Ranges: want.Ranges}, pictures))
}

func TestDataFreeNeedsBatchNorms(t *testing.T) {
	g, _ := graphtest.Classifier(t, rand.New(rand.NewPCG(2, 1)))
	_, err := DataFree(folded(t, g))
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
	table, err := DataFree(folded(t, g))
	require.NoError(t, err)
	for _, r := range table.Ranges {
		requireSound(t, r)
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

// A picture that shows a network half of what others hold: the prior helps.
func TestBlendMendsATableOfOnePicture(t *testing.T) {
	g, pictures := trained(t, rand.New(rand.NewPCG(4, 1)))
	free, err := DataFree(folded(t, g))
	require.NoError(t, err)
	one := seen(t, folded(t, g), graphtest.Images{N: 1, Values: pictures.Values}, 1).Table(quantize.ClipMSE)
	for name, r := range one.Ranges {
		one.Ranges[name] = r.Scaled(0.5, 0.5)
	}
	require.Less(t, meanLogitError(t, folded(t, g), one.Blend(free), pictures), meanLogitError(t, folded(t, g), one, pictures)/2)
}

// The same without pictures.
func TestUnusualBatchNorms(t *testing.T) {
	for name, edit := range map[string]func(bn *models.BatchNorm){
		"dead channel": func(bn *models.BatchNorm) { bn.Gamma[0], bn.Beta[0] = 0, 0 },
		"all dead":     func(bn *models.BatchNorm) { clear(bn.Gamma); clear(bn.Beta) },
		"never active": func(bn *models.BatchNorm) { setAll([][]float32{bn.Beta}, -1000) },
		"constant":     func(bn *models.BatchNorm) { clear(bn.Gamma); setAll([][]float32{bn.Beta}, 3) },
		"outlier":      func(bn *models.BatchNorm) { bn.Gamma[1], bn.Variance[1] = bn.Gamma[1]*64, bn.Variance[1]*4096 },
		"no variance":  func(bn *models.BatchNorm) { clear(bn.Variance) },
	} {
		g, _ := trained(t, rand.New(rand.NewPCG(2, 2)))
		for _, n := range g.Nodes {
			if bn, ok := n.Op.(*models.BatchNorm); ok {
				edit(bn)
			}
		}
		t.Run(name, func(t *testing.T) {
			table, err := DataFree(folded(t, g))
			require.NoError(t, err)
			requireSane(t, folded(t, g), table)
		})
	}
}

// Batch norms whose statistics are not those of the network.
func TestDataFreeOfUntrueBatchNorms(t *testing.T) {
	g, _ := trained(t, rand.New(rand.NewPCG(4, 2)))
	for _, n := range g.Nodes {
		if bn, ok := n.Op.(*models.BatchNorm); ok {
			setAll([][]float32{bn.Gamma}, 1e6)
		}
	}
	table, err := DataFree(folded(t, g))
	require.NoError(t, err)
	_, err = quantize.Network(folded(t, g), table)
	require.ErrorContains(t, err, `layer "a"`)
}

// requireSane quantizes by a table that was stored.
func requireSane(t *testing.T, g *models.Graph, table *quantize.RangeTable) {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	stored, err := quantize.ReadRanges(&file)
	require.NoError(t, err)
	n, err := quantize.Network(g, stored)
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

func setAll(rows [][]float32, v float32) {
	for _, row := range rows {
		for i := range row {
			row[i] = v
		}
	}
}
