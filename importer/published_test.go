package importer

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// published is Keras' ResNet50 as TensorFlow.js, of the cache.
func published(t testing.TB) *models.Graph {
	t.Helper()
	imported, err := Import(testneed.Weights(t, "resnet50-keras"), models.ImportOptions{})
	require.NoError(t, err)
	return imported.Graph
}

func node(t testing.TB, g *models.Graph, name string) models.Node {
	t.Helper()
	i := slices.IndexFunc(g.Nodes, func(n models.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return g.Nodes[i]
}

// TestPublishedNetworkIsResNet50V1 compares with table 1 of He et al., "Deep
// Residual Learning for Image Recognition", 2015, by Keras' names.
func TestPublishedNetworkIsResNet50V1(t *testing.T) {
	g := published(t)
	parameters, macs, kinds := 0, 0, map[string]int{}
	for _, n := range g.Nodes {
		kinds[n.Op.Kind()]++
		switch op := n.Op.(type) {
		case *models.Conv:
			require.NotNil(t, op.Bias, n.Name)
			parameters += len(op.Weight) + len(op.Bias)
			macs += n.Shape.H * n.Shape.W * len(op.Weight)
		case *models.BatchNorm:
			require.Equal(t, float32(1e-3), op.Epsilon, n.Name)
			parameters += 4 * len(op.Gamma)
		case *models.Dense:
			parameters += len(op.Weight) + len(op.Bias)
			macs += len(op.Weight)
		}
	}
	require.Equal(t, 25_636_712, parameters, "what keras.applications.ResNet50 reports")
	require.Equal(t, 3_857_973_248, macs, "3.8 GFLOPs in the table")
	require.Equal(t, map[string]int{"conv": 53, "batchnorm": 53, "relu": 49, "add": 16, "maxpool": 1,
		"globalavgpool": 1, "dense": 1, "softmax": 1}, kinds)

	// check walks back from a tensor through the named layers, ending at a kind.
	check := func(from tensor.ID, path ...string) tensor.ID {
		for _, want := range path {
			n := g.Nodes[from.Node()]
			require.True(t, n.Name == want || n.Op.Kind() == want, "%s: %v is behind %s (%s)", want, path, n.Name, n.Op.Kind())
			from = n.Inputs[0]
		}
		return from
	}
	window := func(name string) tensor.Window { return node(t, g, name).Op.(*models.Conv).Window }
	last := check(g.Output(), "softmax", "fc1000", "globalavgpool")
	for stage := 5; stage >= 2; stage-- {
		for block := []int{3, 4, 6, 3}[stage-2] - 1; block >= 0; block-- {
			name, stride := fmt.Sprintf("%d%c", stage, 'a'+block), 1
			if block == 0 && stage > 2 {
				stride = 2
			}
			sum := g.Nodes[check(last, "relu").Node()]
			require.Equal(t, "add", sum.Op.Kind())
			input := check(sum.Inputs[0], "bn"+name+"_branch2c", "res"+name+"_branch2c", "relu",
				"bn"+name+"_branch2b", "res"+name+"_branch2b", "relu", "bn"+name+"_branch2a", "res"+name+"_branch2a")
			side := sum.Inputs[1]
			if block == 0 {
				side = check(side, "bn"+name+"_branch1", "res"+name+"_branch1")
				require.Equal(t, tensor.Square(1, stride, 0), window("res"+name+"_branch1"))
			}
			require.Equal(t, input, side, name)
			require.Equal(t, tensor.Square(1, stride, 0), window("res"+name+"_branch2a"), "v1 halves in the first convolution")
			require.Equal(t, tensor.Square(3, 1, 1), window("res"+name+"_branch2b"))
			require.Equal(t, tensor.Square(1, 1, 0), window("res"+name+"_branch2c"))
			last = input
		}
	}
	require.Equal(t, tensor.Input, check(last, "maxpool", "relu", "bn_conv1", "conv1"))
	require.Equal(t, tensor.Square(7, 2, 3), window("conv1"))
	require.Equal(t, tensor.Shape{H: 224, W: 224, C: 3}, g.Input())
	require.Equal(t, preprocess.Caffe(), g.Preprocess)
	require.Equal(t, "n01440764", g.Classes[0].ID)
	require.Equal(t, "resnet50", g.Name)
}

func TestPublishedWeights(t *testing.T) {
	g := published(t)
	// Expected values: NumPy on the shards, with HWIO indices.
	stem := node(t, g, "conv1").Op.(*models.Conv).Weight
	require.InDeltaSlice(t, []float32{0.02825263, 0.00586828, -0.00244091}, stem[:3], 1e-8, "[0, 0, :, 0]")
	require.InDelta(t, -0.109264135, stem[((17*7+3)*7+4)*3+1], 1e-8, "[3, 4, 1, 17]")
	inner := node(t, g, "res3a_branch2b").Op.(*models.Conv).Weight
	require.InDelta(t, 0.030973418, inner[((90*3+2)*3+1)*128+100], 1e-8, "[2, 1, 100, 90]")
	dense := node(t, g, "fc1000").Op.(*models.Dense)
	require.InDelta(t, -0.016695216, dense.Weight[7*2048+5], 1e-8, "[5, 7]")

	raw, err := os.ReadFile(testneed.Sample(t, "checkpoint.json"))
	require.NoError(t, err)
	var layers map[string]struct {
		Shape []int `json:"shape_chw"`
	}
	require.NoError(t, json.Unmarshal(raw, &layers))
	seen := 0
	for _, n := range g.Nodes {
		if want := layers[n.Name].Shape; n.Op.Kind() == "conv" && want != nil {
			s := n.Shape
			require.Equal(t, want, []int{s.C, s.H, s.W}, n.Name)
			seen++
		}
	}
	require.GreaterOrEqual(t, seen, 32, "convolutions are named as in the golden file")
}
