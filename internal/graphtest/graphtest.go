// Package graphtest makes float networks and images for tests.
package graphtest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Chain is a network of operations one after another, with the names of their
// kinds and their numbers.
func Chain(t testing.TB, input tensor.Shape, ops ...models.Op) *models.Graph {
	t.Helper()
	b, last := models.NewBuilder("image", input), "image"
	for i, op := range ops {
		name := fmt.Sprintf("%s%d", op.Kind(), i)
		_, _ = b.Add(name, op, last) // an error is Graph's, too
		last = name
	}
	return Graph(t, b, "chain")
}

// Graph ends the building of a network without preprocessing and classes.
func Graph(t testing.TB, b *models.Builder, name string) *models.Graph {
	t.Helper()
	g, err := b.Graph(name, preprocess.Spec{}, nil)
	require.NoError(t, err)
	return g
}

// ForImages gives a network preprocessing, to images of its size, and the classes
// of its logits.
func ForImages(g *models.Graph, p preprocess.Spec) *models.Graph {
	g.Preprocess = p
	g.Preprocess.Crop = preprocess.Square(g.Input().H)
	g.Classes = make([]labels.Class, g.Shape(g.Output()).C)
	return g
}

// Replace is g with another operation in place of the named node's.
func Replace(t testing.TB, g *models.Graph, name string, op models.Op) *models.Graph {
	t.Helper()
	replaced, err := g.Rewrite(func(b *models.Builder, n models.Node, inputs []string) error {
		if n.Name == name {
			n.Op = op
		}
		_, err := b.Add(n.Name, n.Op, inputs...)
		return err
	})
	require.NoError(t, err)
	return replaced
}

// ID is the tensor of that name.
func ID(t testing.TB, g *models.Graph, name string) tensor.ID {
	t.Helper()
	id, err := g.Topology().ID(name)
	require.NoError(t, err)
	return id
}

// Node is the node of that name.
func Node(t testing.TB, g *models.Graph, name string) models.Node {
	t.Helper()
	return g.Nodes[ID(t, g, name).Node()]
}

