package models_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

func TestFoldKeepsTheFunction(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 10 {
		g := graphtest.Residual(t, rng)
		image := graphtest.Normal(rng, g.Input().Elements())
		folded, err := g.Fold()
		require.NoError(t, err)
		require.Equal(t, []string{"stem", "stem_relu", "a", "b", "side", "sum", "unused", "sum_relu", "c", "late",
			"twice", "pool", "fc", "probabilities"}, graphtest.Names(folded))
		unfolded := graphtest.Reference(t, g, image)
		for name, got := range graphtest.Reference(t, folded, image) {
			if bn := name + "_bn"; unfolded[bn] != nil {
				name = bn
			}
			graphtest.RequireClose(t, unfolded[name], narrow(got), 1e-4, name)
		}
	}
}

func narrow(values []float64) []float32 {
	narrow := make([]float32, len(values))
	for i, v := range values {
		narrow[i] = float32(v)
	}
	return narrow
}

func TestFoldWithoutBias(t *testing.T) {
	g := graphtest.Chain(t, tensor.Shape{H: 1, W: 1, C: 1},
		&models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 1, OutC: 2, Weight: []float32{1, -3}},
		&models.BatchNorm{Gamma: []float32{2, 4}, Beta: []float32{1, 0}, Mean: []float32{0.5, -1}, Variance: []float32{3, 0}, Epsilon: 1})
	folded, err := g.Fold()
	require.NoError(t, err)
	require.Len(t, folded.Nodes, 1)
	conv := folded.Nodes[0].Op.(*models.Conv)
	require.Equal(t, []float32{1, -12}, conv.Weight)
	require.Equal(t, []float32{0.5, 4}, conv.Bias)
}

func TestFoldDoesNotModifyItsInput(t *testing.T) {
	g, same := graphtest.Residual(t, rand.New(rand.NewPCG(8, 8))), graphtest.Residual(t, rand.New(rand.NewPCG(8, 8)))
	_, err := g.Fold()
	require.NoError(t, err)
	require.Equal(t, same, g)
}

func TestFoldLeavesOtherBatchNorms(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	shape := tensor.Shape{H: 4, W: 4, C: 3}
	conv := func() *models.Conv { return graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 3, 3) }

	first := graphtest.Chain(t, shape, graphtest.BatchNorm(rng, 3), conv())
	pooled := graphtest.Chain(t, shape, conv(), models.ReLU{}, graphtest.BatchNorm(rng, 3))
	b := models.NewBuilder("image", shape)
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("conv", conv(), "image")
	add("batchnorm", graphtest.BatchNorm(rng, 3), "conv")
	add("sum", models.Add{}, "batchnorm", "conv")
	shared := graphtest.Graph(t, b, "shared")
	for _, g := range []*models.Graph{first, pooled, shared} {
		folded, err := g.Fold()
		require.NoError(t, err)
		require.Equal(t, g, folded)
	}
}

func TestFoldKeepsTheOutputLast(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	b := models.NewBuilder("image", tensor.Shape{H: 4, W: 4, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("conv0", graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 3, 3), "image")
	add("unused", models.ReLU{}, "image")
	add("out", graphtest.BatchNorm(rng, 3), "conv0")
	folded, err := graphtest.Graph(t, b, "unused").Fold()
	require.NoError(t, err)
	require.Equal(t, []string{"unused", "conv0"}, graphtest.Names(folded))
}

func TestFoldErrorsNameTheNode(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for want, damage := range map[string]func(*models.Conv, *models.BatchNorm){
		"channel 2: variance -0.5": func(_ *models.Conv, b *models.BatchNorm) { b.Variance[2] = -0.5 },
		"channel 0: variance 0":    func(_ *models.Conv, b *models.BatchNorm) { b.Variance[0], b.Epsilon = 0, 0 },
		"channel 1: variance NaN":  func(_ *models.Conv, b *models.BatchNorm) { b.Variance[1] = nan },
		"channel 1: gamma NaN":     func(_ *models.Conv, b *models.BatchNorm) { b.Gamma[1] = nan },
		"mean +Inf must be finite": func(_ *models.Conv, b *models.BatchNorm) { b.Mean[1] = inf },
		"not finite after folding": func(c *models.Conv, _ *models.BatchNorm) { c.Weight[3] = nan },
	} {
		conv, bn := graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 3, 3), graphtest.BatchNorm(rng, 3)
		damage(conv, bn)
		b := models.NewBuilder("image", tensor.Shape{H: 4, W: 4, C: 3})
		_, _ = b.Add("conv0", conv, "image")
		_, _ = b.Add("batchnorm1", bn, "conv0")
		g, err := b.Graph("damaged", preprocess.Spec{}, nil)
		if err == nil {
			_, err = g.Fold()
		}
		require.ErrorContains(t, err, want)
		require.Regexp(t, `node "(batchnorm1|conv0)"`, err.Error())
	}
}
