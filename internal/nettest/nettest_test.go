package nettest_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/tensor"
)

func TestRandomNetworksAreValid(t *testing.T) {
	for seed := range uint64(3000) {
		require.NotPanics(t, func() { nettest.Random(seed); nettest.Operations(seed); nettest.Taught(seed) }, "seed %d", seed)
	}
}

func TestRandomIsDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		require.Equal(t, nettest.Random(seed), nettest.Random(seed))
		require.NotEqual(t, nettest.Random(seed).Layers, nettest.Random(seed+1).Layers)
	}
}

// TestVariety counts what the first networks contain, so that a change cannot
// silently lose a corner.
func TestVariety(t *testing.T) {
	const networks = 300
	seen := map[string]int{}
	for seed := range uint64(networks) {
		n := nettest.Random(seed)
		for feature := range features(n) {
			seen[feature]++
		}
	}
	for _, want := range []string{
		"maxpool", "avgpool", "avgpool with padding in the count", "globalsum", "dense",
		"1x1", "3x3", "7x7", "5x3", "stride 2", "stride 3", "uneven stride", "asymmetric padding",
		"depthwise", "grouped", "odd channels", "shift", "large shift", "residual", "two residuals", "largest residual",
		"zero -128", "zero 0", "zero 127", "zero between", "multiplier 1", "multiplier 2^31-1",
		"weights ±127", "accumulator at its limit", "1x1 plane", "40 pixels", "8 pixels",
	} {
		require.GreaterOrEqual(t, seen[want], 4, "networks of %d with %s; all: %v", networks, want, seen)
	}
}

func features(n *int8.Network) map[string]bool {
	f := map[string]bool{fmt.Sprintf("%d pixels", n.Input.Shape.H): true}
	residuals := 0
	for _, l := range n.Layers {
		f[l.Op.Kind()] = true
		for _, z := range l.Out.Zero {
			f[map[int8.Value]string{-128: "zero -128", 0: "zero 0", 127: "zero 127"}[z]] = true
			f["zero between"] = f["zero between"] || z != -128 && z != 0 && z != 127
		}
		switch op := l.Op.(type) {
		case *int8.AveragePool:
			f["avgpool with padding in the count"] = f["avgpool with padding in the count"] || op.CountPad && op.Top+op.Left+op.Bottom+op.Right > 0
		case *int8.Conv:
			convFeatures(f, op)
			f["1x1 plane"] = f["1x1 plane"] || l.Out.Shape.H*l.Out.Shape.W == 1
			if op.Residual != 0 {
				residuals++
			}
		}
	}
	f["residual"], f["two residuals"] = residuals > 0, residuals > 1
	for k, v := range f {
		if !v {
			delete(f, k)
		}
	}
	return f
}

func convFeatures(f map[string]bool, c *int8.Conv) {
	set := func(name string, is bool) { f[name] = f[name] || is }
	set(fmt.Sprintf("%dx%d", c.KH, c.KW), true)
	set(fmt.Sprintf("stride %d", c.StrideH), true)
	set("uneven stride", c.StrideH != c.StrideW)
	set("asymmetric padding", c.Top != c.Bottom && c.Left != c.Right)
	set("depthwise", c.Groups == c.InC && c.InC > 1)
	set("grouped", c.Groups > 1 && c.Groups < c.InC)
	set("odd channels", c.OutC%4 != 0 && c.OutC > 8)
	set("shift", c.Shift > 0)
	set("large shift", c.Shift > 8)
	set("largest residual", c.Residual == math.MaxInt16)
	ends := true
	for _, w := range c.Weight {
		ends = ends && (w == 127 || w == -127)
	}
	set("weights ±127", ends)
	for o, m := range c.Multiplier {
		set("multiplier 1", m == 1)
		set("multiplier 2^31-1", m == math.MaxInt32)
		var sum int64
		depth := len(c.Weight) / c.OutC
		for _, w := range c.Weight[o*depth : (o+1)*depth] {
			sum += max(int64(w), -int64(w))
		}
		set("accumulator at its limit", 128*sum+max(int64(c.Bias[o]), -int64(c.Bias[o])) == math.MaxInt32>>c.Shift)
	}
}

// TestNetworksCompute checks that the networks are not dead: a comparison with
// the reference would prove little if all activations were saturated.
func TestNetworksCompute(t *testing.T) {
	for name, network := range map[string]func(uint64) *int8.Network{"int8": nettest.Random, "int16": nettest.Int16, "operations": nettest.Operations, "taught": taught} {
		const networks = 40
		alive, inner, all := 0, 0, 0
		for seed := range uint64(networks) {
			n := network(seed)
			a, err := n.Reference(nettest.Image(n, 1), func(l *int8.Layer, values []int32) {
				switch l.Op.(type) {
				case int8.GlobalAveragePool, *int8.Embedding, *int8.Dense:
					return
				}
				low, high := l.Out.Limits()
				for _, v := range values {
					all++
					if v > low && v < high {
						inner++
					}
				}
			})
			require.NoError(t, err)
			b, err := n.Reference(nettest.Image(n, 2), nil)
			require.NoError(t, err)
			if fmt.Sprint(a) != fmt.Sprint(b) {
				alive++
			}
		}
		least := networks * 9 / 10
		if name == "taught" { // the direction of one feature, or of one logit, is always the same
			least = networks * 6 / 10
		}
		require.GreaterOrEqual(t, alive, least, "%s: networks whose logits depend on the picture", name)
		require.Greater(t, inner*2, all, "%s: %d of %d activations are not saturated", name, inner, all)
	}
}