// Names are those of the nodes.
func Names(g *models.Graph) (names []string) {
	for _, n := range g.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// Conv scales its weights to keep the variance of activations.
func Conv(rng *rand.Rand, w tensor.Window, groups, inC, outC int) *models.Conv {
	c := &models.Conv{Window: w, Groups: groups, InC: inC, OutC: outC, Bias: Normal(rng, outC)}
	fanIn := w.KH * w.KW * inC / groups
	c.Weight = Normal(rng, outC*fanIn)
	for i := range c.Weight {
		c.Weight[i] /= float32(math.Sqrt(float64(fanIn)))
	}
	return c
}

// Dense is a classifier.
func Dense(rng *rand.Rand, in, out int) *models.Dense {
	return &models.Dense{In: in, Out: out, Weight: Normal(rng, in*out), Bias: Normal(rng, out)}
}

// BatchNorm has variances of at least a half.
func BatchNorm(rng *rand.Rand, channels int) *models.BatchNorm {
	b := &models.BatchNorm{Gamma: Normal(rng, channels), Beta: Normal(rng, channels), Mean: Normal(rng, channels),
		Variance: Normal(rng, channels), Epsilon: 1e-3}
	for i, v := range b.Variance {
		b.Variance[i] = 0.5 + v*v
	}
	return b
}

// Normal are normally distributed values.
func Normal(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// Activations are all functions, with the parameters that networks have.
func Activations() []models.Activation {
	return []models.Activation{
		{Function: models.Sigmoid}, {Function: models.HardSigmoid, Alpha: 0.2, Beta: 0.5}, {Function: models.HardSwish},
		{Function: models.Swish, Alpha: 1}, {Function: models.LeakyReLU, Alpha: 0.1}, {Function: models.ELU, Alpha: 1},
		{Function: models.GELU}, {Function: models.GELUTanh}, {Function: models.Tanh}, {Function: models.Softplus}, {Function: models.Mish},
	}
}

// Residual is a small classifier with branches and batch norms, in which tensors
// outlive their next node and one is added to itself.
func Residual(t testing.TB, rng *rand.Rand) *models.Graph {
	t.Helper()
	b := models.NewBuilder("image", tensor.Shape{H: 16, W: 15, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("stem", Conv(rng, tensor.Square(3, 2, 1), 1, 3, 16), "image")
	add("stem_bn", BatchNorm(rng, 16), "stem")
	add("stem_relu", models.ReLU{}, "stem_bn")
	add("a", Conv(rng, tensor.Square(1, 1, 0), 1, 16, 8), "stem_relu")
	add("side", Conv(rng, tensor.Square(1, 1, 0), 1, 16, 24), "stem_relu")
	add("a_bn", BatchNorm(rng, 8), "a")
	add("b", Conv(rng, tensor.Square(3, 1, 1), 2, 8, 24), "a_bn")
	add("b_bn", BatchNorm(rng, 24), "b")
	add("side_bn", BatchNorm(rng, 24), "side")
	add("sum", models.Add{}, "b_bn", "side_bn")
	add("unused", models.ReLU{}, "stem_relu")
	add("sum_relu", models.ReLU{}, "sum")
	add("c", Conv(rng, tensor.Square(3, 1, 1), 24, 24, 24), "sum_relu")
	add("c_bn", BatchNorm(rng, 24), "c")
	add("late", models.Add{}, "sum_relu", "c_bn")
	add("twice", models.Add{}, "late", "late")
	add("pool", models.GlobalAveragePool{}, "twice")
	add("fc", Dense(rng, 24, 10), "pool")
	add("probabilities", models.Softmax{}, "fc")
	return Graph(t, b, "residual")
}

// Random is a network of some random nodes of every kind but softmax, which ends in an
// average and a dense layer. Any of their outputs may be read again.
func Random(t testing.TB, rng *rand.Rand) *models.Graph {
	t.Helper()
	image := tensor.Shape{H: 4 + rng.IntN(9), W: 4 + rng.IntN(9), C: 3}
	b := models.NewBuilder("image", image)
	names, shapes := []string{"image"}, []tensor.Shape{image}
	for i := range 4 + rng.IntN(16) {
		at := len(names) - 1 - min(rng.IntN(4), rng.IntN(4), len(names)-1)
		op, inputs := node(rng, shapes[at]), []string{names[at]}
		if op == nil {
			op, inputs = join(rng, names, shapes, at)
		}
		name := fmt.Sprintf("%s%d", op.Kind(), i)
		if _, err := op.Infer([]tensor.Shape{shapes[at]}); err != nil && len(inputs) == 1 {
			continue // the plane is too small
		}
		shape, err := b.Add(name, op, inputs...)
		require.NoError(t, err)
		names, shapes = append(names, name), append(shapes, shape)
	}
	average, _ := b.Add("average", models.GlobalAveragePool{}, names[len(names)-1])
	_, _ = b.Add("classes", Dense(rng, average.C, 5), "average")
	return Graph(t, b, "random")
}

// node is a random operation on one tensor; nil stands for one on several.
func node(rng *rand.Rand, in tensor.Shape) models.Op {
	w := tensor.Window{KH: 1 + rng.IntN(3), KW: 1 + rng.IntN(3), StrideH: 1 + rng.IntN(2), StrideW: 1 + rng.IntN(2), DilationH: rng.IntN(3), DilationW: rng.IntN(3)}
	undilated := w
	undilated.DilationH, undilated.DilationW = 0, 0
	reach, across := w.Reach()
	w.Top, w.Left, w.Bottom, w.Right = rng.IntN(reach), rng.IntN(across), rng.IntN(reach), rng.IntN(across)
	switch rng.IntN(16) {
	case 0, 1:
		return Conv(rng, w, 1, in.C, 1+rng.IntN(12))
	case 2:
		return Conv(rng, w, in.C, in.C, in.C*(1+rng.IntN(2)))
	case 3, 4:
		return BatchNorm(rng, in.C)
	case 5:
		return models.ReLU{}
	case 6:
		return models.Clip{Min: float32(rng.IntN(3) - 1), Max: float32(2 + rng.IntN(5))}
	case 7:
		return Activations()[rng.IntN(len(Activations()))]
	case 8:
		return &models.MaxPool{Window: undilated}
	case 9:
		return &models.AveragePool{Window: undilated, CountPad: rng.IntN(2) == 0}
	case 10, 11:
		return models.Pad{Top: rng.IntN(3), Left: rng.IntN(3), Bottom: rng.IntN(3), Right: rng.IntN(3)}
	case 12:
		return Dense(rng, in.Elements(), 1+rng.IntN(6))
	}
	return nil
}

// join is a random operation on a tensor and another that fits it, or itself.
func join(rng *rand.Rand, names []string, shapes []tensor.Shape, at int) (models.Op, []string) {
	inputs := []string{names[at], names[at]}
	for i, s := range shapes {
		if s == shapes[at] && rng.IntN(2) == 0 {
			inputs[rng.IntN(2)] = names[i]
		}
	}
	switch rng.IntN(3) {
	case 0:
		return models.Mul{}, inputs
	case 1:
		if shapes[at].C < 40 {
			return models.Concat{}, append(inputs, names[at])
		}
	}
	return models.Add{}, inputs
}

// Classifier is a small network that has an integer form, with images of which two
// cannot be loaded.
func Classifier(t testing.TB, rng *rand.Rand) (*models.Graph, Images) {
	t.Helper()
	g := Chain(t, tensor.Shape{H: 12, W: 12, C: 3},
		Conv(rng, tensor.Square(3, 1, 1), 1, 3, 24), models.ReLU{},
		Conv(rng, tensor.Square(3, 2, 1), 2, 24, 32), models.ReLU{},
		&models.MaxPool{Window: tensor.Square(2, 2, 0)},
		Conv(rng, tensor.Square(1, 1, 0), 1, 32, 24), models.ReLU{},
		models.GlobalAveragePool{}, Dense(rng, 24, 10))
	return ForImages(g, preprocess.Torchvision()), Images{N: 40, Values: 12 * 12 * 3, Missing: map[int]bool{3: true, 17: true}}
}

// ResidualClassifier has every layer that has an integer form: shortcuts with and
// without a convolution, groups, both kinds of pools.
func ResidualClassifier(t testing.TB, rng *rand.Rand) (*models.Graph, Images) {
	t.Helper()
	b := models.NewBuilder("picture", tensor.Shape{H: 17, W: 17, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("stem", Conv(rng, tensor.Square(3, 1, 1), 1, 3, 20), "picture")
	add("stem+", models.ReLU{}, "stem")
	add("max", &models.MaxPool{Window: tensor.Square(3, 2, 1)}, "stem+")
	add("a1", Conv(rng, tensor.Square(1, 1, 0), 1, 20, 12), "max")
	add("a1+", models.ReLU{}, "a1")
	add("a2", Conv(rng, tensor.Square(3, 2, 1), 2, 12, 12), "a1+")
	add("a2+", models.ReLU{}, "a2")
	add("a3", Conv(rng, tensor.Square(1, 1, 0), 1, 12, 24), "a2+")
	add("aside", Conv(rng, tensor.Square(1, 2, 0), 1, 20, 24), "max")
	add("asum", models.Add{}, "a3", "aside")
	add("asum+", models.ReLU{}, "asum")
	add("b1", Conv(rng, tensor.Square(3, 1, 1), 24, 24, 24), "asum+")
	add("b1+", models.ReLU{}, "b1")
	add("b2", Conv(rng, tensor.Square(1, 1, 0), 1, 24, 24), "b1+")
	add("bsum", models.Add{}, "asum+", "b2")
	add("average", &models.AveragePool{Window: tensor.Square(2, 1, 1), CountPad: true}, "bsum")
	add("c", Conv(rng, tensor.Square(1, 1, 0), 1, 24, 30), "average")
	add("c+", models.ReLU{}, "c")
	add("pool", models.GlobalAveragePool{}, "c+")
	add("fc", Dense(rng, 30, 10), "pool")
	g := ForImages(Graph(t, b, "residual"), preprocess.Caffe())
	g.Preprocess.Std = [3]float32{60, 61, 62}
	return g, Images{N: 40, Values: g.Input().Elements()}
}

// StreamClassifier has an integer form, a residual stream and blocks.
func StreamClassifier(t testing.TB, rng *rand.Rand) (*models.Graph, Images) {
	t.Helper()
	return StreamClassifierOf(t, rng, 12)
}

// StreamClassifierOf has images of so many pixels a side.
func StreamClassifierOf(t testing.TB, rng *rand.Rand, side int) (*models.Graph, Images) {
	t.Helper()
	b := models.NewBuilder("image", tensor.Shape{H: side, W: side, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	conv := func(k, in, out int) *models.Conv { return Conv(rng, tensor.Square(k, 1, k/2), 1, in, out) }
	add("stem_conv", conv(3, 3, 16), "image")
	add("stem", models.ReLU{}, "stem_conv")
	add("pool", &models.MaxPool{Window: tensor.Square(2, 2, 0)}, "stem")
	add("side", conv(1, 16, 32), "pool")
	add("a_conv", conv(3, 16, 24), "pool")
	add("a", models.ReLU{}, "a_conv")
	add("b", conv(1, 24, 32), "a")
	add("sum", models.Add{}, "b", "side")
	add("first", models.ReLU{}, "sum")
	add("c_conv", conv(3, 32, 24), "first")
	add("c", models.ReLU{}, "c_conv")
	add("d", conv(1, 24, 32), "c")
	add("sum2", models.Add{}, "d", "first")
	add("second", models.ReLU{}, "sum2")
	add("average", models.GlobalAveragePool{}, "second")
	add("fc", Dense(rng, 32, 10), "average")
	g := ForImages(Graph(t, b, "stream classifier"), preprocess.Torchvision())
	return g, Images{N: 24, Values: g.Input().Elements()}
}

// Images are random; those with a number in Missing cannot be loaded.
type Images struct {
	N, Values int
	Missing   map[int]bool
}

// Len is the number of images.
func (p Images) Len() int { return p.N }

// Load returns image i.
func (p Images) Load(i int) ([]uint8, error) {
	if p.Missing[i] {
		return nil, errors.New("no such picture")
	}
	rng := rand.New(rand.NewPCG(uint64(i), 5))
	rgb := make([]uint8, p.Values)
	for k := range rgb {
		rgb[k] = uint8(rng.UintN(256))
	}
	return rgb, nil
}

// Weights returns the weights and biases of all operations that have some, to be
// changed.
func Weights(g *models.Graph) (weights, biases [][]float32) {
	for _, n := range g.Nodes {
		if op, ok := n.Op.(models.Linear); ok {
			p := op.Parameters()
			weights, biases = append(weights, p.Weight), append(biases, p.Bias)
		}
	}
	return weights, biases
}

// Scaled is a copy of an operation with its weights and biases multiplied.
func Scaled(op models.Linear, factor float32) models.Linear {
	p := op.Parameters()
	weight, bias := slices.Clone(p.Weight), slices.Clone(p.Bias)
	for _, values := range [][]float32{weight, bias} {
		for i := range values {
			values[i] *= factor
		}
	}
	return op.WithParameters(weight, bias)
}
