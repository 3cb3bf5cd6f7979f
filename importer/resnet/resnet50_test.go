package resnet

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// blank is a source of zeros that has every tensor and notes their shapes.
type blank struct {
	shapes  map[string][]int
	missing string
	zeros   []float32
}

func newBlank() *blank { return &blank{shapes: map[string][]int{}, zeros: make([]float32, 1<<22)} }

func (b *blank) Tensor(name string, shape []int) ([]float32, error) {
	if name == b.missing {
		return nil, fmt.Errorf("tensor %q is missing", name)
	}
	b.shapes[name] = shape
	n := 1
	for _, d := range shape {
		n *= d
	}
	return b.zeros[:n:n], nil
}

// parameters counts the values of all weights, those of batch normalization
// included.
func parameters(g *models.Graph) int {
	n := 0
	for _, node := range g.Nodes {
		switch op := node.Op.(type) {
		case *models.Conv:
			n += len(op.Weight) + len(op.Bias)
		case *models.BatchNorm:
			n += len(op.Gamma) + len(op.Beta) + len(op.Mean) + len(op.Variance)
		case *models.Dense:
			n += len(op.Weight) + len(op.Bias)
		}
	}
	return n
}

// macs counts the multiplications of convolutions and dense layers.
func macs(t *testing.T, g *models.Graph) int64 {
	n := int64(0)
	for _, node := range g.Nodes {
		switch op := node.Op.(type) {
		case *models.Conv:
			s := node.Shape
			n += int64(s.H*s.W) * int64(len(op.Weight))
		case *models.Dense:
			n += int64(len(op.Weight))
		}
	}
	return n
}

func count(g *models.Graph, kind string) int {
	n := 0
	for _, node := range g.Nodes {
		if node.Op.Kind() == kind {
			n++
		}
	}
	return n
}

func conv(t *testing.T, g *models.Graph, name string) *models.Conv {
	t.Helper()
	i := slices.IndexFunc(g.Nodes, func(n models.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	c, ok := g.Nodes[i].Op.(*models.Conv)
	require.True(t, ok, name)
	return c
}

func TestResNet50V1(t *testing.T) {
	source := newBlank()
	g, err := ResNet50(V1, 1000, source)
	require.NoError(t, err)
	require.Equal(t, 25_636_712, parameters(g), "what keras.applications.ResNet50 reports")
	require.Equal(t, int64(3_857_973_248), macs(t, g), "3.8 GFLOPs in table 1 of the paper")
	require.Equal(t, 53, count(g, "conv"))
	require.Equal(t, 16, count(g, "add"))
	require.Equal(t, preprocess.Caffe(), g.Preprocess)
	require.Equal(t, "n01440764", g.Classes[0].ID)
	require.Equal(t, "softmax", g.Nodes[len(g.Nodes)-1].Op.Kind())

	require.Len(t, source.shapes, 320)
	require.Equal(t, []int{7, 7, 3, 64}, source.shapes["conv1/kernel"])
	require.Equal(t, []int{3, 3, 512, 512}, source.shapes["res5c_branch2b/kernel"])
	require.Equal(t, []int{1, 1, 1024, 2048}, source.shapes["res5a_branch1/kernel"])
	require.Equal(t, []int{256}, source.shapes["bn4f_branch2a/moving_variance"])
	require.Equal(t, []int{2048, 1000}, source.shapes["fc1000/kernel"])

	require.Equal(t, 1, conv(t, g, "res2a_branch2a").StrideH)
	require.Equal(t, tensor.Square(1, 2, 0), conv(t, g, "res3a_branch2a").Window)
	require.Equal(t, tensor.Square(3, 1, 1), conv(t, g, "res3a_branch2b").Window)
	require.Equal(t, tensor.Square(1, 2, 0), conv(t, g, "res3a_branch1").Window)
	require.NotNil(t, conv(t, g, "conv1").Bias)
}

func TestResNet50V15(t *testing.T) {
	source := newBlank()
	g, err := ResNet50(V15, 1000, source)
	require.NoError(t, err)
	require.Equal(t, 25_557_032+53_120, parameters(g), "what torchvision reports, and the running statistics")
	require.Equal(t, int64(4_089_184_256), macs(t, g), "what torchvision reports as 4.09 GFLOPS")
	require.Equal(t, 53, count(g, "conv"))
	require.Equal(t, preprocess.Torchvision(), g.Preprocess)
	require.Equal(t, "fc", g.Nodes[len(g.Nodes)-1].Name)

	require.Len(t, source.shapes, 267)
	require.Equal(t, []int{64, 3, 7, 7}, source.shapes["conv1.weight"])
	require.Equal(t, []int{512, 512, 3, 3}, source.shapes["layer4.2.conv2.weight"])
	require.Equal(t, []int{2048, 1024, 1, 1}, source.shapes["layer4.0.downsample.0.weight"])
	require.Equal(t, []int{2048}, source.shapes["layer4.0.downsample.1.running_var"])
	require.Equal(t, []int{1000, 2048}, source.shapes["fc.weight"])

	require.Equal(t, tensor.Square(1, 1, 0), conv(t, g, "layer2.0.conv1").Window)
	require.Equal(t, tensor.Square(3, 2, 1), conv(t, g, "layer2.0.conv2").Window)
	require.Equal(t, tensor.Square(1, 2, 0), conv(t, g, "layer2.0.downsample.0").Window)
	require.Nil(t, conv(t, g, "conv1").Bias)
	for _, n := range g.Nodes {
		if norm, ok := n.Op.(*models.BatchNorm); ok {
			require.Equal(t, float32(1e-5), norm.Epsilon, n.Name)
		}
	}
}

func TestResNet50Shapes(t *testing.T) {
	for _, version := range []ResNetVersion{V1, V15} {
		g, err := ResNet50(version, 10, newBlank())
		require.NoError(t, err)
		require.Len(t, g.Classes, 10)
		require.Equal(t, "3", g.Classes[3].ID)
		var planes []tensor.Shape
		for _, n := range g.Nodes {
			if s := n.Shape; n.Op.Kind() == "add" && !slices.Contains(planes, s) {
				planes = append(planes, s)
			}
		}
		require.Equal(t, []tensor.Shape{{H: 56, W: 56, C: 256}, {H: 28, W: 28, C: 512}, {H: 14, W: 14, C: 1024}, {H: 7, W: 7, C: 2048}}, planes)
		require.Equal(t, tensor.Shape{H: 1, W: 1, C: 10}, g.Shape(g.Output()))
	}
}

func TestResNet50Errors(t *testing.T) {
	for version, names := range map[ResNetVersion][]string{
		V1:  {"conv1/kernel", "res4c_branch2b/bias", "bn5a_branch1/beta", "fc1000/bias"},
		V15: {"conv1.weight", "layer3.5.bn3.running_mean", "layer1.0.downsample.0.weight", "fc.weight"},
	} {
		for _, name := range names {
			source := newBlank()
			source.missing = name
			_, err := ResNet50(version, 1000, source)
			require.ErrorContains(t, err, "ResNet50 "+version.String())
			require.ErrorContains(t, err, `"`+name+`" is missing`)
		}
	}
	_, err := ResNet50(V1, -1, newBlank())
	require.ErrorContains(t, err, "-1 classes")
}