func taught(seed uint64) *int8.Network { return nettest.Taught(seed).Network }

// TestTaughtVariety finds every kind of features and of embedding, with values in both
// parts.
func TestTaughtVariety(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		n := nettest.Taught(seed)
		features, ok := n.Features()
		require.True(t, ok)
		e := n.Layers[len(n.Layers)-2].Op.(*int8.Embedding)
		seen[fmt.Sprint("features ", n.Content(features), " ", n.Tensor(features).Type)]++
		seen[fmt.Sprint("logits ", len(e.Scale) > 0)]++
		seen[fmt.Sprint("one part ", len(e.Scale) > 0 && e.Pooled*e.Logits == 0)]++
		_, err := n.Reference(nettest.Image(n.Network, 1), func(l *int8.Layer, values []int32) {
			if l.Op != e {
				return
			}
			pooled := len(values) - len(e.Scale)
			for i, v := range values {
				if v != 0 {
					seen[fmt.Sprint("value of logits ", i >= pooled)]++
				}
			}
		})
		require.NoError(t, err)
	}
	for _, want := range []string{
		"features 2 int16", "features 1 int8", "features 1 int16", "logits true", "logits false", "one part true",
		"value of logits false", "value of logits true",
	} {
		require.GreaterOrEqual(t, seen[want], 3, "%s; all: %v", want, seen)
	}
}

// TestOperationsVariety finds every operation and corner that Operations adds.
func TestOperationsVariety(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(300) {
		n := nettest.Operations(seed)
		f := map[string]bool{
			fmt.Sprint("image of channels: ", n.Input.Shape.C): true,
			"image not square": n.Input.Shape.H != n.Input.Shape.W,
		}
		readers := n.Topology().Consumers
		for i := range n.Layers {
			l := &n.Layers[i]
			key := l.Op.Kind()
			for _, in := range n.Inputs(l) {
				key += fmt.Sprint(" ", in.Type)
				f["product with one pixel"] = f["product with one pixel"] || l.Op.Kind() == "mul" && in.Shape != l.Out.Shape
				f["dense on a plane"] = f["dense on a plane"] || l.Op.Kind() == "dense" && in.Shape.H*in.Shape.W > 1
			}
			f[fmt.Sprint(key, " to ", l.Out.Type)] = true
			switch op := l.Op.(type) {
			case *int8.Conv:
				f["conv dilated"] = f["conv dilated"] || op.Dilated()
			case *int8.MaxPool:
				f["maxpool dilated"] = f["maxpool dilated"] || op.Dilated()
			case *int8.AveragePool:
				f["avgpool dilated"] = f["avgpool dilated"] || op.Dilated()
			case int8.Concat:
				for _, in := range l.Inputs {
					f["concat of what it alone reads"] = f["concat of what it alone reads"] || len(readers(in)) == 1
					f["concat of what others read"] = f["concat of what others read"] || len(readers(in)) > 1
					f["concat of concat"] = f["concat of concat"] || in != tensor.Input && n.Layers[in.Node()].Op.Kind() == "concat"
				}
			}
		}
		for k, v := range f {
			if v {
				seen[k]++
			}
		}
	}
	for _, want := range []string{
		"image of channels: 1", "image of channels: 3", "image not square", "product with one pixel", "dense on a plane",
		"conv dilated", "maxpool dilated", "avgpool dilated",
		"concat of what it alone reads", "concat of what others read", "concat of concat",
		"add int8 int8 to int8", "add int8 int16 to int8", "add int16 int8 to int16", "add int16 int16 to int16", "add int8 int8 to int16",
		"mul int8 int8 to int8", "lookup int8 to int8", "mean int8 to int8", "mean int8 to int16", "mean int16 to int8", "mean int16 to int16",
		"concat int8 int8 to int8", "concat int16 int16 to int16", "dense int8 to int32", "dense int16 to int32", "globalsum int8 to int16",
	} {
		require.GreaterOrEqual(t, seen[want], 3, "%s; all: %v", want, seen)
	}
}

// TestInt16Variety finds every combination of types that a layer can have.
func TestInt16Variety(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(600) {
		n := nettest.Int16(seed)
		for i := range n.Layers {
			l := &n.Layers[i]
			key := l.Op.Kind()
			for _, in := range l.Inputs {
				key += fmt.Sprint(" ", n.Tensor(in).Type)
			}
			seen[fmt.Sprint(key, " to ", l.Out.Type)]++
			if _, ok := l.Op.(*int8.Conv); ok && l.Out.Type == int8.Int16 {
				seen[fmt.Sprint("not negative ", l.Out.NonNegative)]++
				seen[fmt.Sprint("largest bound ", l.Out.Bound == math.MaxInt16)]++
			}
		}
	}
	for _, want := range []string{
		"conv int8 to int16", "conv int16 to int8", "conv int16 to int16",
		"conv int8 int8 to int16", "conv int8 int16 to int8", "conv int8 int16 to int16",
		"conv int16 int8 to int8", "conv int16 int8 to int16", "conv int16 int16 to int8", "conv int16 int16 to int16",
		"maxpool int16 to int16", "avgpool int16 to int16", "globalsum int16 to int16", "globalsum int8 to int16",
		"not negative true", "not negative false", "largest bound true", "largest bound false",
	} {
		require.GreaterOrEqual(t, seen[want], 10, "%s; all: %v", want, seen)
	}
}
