package models

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

func square(c int) tensor.Shape { return tensor.Shape{H: 4, W: 4, C: c} }

func pointwise(in, out int) *Conv {
	return &Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: in, OutC: out, Weight: make([]float32, in*out)}
}

func TestBuilder(t *testing.T) {
	b := NewBuilder("image", square(3))
	shape, err := b.Add("conv", pointwise(3, 5), "image")
	require.NoError(t, err)
	require.Equal(t, square(5), shape)
	_, err = b.Add("sum", Add{}, "conv", "conv")
	require.NoError(t, err)
	g, err := b.Graph("net", preprocess.Caffe(), nil)
	require.NoError(t, err)
	require.Equal(t, []tensor.ID{1, 1}, g.Nodes[1].Inputs)
	require.Equal(t, square(3), g.Input())
	require.Equal(t, square(5), g.Shape(g.Output()))
	require.Equal(t, "image", g.InputName())
}

func TestBuilderKeepsTheFirstError(t *testing.T) {
	for want, build := range map[string]func(*Builder){
		`net: node "a" (relu): input "nowhere" does not exist before it`:   func(b *Builder) { b.Add("a", ReLU{}, "nowhere") },
		`net: node "image" (relu): the name is used twice`:                 func(b *Builder) { b.Add("image", ReLU{}, "image") },
		`net: node "a" (add): has 1 inputs, want 2`:                        func(b *Builder) { b.Add("a", Add{}, "image") },
		`net: node "a" (conv): input has 3 channels, the weights expect 4`: func(b *Builder) { b.Add("a", pointwise(4, 4), "image") },
		`net: node "b" (add): cannot add 4x4x3 and 4x4x5: shapes differ`:   func(b *Builder) { b.Add("a", pointwise(3, 5), "image"); b.Add("b", Add{}, "image", "a") },
		`net: the graph has no nodes`:                                      func(*Builder) {},
	} {
		b := NewBuilder("image", square(3))
		build(b)
		if want != "net: the graph has no nodes" {
			b.Add("later", ReLU{}, "image")
		}
		_, err := b.Graph("net", preprocess.Caffe(), nil)
		require.EqualError(t, err, want)
	}
	_, err := NewBuilder("image", tensor.Shape{H: 4, C: 3}).Graph("net", preprocess.Caffe(), nil)
	require.EqualError(t, err, "net: input 4x0x3 has an empty dimension")
}

// residual is a block whose both sides could be the add's host.
func residual(t *testing.T) *Graph {
	b := NewBuilder("image", square(3))
	b.Add("stem", pointwise(3, 4), "image")
	b.Add("stem/relu", ReLU{}, "stem")
	b.Add("side", pointwise(4, 6), "stem/relu")
	b.Add("a", pointwise(4, 4), "stem/relu")
	b.Add("b", pointwise(4, 6), "a")
	b.Add("sum", Add{}, "side", "b")
	b.Add("relu", ReLU{}, "sum")
	b.Add("pool", GlobalAveragePool{}, "relu")
	b.Add("probabilities", Softmax{}, "pool")
	g, err := b.Graph("residual", preprocess.Caffe(), nil)
	require.NoError(t, err)
	return g
}

func units(g *Graph, shown ...tensor.ID) (names [][]string) {
	convolutions := func(op, _ Op) bool { _, ok := op.(*Conv); return ok }
	for _, u := range g.Fuse(convolutions, shown...) {
		unit := append([]string{u.Node.Name}, g.Topology().Names(u.Inputs)...)
		if u.Added {
			unit = append(unit, "+")
		}
		if u.Clip != Unlimited() {
			unit = append(unit, fmt.Sprint(u.Clip))
		}
		names = append(names, append(unit, "->", g.Topology().Name(u.Output)))
	}
	return names
}

func TestFuse(t *testing.T) {
	g := residual(t)
	require.Equal(t, [][]string{
		{"stem", "image", "{0 +Inf}", "->", "stem/relu"},
		{"side", "stem/relu", "->", "side"},
		{"a", "stem/relu", "->", "a"},
		{"b", "a", "side", "+", "{0 +Inf}", "->", "relu"}, // the longer path
		{"pool", "relu", "->", "pool"},
		{"probabilities", "pool", "->", "probabilities"},
	}, units(g))
	sum, err := g.Topology().ID("sum")
	require.NoError(t, err)
	require.Equal(t, [][]string{
		{"b", "a", "side", "+", "->", "sum"},
		{"relu", "sum", "->", "relu"},
	}, units(g, sum)[3:5], "what is shown is not hidden in a unit")
}

// Limits are fused where a quantized tensor's range can have them: it holds zero.
func TestFuseLimits(t *testing.T) {
	for clip, want := range map[Clip]bool{
		{0, 6}: true, {-1, 1}: true, {-2, 0}: true, {0.5, 6}: false, {-3, -1}: false,
	} {
		b := NewBuilder("image", square(3))
		b.Add("conv", pointwise(3, 4), "image")
		b.Add("clip", clip, "conv")
		b.Add("side", pointwise(4, 4), "clip")
		b.Add("sum", Add{}, "clip", "side")
		b.Add("clip2", clip, "sum")
		g, err := b.Graph("clips", preprocess.Caffe(), nil)
		require.NoError(t, err)
		limits := fmt.Sprint(clip)
		if want {
			require.Equal(t, [][]string{{"conv", "image", limits, "->", "clip"}, {"side", "clip", "clip", "+", limits, "->", "clip2"}}, units(g))
		} else {
			require.Len(t, units(g), 4)
		}
	}
}

