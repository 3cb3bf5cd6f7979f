package models_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// shuffled takes channels in the order of a shuffle of two groups.
func shuffled(channels int) *models.Gather {
	g := &models.Gather{}
	for i := range channels {
		g.Indices = append(g.Indices, i%2*(channels/2)+i/2)
	}
	return g
}

func some(first, n int) *models.Gather {
	g := &models.Gather{}
	for i := range n {
		g.Indices = append(g.Indices, first+i)
	}
	return g
}

// In a stage of ShuffleNet V2 shuffles become orders of weights: what convolutions read
// lies side by side, and what passes by is a few runs.
func TestFoldOfShuffleNetStages(t *testing.T) {
	rng := rand.New(rand.NewPCG(30, 30))
	const half, units = 22, 4
	pixel := tensor.Square(1, 1, 0)
	b := models.NewBuilder("image", tensor.Shape{H: 5, W: 4, C: 3})
	last := "image"
	add := func(name string, op models.Op, inputs ...string) string {
		_, _ = b.Add(name, op, inputs...)
		last = name
		return name
	}
	conv := func(name, x string, w tensor.Window, groups, in int) string {
		return add(name+"n", graphtest.BatchNorm(rng, half), add(name, graphtest.Conv(rng, w, groups, in, half), x))
	}
	left, right := conv("left", "image", pixel, 1, 3), conv("right", "image", pixel, 1, 3)
	for u := range units {
		x := add(fmt.Sprint("shuffle", u), shuffled(2*half), add(fmt.Sprint("concat", u), models.Concat{}, left, right))
		left = add(fmt.Sprint("left", u), some(0, half), x)
		right = add(fmt.Sprint("relu", u), models.ReLU{}, conv(fmt.Sprint("a", u), add(fmt.Sprint("right", u), some(half, half), x), pixel, 1, half))
		right = conv(fmt.Sprint("c", u), conv(fmt.Sprint("b", u), right, tensor.Square(3, 1, 1), half, half), pixel, 1, half)
	}
	add("shuffle", shuffled(2*half), add("concat", models.Concat{}, left, right))
	add("classes", graphtest.Dense(rng, 2*half*20, 5), last)
	folded := requireFolds(t, rng, graphtest.Graph(t, b, "shufflenet"))
	gathers := 0
	for i, n := range folded.Nodes {
		g, ok := n.Op.(*models.Gather)
		if !ok {
			continue
		}
		gathers++
		reader := folded.Nodes[folded.Topology().Consumers(tensor.Output(i))[0]]
		runs := 1
		for i, c := range g.Indices[1:] {
			if c != g.Indices[i]+1 {
				runs++
			}
		}
		if reader.Op.Kind() == "conv" {
			require.Equal(t, 1, runs, "%s: %v", n.Name, g.Indices)
		} else {
			require.LessOrEqual(t, runs, 2*units, "%s: %v", n.Name, g.Indices)
		}
	}
	require.Equal(t, 2*units, gathers, kinds(folded))
	require.NotNil(t, folded.Norm("a0"))
	again, err := folded.Fold()
	require.NoError(t, err)
	require.Equal(t, folded.Hash(), again.Hash())
}

func TestFoldOfRandomGathers(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 31))
		folded := requireFolds(t, rng, gathering(t, rng))
		for _, n := range folded.Nodes[:len(folded.Nodes)-1] {
			if g, ok := n.Op.(*models.Gather); ok {
				c := folded.Shape(n.Inputs[0]).C
				require.False(t, len(g.Indices) == c && slices.IsSorted(g.Indices) && g.Indices[c-1] == c-1 && g.Indices[0] == 0 && len(slices.Compact(slices.Clone(g.Indices))) == c, n.Name)
			}
		}
	}
}

