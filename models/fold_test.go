package models_test

import (
	"math"
	"math/rand/v2"
	"strings"
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
		require.Equal(t, []string{"stem", "stem_relu", "a", "b", "side", "sum", "sum_relu", "c", "late",
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
	g := graphtest.Chain(t, tensor.Shape{H: 2, W: 1, C: 1},
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

// chains are operations on a 6x5x4 image that Fold turns into others.
func chains(rng *rand.Rand) map[string]struct {
	ops  []models.Op
	want string // kinds
} {
	conv := func(w tensor.Window, out int) *models.Conv { return graphtest.Conv(rng, w, 1, 4, out) }
	norm := func() *models.BatchNorm { return graphtest.BatchNorm(rng, 4) }
	average, pixel, head := models.GlobalAveragePool{}, tensor.Square(1, 1, 0), graphtest.Dense(rng, 4, 3)
	shift := models.Pad{Top: 1, Left: 2, Bottom: 2, Right: 1}
	dilated := tensor.Square(3, 1, 0)
	dilated.DilationH, dilated.DilationW = 2, 2
	relu, relu6 := models.ReLU{}, models.Clip{Max: 6}
	return map[string]struct {
		ops  []models.Op
		want string
	}{
		"norm of the image":              {[]models.Op{norm(), relu, average, head}, "conv relu globalavgpool dense"},
		"norms one after another":        {[]models.Op{relu, norm(), norm(), norm(), relu, average, head}, "relu conv relu globalavgpool dense"},
		"norm between":                   {[]models.Op{relu, norm(), relu, average, head}, "relu conv relu globalavgpool dense"},
		"norm behind pad":                {[]models.Op{conv(pixel, 4), shift, norm(), relu, average, head}, "conv conv conv relu globalavgpool dense"},
		"norms behind conv":              {[]models.Op{conv(pixel, 4), norm(), norm(), relu, average, head}, "conv relu globalavgpool dense"},
		"norm behind depthwise":          {[]models.Op{graphtest.Conv(rng, pixel, 4, 4, 4), norm(), relu, average, head}, "conv relu globalavgpool dense"},
		"norm before dense":              {[]models.Op{relu, average, norm(), head}, "relu globalavgpool dense"},
		"norm behind dense":              {[]models.Op{average, graphtest.Dense(rng, 4, 4), norm(), relu, head}, "globalavgpool dense relu dense"},
		"norm before conv":               {[]models.Op{relu, norm(), conv(tensor.Square(3, 1, 0), 4), average, head}, "relu conv globalavgpool dense"},
		"norm before padded conv":        {[]models.Op{relu, norm(), conv(tensor.Square(3, 1, 1), 4), average, head}, "relu conv conv globalavgpool dense"},
		"pad before conv":                {[]models.Op{shift, conv(tensor.Square(3, 2, 0), 4), average, head}, "conv globalavgpool dense"},
		"pads before padded conv":        {[]models.Op{models.Pad{Top: 1}, models.Pad{Left: 1}, conv(tensor.Square(3, 2, 1), 4), average, head}, "conv globalavgpool dense"},
		"pad, conv, norm":                {[]models.Op{shift, conv(tensor.Square(3, 2, 0), 4), norm(), average, head}, "conv globalavgpool dense"},
		"pad before dilated conv":        {[]models.Op{models.Pad{Top: 4, Left: 4, Bottom: 3}, conv(dilated, 4), average, head}, "conv globalavgpool dense"},
		"pad wider than the kernel":      {[]models.Op{models.Pad{Top: 3}, conv(tensor.Square(3, 2, 0), 4), average, head}, "conv conv globalavgpool dense"},
		"pad before average":             {[]models.Op{shift, &models.AveragePool{Window: tensor.Square(3, 2, 0)}, average, head}, "avgpool globalavgpool dense"},
		"pad before counted average":     {[]models.Op{models.Pad{Top: 1}, &models.AveragePool{Window: tensor.Square(3, 2, 1), CountPad: true}, average, head}, "avgpool globalavgpool dense"},
		"pad before average of its own":  {[]models.Op{models.Pad{Top: 1}, &models.AveragePool{Window: tensor.Square(3, 2, 1)}, average, head}, "conv avgpool globalavgpool dense"},
		"pad before maximum":             {[]models.Op{shift, &models.MaxPool{Window: tensor.Square(3, 2, 0)}, average, head}, "conv maxpool globalavgpool dense"},
		"pad before maximum of positive": {[]models.Op{relu6, shift, &models.MaxPool{Window: tensor.Square(3, 2, 0)}, average, head}, "clip maxpool globalavgpool dense"},
		"pad before dilated maximum":     {[]models.Op{relu, models.Pad{Top: 4}, &models.MaxPool{Window: dilated}, average, head}, "relu conv maxpool globalavgpool dense"},
		"clips":                          {[]models.Op{relu, relu6, models.Clip{Min: -1, Max: 3}, average, head}, "clip globalavgpool dense"},
		"ReLU as clip":                   {[]models.Op{models.Clip{Max: float32(math.Inf(1))}, average, head}, "relu globalavgpool dense"},
		"clips apart":                    {[]models.Op{models.Clip{Min: -2, Max: -1}, models.Clip{Min: -1, Max: 3}, average, head}, "clip clip globalavgpool dense"},
		"identities": {[]models.Op{models.Pad{}, relu, &models.MaxPool{Window: pixel}, relu, &models.AveragePool{Window: pixel}, models.Unlimited(), average, average, head},
			"relu globalavgpool dense"},
		"whole average":         {[]models.Op{&models.AveragePool{Window: tensor.Window{KH: 6, KW: 5, StrideH: 2, StrideW: 1}}, head}, "globalavgpool dense"},
		"head by conv":          {[]models.Op{average, conv(pixel, 3), models.Softmax{}}, "globalavgpool dense softmax"},
		"head by padded conv":   {[]models.Op{average, conv(tensor.Square(3, 1, 1), 3)}, "globalavgpool dense"},
		"head by conv of whole": {[]models.Op{conv(tensor.Window{KH: 6, KW: 5, StrideH: 1, StrideW: 1}, 3), models.Softmax{}}, "dense softmax"},
		"head by dilated conv":  {[]models.Op{conv(tensor.Window{KH: 3, KW: 3, StrideH: 2, StrideW: 1, DilationH: 2, DilationW: 2}, 3)}, "dense"},
		"head behind average":   {[]models.Op{relu, conv(pixel, 3), average, models.Softmax{}}, "relu globalavgpool dense softmax"},
		"head without dense":    {[]models.Op{conv(pixel, 3), relu, average, models.Activation{Function: models.Sigmoid}}, "conv relu globalavgpool dense activation"},
	}
}

func TestFoldOfChains(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for name, c := range chains(rng) {
		t.Run(name, func(t *testing.T) {
			g := graphtest.Chain(t, tensor.Shape{H: 6, W: 5, C: 4}, c.ops...)
			folded := requireFolds(t, rand.New(rand.NewPCG(1, 9)), g) // maps have no order
			require.Equal(t, c.want, kinds(folded))
			again, err := folded.Fold()
			require.NoError(t, err)
			require.Equal(t, graphtest.Names(folded), graphtest.Names(again))
		})
	}
}

func kinds(g *models.Graph) string {
	var kinds []string
	for _, n := range g.Nodes {
		kinds = append(kinds, n.Op.Kind())
	}
	return strings.Join(kinds, " ")
}

// requireFolds folds g and compares both networks' outputs.
func requireFolds(t *testing.T, rng *rand.Rand, g *models.Graph) *models.Graph {
	t.Helper()
	folded, err := g.Fold()
	require.NoError(t, err)
	require.Equal(t, g.Activation, folded.Activation)
	image := graphtest.Normal(rng, g.Input().Elements())
	last := func(g *models.Graph) []float64 { return graphtest.Reference(t, g, image)[g.Nodes[len(g.Nodes)-1].Name] }
	graphtest.RequireClose(t, last(g), narrow(last(folded)), 1e-4, "output")
	return folded
}

func TestFoldOfRandomNetworks(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 20))
		folded := requireFolds(t, rng, graphtest.Random(t, rng))
		require.NotRegexp(t, "batchnorm|pad", kinds(folded))
	}
}

// What several nodes read stays.
func TestFoldLeavesWhatIsShared(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	b := models.NewBuilder("image", tensor.Shape{H: 4, W: 4, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("conv", graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 3, 3), "image")
	add("norm", graphtest.BatchNorm(rng, 3), "conv")
	add("sum", models.Add{}, "norm", "conv")
	add("gate", models.Activation{Function: models.Sigmoid}, "sum")
	add("gated", models.Mul{}, "gate", "sum")
	add("other", models.Activation{Function: models.Sigmoid}, "gated")
	add("swish", models.Mul{}, "gated", "other")
	add("scaled", models.Mul{}, "swish", "gate")
	add("pad", models.Pad{Top: 1}, "scaled")
	add("a", graphtest.Conv(rng, tensor.Square(2, 1, 0), 1, 3, 4), "pad")
	add("b", graphtest.Conv(rng, tensor.Square(2, 1, 0), 1, 3, 4), "pad")
	add("both", models.Concat{}, "a", "b")
	add("whole", graphtest.Conv(rng, tensor.Window{KH: 4, KW: 3, StrideH: 1, StrideW: 1}, 1, 8, 2), "both")
	add("relu", models.ReLU{}, "whole")
	folded := requireFolds(t, rng, graphtest.Graph(t, b, "shared"))
	require.Equal(t, "conv conv add activation mul activation mul conv conv concat conv relu dense", kinds(folded))
}

// A batch norm of the image becomes the preprocessing's where its factors are positive.
func TestFoldIntoPreprocessing(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 13))
	for _, positive := range []bool{true, false} {
		bn := graphtest.BatchNorm(rng, 3)
		for c, v := range bn.Gamma {
			bn.Gamma[c] = float32(math.Abs(float64(v)))
		}
		if !positive {
			bn.Gamma[1] *= -1
		}
		g := graphtest.ForImages(graphtest.Chain(t, tensor.Shape{H: 5, W: 5, C: 3}, bn,
			graphtest.Conv(rng, tensor.Square(3, 2, 1), 1, 3, 4), models.GlobalAveragePool{}, graphtest.Dense(rng, 4, 3)), preprocess.Caffe())
		folded, err := g.Fold()
		require.NoError(t, err)
		require.Equal(t, positive, len(folded.Nodes) == 3)
		pixels := make([]uint8, g.Input().Elements())
		for i := range pixels {
			pixels[i] = uint8(rng.UintN(256))
		}
		logits := func(g *models.Graph) []float64 {
			image := make([]float32, len(pixels))
			require.NoError(t, g.Preprocess.Float(image, pixels))
			return graphtest.Reference(t, g, image)["dense3"]
		}
		graphtest.RequireClose(t, logits(g), narrow(logits(folded)), 1e-5, "logits")
	}
}

