package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func names(g *models.Graph) []string {
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Name)
	}
	return names
}

func TestFoldKeepsTheFunction(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for range 10 {
		g := residual(rng)
		image := normal(rng, g.Input.Elements())
		folded, err := Fold(g)
		require.NoError(t, err)
		require.Equal(t, []string{"stem", "stem_relu", "a", "b", "side", "sum", "unused", "sum_relu", "c", "late",
			"twice", "pool", "fc", "probabilities"}, names(folded))
		unfolded := reference(t, g, image)
		for name, got := range reference(t, folded, image) {
			if bn := name + "_bn"; unfolded[bn] != nil {
				name = bn
			}
			requireClose(t, unfolded[name], narrow(got), 1e-4, name)
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
	g := chain(tensor.Shape{H: 1, W: 1, C: 1},
		&models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 1, OutC: 2, Weight: []float32{1, -3}},
		&models.BatchNorm{Gamma: []float32{2, 4}, Beta: []float32{1, 0}, Mean: []float32{0.5, -1}, Variance: []float32{3, 0}, Epsilon: 1})
	folded, err := Fold(g)
	require.NoError(t, err)
	require.Len(t, folded.Nodes, 1)
	conv := folded.Nodes[0].Op.(*models.Conv)
	require.Equal(t, []float32{1, -12}, conv.Weight)
	require.Equal(t, []float32{0.5, 4}, conv.Bias)
}

func TestFoldDoesNotModifyItsInput(t *testing.T) {
	g, same := residual(rand.New(rand.NewPCG(8, 8))), residual(rand.New(rand.NewPCG(8, 8)))
	_, err := Fold(g)
	require.NoError(t, err)
	require.Equal(t, same, g)
}

func TestFoldLeavesOtherBatchNorms(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	shape := tensor.Shape{H: 4, W: 4, C: 3}
	conv := func() *models.Conv { return conv2d(rng, tensor.Square(3, 1, 1), 1, 3, 3) }

	first := chain(shape, batchNormOf(rng, 3), conv())
	pooled := chain(shape, conv(), models.ReLU{}, batchNormOf(rng, 3))
	shared := chain(shape, conv(), batchNormOf(rng, 3))
	shared.Nodes = append(shared.Nodes, models.Node{Name: "sum", Inputs: []string{"batchnorm1", "conv0"}, Op: models.Add{}})
	for _, g := range []*models.Graph{first, pooled, shared} {
		folded, err := Fold(g)
		require.NoError(t, err)
		require.Equal(t, g, folded)
	}
}

func TestFoldKeepsTheOutputLast(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	g := chain(tensor.Shape{H: 4, W: 4, C: 3}, conv2d(rng, tensor.Square(3, 1, 1), 1, 3, 3))
	g.Nodes = append(g.Nodes,
		models.Node{Name: "unused", Inputs: []string{"image"}, Op: models.ReLU{}},
		models.Node{Name: "out", Inputs: []string{"conv0"}, Op: batchNormOf(rng, 3)})
	folded, err := Fold(g)
	require.NoError(t, err)
	require.Equal(t, []string{"unused", "conv0"}, names(folded))
}

func TestFoldErrorsNameTheNode(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for want, damage := range map[string]func(*models.Conv, *models.BatchNorm){
		"channel 2: variance -0.5":   func(_ *models.Conv, b *models.BatchNorm) { b.Variance[2] = -0.5 },
		"channel 0: variance 0":      func(_ *models.Conv, b *models.BatchNorm) { b.Variance[0], b.Epsilon = 0, 0 },
		"channel 1: variance NaN":    func(_ *models.Conv, b *models.BatchNorm) { b.Variance[1] = nan },
		"channel 1: gamma NaN":       func(_ *models.Conv, b *models.BatchNorm) { b.Gamma[1] = nan },
		"mean +Inf must be finite":   func(_ *models.Conv, b *models.BatchNorm) { b.Mean[1] = inf },
		"not finite after folding":   func(c *models.Conv, _ *models.BatchNorm) { c.Weight[3] = nan },
		"beta has 1 values, want 3":  func(_ *models.Conv, b *models.BatchNorm) { b.Beta = b.Beta[:1] },
		"weight has 2 values, want ": func(c *models.Conv, _ *models.BatchNorm) { c.Weight = c.Weight[:2] },
	} {
		conv, bn := conv2d(rng, tensor.Square(3, 1, 1), 1, 3, 3), batchNormOf(rng, 3)
		damage(conv, bn)
		_, err := Fold(chain(tensor.Shape{H: 4, W: 4, C: 3}, conv, bn))
		require.ErrorContains(t, err, want)
		require.Regexp(t, `node "(batchnorm1|conv0)"`, err.Error())
	}
}