// gathering is a network of some random nodes, of which many take or join channels.
func gathering(t *testing.T, rng *rand.Rand) *models.Graph {
	names, channels := []string{"image"}, []int{3}
	b := models.NewBuilder("image", tensor.Shape{H: 3, W: 2, C: 3})
	for i := range 4 + rng.IntN(14) {
		at := len(names) - 1 - min(rng.IntN(3), rng.IntN(3), len(names)-1)
		c, inputs := channels[at], []string{names[at]}
		var op models.Op
		switch rng.IntN(11) {
		case 0:
			op = graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, c, 2*(1+rng.IntN(6)))
		case 1:
			groups := 1 + (c+1)%2
			op = graphtest.Conv(rng, tensor.Square(3, 1, 1), groups, c, groups*(1+rng.IntN(6)))
		case 2:
			op = graphtest.Conv(rng, tensor.Square(3, 1, 1), c, c, c*(1+rng.IntN(2)))
		case 3:
			op = graphtest.BatchNorm(rng, c)
		case 4:
			op = graphtest.Activations()[rng.IntN(4)]
		case 5, 6:
			other := rng.IntN(len(names))
			if c+channels[other] > 30 {
				continue
			}
			op, inputs = models.Concat{}, []string{names[at], names[other]}
			if rng.IntN(2) == 0 {
				slices.Reverse(inputs)
			}
		case 7:
			op = models.Add{}
			for j := range names {
				if channels[j] == c && rng.IntN(2) == 0 {
					inputs = append(inputs[:1], names[j])
				}
			}
			if len(inputs) == 1 {
				continue
			}
		case 8:
			op = some(rng.IntN(c), 1)
			if first := rng.IntN(c); c-first > 1 {
				op = some(first, 1+rng.IntN(c-first))
			}
		case 9:
			op = &models.Gather{Indices: rng.Perm(c)[:1+rng.IntN(c)]}
		default:
			op = shuffled(c / 2 * 2)
			if c < 2 {
				continue
			}
		}
		name := fmt.Sprint(op.Kind(), i)
		shape, err := b.Add(name, op, inputs...)
		require.NoError(t, err)
		names, channels = append(names, name), append(channels, shape.C)
	}
	_, _ = b.Add("classes", graphtest.Dense(rng, 6*channels[len(channels)-1], 5), names[len(names)-1])
	return graphtest.Graph(t, b, "gathering")
}

// A dense block in which every Concat lists all tensors is one in which each has the one
// before.
func TestFoldOfDenseBlocks(t *testing.T) {
	rng := rand.New(rand.NewPCG(32, 32))
	b := models.NewBuilder("image", tensor.Shape{H: 3, W: 3, C: 3})
	all := []string{"image"}
	for i := range 4 {
		x, c := all[0], 3
		if i > 0 {
			x = fmt.Sprint("concat", i)
			shape, err := b.Add(x, models.Concat{}, all...)
			require.NoError(t, err)
			c = shape.C
		}
		all = append(all, fmt.Sprint("conv", i))
		_, _ = b.Add(all[i+1], graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, c, 2), x)
	}
	_, _ = b.Add("classes", graphtest.Dense(rng, 18, 5), all[len(all)-1])
	folded := requireFolds(t, rng, graphtest.Graph(t, b, "dense block"))
	for _, n := range folded.Nodes {
		if n.Op.Kind() == "concat" {
			require.Len(t, n.Inputs, 2, n.Name)
		}
	}
}

// Features, which a classifier reads, have the file's order, whatever is taken of them.
func TestFoldKeepsTheOrderOfFeatures(t *testing.T) {
	rng := rand.New(rand.NewPCG(33, 33))
	b, pixel := models.NewBuilder("image", tensor.Shape{H: 3, W: 3, C: 3}), tensor.Square(1, 1, 0)
	classes := graphtest.Dense(rng, 8, 5)
	_, _ = b.Add("x", graphtest.Conv(rng, pixel, 1, 3, 8), "image")
	_, _ = b.Add("odd", &models.Gather{Indices: []int{1, 3, 5, 7}}, "x")
	_, _ = b.Add("y", graphtest.Conv(rng, pixel, 1, 4, 8), "odd")
	_, _ = b.Add("sum", models.Add{}, "x", "y")
	_, _ = b.Add("features", models.GlobalAveragePool{}, "sum")
	_, _ = b.Add("classes", classes, "features")
	folded := requireFolds(t, rng, graphtest.Graph(t, b, "features"))
	require.Equal(t, classes, folded.Nodes[len(folded.Nodes)-1].Op)
}