// The norm of a convolution tells how its output was distributed, whatever was folded
// around it.
func TestNormsOfFoldedConvolutions(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	measured := graphtest.BatchNorm(rng, 4)
	affine := &models.BatchNorm{Gamma: []float32{1, 2, 3, -4}, Beta: []float32{0, 1, 2, 3}, Mean: make([]float32, 4), Variance: []float32{1, 1, 1, 1}}
	conv := graphtest.Conv(rng, tensor.Square(3, 1, 0), 1, 4, 4)
	for name, c := range map[string]struct {
		behind []models.Op
		want   *models.BatchNorm
	}{
		"norm":            {[]models.Op{measured}, measured},
		"affine":          {[]models.Op{affine}, nil},
		"affine, norm":    {[]models.Op{affine, measured}, measured},
		"norm and affine": {[]models.Op{measured, affine}, &models.BatchNorm{Gamma: make([]float32, 4), Beta: make([]float32, 4), Mean: measured.Mean, Variance: measured.Variance, Epsilon: measured.Epsilon}},
	} {
		if name == "norm and affine" {
			for i := range c.want.Gamma {
				c.want.Gamma[i] = measured.Gamma[i] * affine.Gamma[i]
				c.want.Beta[i] = float32(float64(measured.Beta[i])*float64(affine.Gamma[i]) + float64(affine.Beta[i]))
			}
		}
		ops := append([]models.Op{models.Pad{Top: 1}, conv}, c.behind...)
		g := graphtest.Chain(t, tensor.Shape{H: 6, W: 5, C: 4}, append(ops, models.ReLU{}, models.GlobalAveragePool{}, graphtest.Dense(rng, 4, 2))...)
		folded, err := g.Fold()
		require.NoError(t, err)
		require.Equal(t, c.want, folded.Norm("conv1"), name)
		require.Nil(t, folded.Norm("relu"))
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