func TestOperationsRefuse(t *testing.T) {
	for want, build := range map[string]func(*Builder){
		"limits 6 and 0 are no range":    func(b *Builder) { b.Add("a", Clip{6, 0}, "image") },
		"limits NaN and 0 are no range":  func(b *Builder) { b.Add("a", Clip{float32(math.NaN()), 0}, "image") },
		`unknown function "Sin"`:         func(b *Builder) { b.Add("a", Activation{Function: "Sin"}, "image") },
		"has 1 inputs, want two or more": func(b *Builder) { b.Add("a", Concat{}, "image") },
		"cannot put 2x2x3 behind 4x4x3: planes differ": func(b *Builder) {
			b.Add("p", &MaxPool{tensor.Square(2, 2, 0)}, "image")
			b.Add("a", Concat{}, "image", "p")
		},
		"cannot multiply 4x4x3 by 2x2x3": func(b *Builder) {
			b.Add("p", &MaxPool{tensor.Square(2, 2, 0)}, "image")
			b.Add("a", Mul{}, "image", "p")
		},
		"padding {-1 0 0 0} must not be negative":           func(b *Builder) { b.Add("a", Pad{Top: -1}, "image") },
		"a tensor of 536870912x4x3 is too large":            func(b *Builder) { b.Add("a", Pad{Top: 1<<29 - 4}, "image") },
		"a tensor of -9223372036854775805x4x3 is too large": func(b *Builder) { b.Add("a", Pad{Top: math.MaxInt}, "image") },
	} {
		b := NewBuilder("image", square(3))
		build(b)
		_, err := b.Graph("net", preprocess.Caffe(), nil)
		require.ErrorContains(t, err, want)
	}
}

func TestLogitsLeavesTheSoftmaxOut(t *testing.T) {
	g := residual(t)
	cut := g.Logits()
	require.Len(t, cut.Nodes, len(g.Nodes)-1)
	require.Equal(t, "pool", cut.Topology().Name(cut.Output()))
	require.Empty(t, cut.Topology().Consumers(cut.Output()))
	require.Same(t, cut, cut.Logits())
	require.Len(t, g.Nodes, 9)
}

// Whatever an operation computes with is part of the hash.
func TestHash(t *testing.T) {
	hash := func(op Op) string {
		b := NewBuilder("image", square(4))
		b.Add("a", op, "image")
		g, err := b.Graph("net", preprocess.Caffe(), nil)
		require.NoError(t, err)
		return g.Hash()
	}
	seen := map[string]bool{}
	other := pointwise(4, 4)
	other.Weight[3] = 1
	biased := pointwise(4, 4)
	biased.Bias = make([]float32, 4)
	ops := []Op{
		pointwise(4, 4), other, biased, ReLU{}, Softmax{}, GlobalAveragePool{},
		&MaxPool{tensor.Square(2, 2, 0)}, &MaxPool{tensor.Square(2, 1, 0)},
		&AveragePool{Window: tensor.Square(2, 2, 1)}, &AveragePool{Window: tensor.Square(2, 2, 1), CountPad: true},
		&BatchNorm{make([]float32, 4), make([]float32, 4), make([]float32, 4), make([]float32, 4), 1},
		&BatchNorm{make([]float32, 4), make([]float32, 4), make([]float32, 4), make([]float32, 4), 2},
		&Dense{In: 64, Out: 1, Weight: make([]float32, 64)},
		Clip{Max: 6}, Clip{Min: -1, Max: 6}, Pad{Top: 1}, Pad{Bottom: 1}, &MaxPool{tensor.Window{KH: 2, KW: 2, StrideH: 2, StrideW: 2, DilationH: 2}},
		Activation{Function: Sigmoid}, Activation{Function: Tanh}, Activation{Function: ELU, Alpha: 1}, Activation{Function: ELU, Alpha: 2},
		Activation{Function: HardSigmoid, Alpha: 1}, Activation{Function: HardSigmoid, Alpha: 1, Beta: 1},
	}
	for _, op := range ops {
		seen[hash(op)] = true
	}
	require.Len(t, seen, len(ops))
}

// Beyond its bends a function is constant.
func TestBends(t *testing.T) {
	for _, c := range []struct {
		Activation
		min, max float32
	}{
		{Activation{Function: HardSwish}, -3, float32(math.Inf(1))}, {Activation{Function: Swish, Alpha: 1}, -6.5, float32(math.Inf(1))},
		{Activation{Function: Tanh}, -2.75, 2.75}, {Activation{Function: LeakyReLU, Alpha: 0.1}, float32(math.Inf(-1)), float32(math.Inf(1))},
	} {
		b := c.Bends()
		if math.IsInf(float64(c.min), -1) {
			require.Equal(t, c.min, b.Min)
		} else {
			require.InDelta(t, c.min, b.Min, 0.3, c.Function)
		}
		require.True(t, c.max == b.Max || math.Abs(float64(c.max-b.Max)) < 0.3, "%s: %v", c.Function, b)
	}
}
