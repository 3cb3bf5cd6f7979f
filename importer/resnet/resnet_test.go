package resnet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// state is a state dict of zeros in the making; all tensors share their bytes.
type state map[string]weights.Array

var zeros = make([]byte, 10<<22)

func (s state) put(name string, shape ...int) {
	n, ok := weights.Elements(shape, len(zeros)/4)
	if !ok {
		panic(name)
	}
	s[name] = weights.Array{DType: weights.Float32, Shape: shape, Data: zeros[:4*n]}
}

func (s state) norm(name string, channels int) {
	for _, p := range []string{"weight", "bias", "running_mean", "running_var"} {
		s.put(name+"."+p, channels)
	}
	s[name+".num_batches_tracked"] = weights.Array{DType: weights.Int64, Shape: []int{}, Data: zeros[:8]}
}

func (s state) linear(name string, in, out int) {
	s.put(name+".weight", out, in)
	s.put(name+".bias", out)
}

// family is a network of the family by its numbers, as torchvision builds it.
type family struct {
	blocks        []int
	bottleneck    bool
	groups, width int // of a group in the first stage
}

var (
	resNet50 = family{[]int{3, 4, 6, 3}, true, 1, 64}
	resNet14 = family{[]int{1, 1, 1, 1}, true, 1, 64} // as good for most tests, and faster
)

func (f family) state() state {
	s := state{}
	s.put("conv1.weight", 64, 3, 7, 7)
	s.norm("bn1", 64)
	in := 64
	for stage, blocks := range f.blocks {
		planes := 64 << stage
		mid, out := planes, planes
		if f.bottleneck {
			mid, out = planes*f.width/64*f.groups, 4*planes
		}
		for block := range blocks {
			name := fmt.Sprintf("layer%d.%d.", stage+1, block)
			if f.bottleneck {
				s.put(name+"conv1.weight", mid, in, 1, 1)
				s.put(name+"conv2.weight", mid, mid/f.groups, 3, 3)
				s.put(name+"conv3.weight", out, mid, 1, 1)
				s.norm(name+"bn3", out)
			} else {
				s.put(name+"conv1.weight", mid, in, 3, 3)
				s.put(name+"conv2.weight", out, mid, 3, 3)
			}
			s.norm(name+"bn1", mid)
			s.norm(name+"bn2", mid)
			if block == 0 && (stage > 0 || in != out) {
				s.put(name+"downsample.0.weight", out, in, 1, 1)
				s.norm(name+"downsample.1", out)
			}
			in = out
		}
	}
	s.linear("fc", in, 10)
	return s
}

// without is the state dict without the tensors below a name.
func (s state) without(prefix string) state {
	maps.DeleteFunc(s, func(name string, _ weights.Array) bool { return strings.HasPrefix(name, prefix) })
	return s
}

// rename is the state dict with other names.
func (s state) rename(f func(string) string) state {
	renamed := state{}
	for name, a := range s {
		renamed[f(name)] = a
	}
	return renamed
}

func load(t testing.TB, s state, c Config) *models.Imported {
	t.Helper()
	imported, err := Import(s, c, models.ImportOptions{})
	require.NoError(t, err)
	return imported
}

func node(t testing.TB, g *models.Graph, name string) models.Node {
	t.Helper()
	i := slices.IndexFunc(g.Nodes, func(n models.Node) bool { return n.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return g.Nodes[i]
}

func window(t testing.TB, g *models.Graph, name string) tensor.Window {
	t.Helper()
	return node(t, g, name).Op.(*models.Conv).Window
}

// macs counts the multiplications of convolutions and fully connected layers.
func macs(g *models.Graph) (n int) {
	for _, node := range g.Nodes {
		switch op := node.Op.(type) {
		case *models.Conv:
			n += node.Shape.H * node.Shape.W * len(op.Weight)
		case *models.Dense:
			n += len(op.Weight)
		}
	}
	return n
}

// TestFamily compares with what torchvision documents for 1000 classes.
func TestFamily(t *testing.T) {
	for name, c := range map[string]struct {
		family
		gmacs float64
	}{
		"ResNet18":              {family{[]int{2, 2, 2, 2}, false, 1, 64}, 1.81},
		"ResNet34":              {family{[]int{3, 4, 6, 3}, false, 1, 64}, 3.66},
		"ResNet50 v1.5":         {resNet50, 4.09},
		"ResNet101 v1.5":        {family{[]int{3, 4, 23, 3}, true, 1, 64}, 7.80},
		"ResNet152 v1.5":        {family{[]int{3, 8, 36, 3}, true, 1, 64}, 11.51},
		"Wide ResNet50-2 v1.5":  {family{[]int{3, 4, 6, 3}, true, 1, 128}, 11.40},
		"Wide ResNet101-2 v1.5": {family{[]int{3, 4, 23, 3}, true, 1, 128}, 22.75},
		"ResNeXt50 32x4d v1.5":  {family{[]int{3, 4, 6, 3}, true, 32, 4}, 4.23},
		"ResNeXt101 32x8d v1.5": {family{[]int{3, 4, 23, 3}, true, 32, 8}, 16.41},
		"ResNeXt101 64x4d v1.5": {family{[]int{3, 4, 23, 3}, true, 64, 4}, 15.46},
	} {
		t.Run(name, func(t *testing.T) {
			if c.gmacs > 5 {
				testneed.Long(t, "it builds a network of up to 500 MB")
			}
			s := c.state()
			in := s["fc.weight"].Shape[1]
			s.linear("fc", in, 1000)
			g := load(t, s, Config{}).Graph
			require.Equal(t, name, g.Name)
			require.InDelta(t, c.gmacs, float64(macs(g))/1e9, 0.01)
			require.Equal(t, tensor.Shape{H: 7, W: 7, C: in}, node(t, g, "layer4.1.relu").Shape)
			require.Equal(t, preprocess.Torchvision(), g.Preprocess)
			require.Equal(t, "n01440764", g.Classes[0].ID)
		})
	}
}

func TestResNet50(t *testing.T) {
	s := resNet50.state()
	g := load(t, s, Config{}).Graph
	require.Len(t, g.Classes, 10)
	require.Equal(t, tensor.Square(7, 2, 3), window(t, g, "conv1"))
	require.Equal(t, tensor.Square(1, 1, 0), window(t, g, "layer2.0.conv1"))
	require.Equal(t, tensor.Square(3, 2, 1), window(t, g, "layer2.0.conv2"))
	require.Equal(t, tensor.Square(1, 2, 0), window(t, g, "layer2.0.downsample.0"))
	require.Equal(t, tensor.Square(3, 1, 1), window(t, g, "layer1.0.conv2"))
	require.Nil(t, node(t, g, "conv1").Op.(*models.Conv).Bias)
	var planes []tensor.Shape
	for _, n := range g.Nodes {
		if norm, ok := n.Op.(*models.BatchNorm); ok {
			require.Equal(t, float32(1e-5), norm.Epsilon, n.Name)
		}
		if n.Op.Kind() == "add" && !slices.Contains(planes, n.Shape) {
			planes = append(planes, n.Shape)
		}
	}
	require.Equal(t, []tensor.Shape{{H: 56, W: 56, C: 256}, {H: 28, W: 28, C: 512}, {H: 14, W: 14, C: 1024}, {H: 7, W: 7, C: 2048}}, planes)

	// config.json may say that the first convolution halves, as in the paper.
	g = load(t, s, Config{StrideInFirst: true, HiddenAct: "relu"}).Graph
	require.Equal(t, "ResNet50 v1", g.Name)
	require.Equal(t, tensor.Square(1, 2, 0), window(t, g, "layer2.0.conv1"))
	require.Equal(t, tensor.Square(3, 1, 1), window(t, g, "layer2.0.conv2"))

	g = load(t, s, Config{StrideInStage1: true}).Graph
	require.Equal(t, tensor.Shape{H: 4, W: 4, C: 2048}, g.Shape(g.Output()-2))
}

// transformers turns torchvision's names into those of transformers.
func transformers(name string) string {
	var stage, block, conv int
	var rest string
	for from, to := range map[string]string{"conv1": "embedder.embedder.convolution", "bn1": "embedder.embedder.normalization"} {
		if rest, ok := strings.CutPrefix(name, from+"."); ok {
			return "resnet." + to + "." + rest
		}
	}
	name = strings.Replace(name, "downsample.0", "downsample.conv", 1)
	name = strings.Replace(name, "downsample.1", "downsample.bn", 1)
	kinds := map[string]string{"conv": "convolution", "bn": "normalization"}
	for kind, to := range kinds {
		if n, _ := fmt.Sscanf(name, "layer%d.%d."+kind+"%d.%s", &stage, &block, &conv, &rest); n == 4 {
			return fmt.Sprintf("resnet.encoder.stages.%d.layers.%d.layer.%d.%s.%s", stage-1, block, conv-1, to, rest)
		}
		if n, _ := fmt.Sscanf(name, "layer%d.%d.downsample."+kind+".%s", &stage, &block, &rest); n == 3 {
			return fmt.Sprintf("resnet.encoder.stages.%d.layers.%d.shortcut.%s.%s", stage-1, block, to, rest)
		}
	}
	return strings.Replace(name, "fc.", "classifier.1.", 1)
}

func sequential(name string) string {
	for i, child := range []string{"conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"} {
		if rest, ok := strings.CutPrefix(name, child+"."); ok {
			return fmt.Sprintf("0.%d.%s", i, rest)
		}
	}
	return "1." + name
}

// TestNames loads a network under the names of other dialects.
func TestNames(t *testing.T) {
	want := load(t, resNet14.state(), Config{})
	for name, rename := range map[string]func(string) string{
		"transformers": transformers,
		"sequential":   sequential,
		"backbone":     func(name string) string { return strings.Replace("backbone."+name, "backbone.fc", "head.fc", 1) },
		"two prefixes": func(name string) string { return "module.model." + name },
		"shortcut":     func(name string) string { return strings.Replace(name, "downsample", "shortcut", 1) },
		"last_linear":  func(name string) string { return strings.Replace(name, "fc", "last_linear", 1) },
		"dropout":      func(name string) string { return strings.Replace(name, "fc", "fc.1", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			s := resNet14.state().rename(rename)
			require.True(t, Matches(s))
			got := load(t, s, Config{})
			require.Equal(t, want.Name, got.Name)
			require.Equal(t, macs(want.Graph), macs(got.Graph))
			require.Len(t, got.Nodes, len(want.Nodes))
			require.Empty(t, got.Notes)
		})
	}
	require.False(t, Matches(state{"features.0.weight": {}}))
}

// TestVariants are those of timm that names tell.
func TestVariants(t *testing.T) {
	deep := func() state {
		s := resNet14.state().without("conv1.")
		s.put("conv1.0.weight", 32, 3, 3, 3)
		s.norm("conv1.1", 32)
		s.put("conv1.3.weight", 32, 32, 3, 3)
		s.norm("conv1.4", 32)
		s.put("conv1.6.weight", 64, 32, 3, 3)
		return s
	}
	average := func(s state) state {
		return s.rename(func(name string) string {
			name = strings.Replace(name, "downsample.1", "downsample.2", 1)
			return strings.Replace(name, "downsample.0", "downsample.1", 1)
		})
	}
	g := load(t, deep(), Config{}).Graph
	require.Equal(t, "ResNet14-C", g.Name)
	require.Equal(t, tensor.Square(3, 2, 1), window(t, g, "conv1.0"))
	require.Equal(t, tensor.Square(3, 1, 1), window(t, g, "conv1.6"))

	imported, err := Import(average(deep()), Config{}, models.ImportOptions{Input: preprocess.Square(200)})
	require.NoError(t, err)
	g = imported.Graph
	require.Equal(t, "ResNet14-D", g.Name)
	require.Equal(t, &models.AveragePool{Window: tensor.Square(2, 2, 0)}, node(t, g, "layer2.0.downsample.0").Op)
	require.Equal(t, &models.AveragePool{Window: tensor.Window{KH: 2, KW: 2, StrideH: 2, StrideW: 2, Bottom: 1, Right: 1}},
		node(t, g, "layer3.0.downsample.0").Op, "of 25x25")
	require.Equal(t, tensor.Square(1, 1, 0), window(t, g, "layer3.0.downsample.1"))

	g = load(t, resNet14.state(), Config{Architecture: "resnetaa50"}).Graph
	require.Equal(t, &models.AveragePool{Window: tensor.Square(2, 2, 0)}, node(t, g, "maxpool").Op)
	require.Equal(t, &models.AveragePool{Window: tensor.Square(2, 2, 0)}, node(t, g, "layer2.0.aa").Op)
	require.Equal(t, tensor.Square(3, 1, 1), window(t, g, "layer2.0.conv2"))

	s := resNet14.state()
	for name, a := range maps.Clone(s) {
		if module, ok := strings.CutSuffix(name, "bn3.weight"); ok {
			s.put(module+"se.fc1.weight", a.Shape[0]/16, a.Shape[0], 1, 1)
			s.put(module+"se.fc1.bias", a.Shape[0]/16)
			s.put(module+"se.fc2.weight", a.Shape[0], a.Shape[0]/16, 1, 1)
			s.put(module+"se.fc2.bias", a.Shape[0])
		}
	}
	g = load(t, s, Config{}).Graph
	require.Equal(t, "SE-ResNet14 v1.5", g.Name)
	require.Equal(t, models.Mul{}, node(t, g, "layer4.0.se.mul").Op)

	small := resNet14.state()
	small.put("conv1.weight", 64, 3, 3, 3)
	imported = load(t, small, Config{})
	require.Equal(t, preprocess.Square(32), imported.Preprocess.Crop)
	require.Equal(t, tensor.Square(3, 1, 1), window(t, imported.Graph, "conv1"))
	require.Equal(t, tensor.Shape{H: 4, W: 4, C: 2048}, node(t, imported.Graph, "layer4.0.relu").Shape)
	require.Len(t, imported.Notes, 1)

	grey := resNet14.state()
	grey.put("conv1.weight", 64, 1, 7, 7)
	require.Equal(t, preprocess.Grey, load(t, grey, Config{}).Preprocess.Order)
}

// TestHeads gives the operations behind the last stage, and notes.
func TestHeads(t *testing.T) {
	for name, c := range map[string]struct {
		head  func(s state)
		ops   string
		notes int
	}{
		"one layer":       {func(s state) { s.linear("fc", 2048, 3) }, "globalavgpool dense", 0},
		"convolution":     {func(s state) { s.put("head.conv.weight", 3, 2048, 1, 1) }, "globalavgpool dense", 0},
		"one logit":       {func(s state) { s.linear("fc", 2048, 1) }, "globalavgpool dense", 0},
		"two layers":      {func(s state) { s.linear("fc.0", 2048, 64); s.linear("fc.2", 64, 3) }, "globalavgpool dense relu dense", 1},
		"dropouts":        {func(s state) { s.linear("fc.1", 2048, 64); s.linear("fc.4", 64, 3) }, "globalavgpool dense relu dense", 1},
		"nothing between": {func(s state) { s.linear("fc.1", 2048, 64); s.linear("fc.2", 64, 3) }, "globalavgpool dense dense", 0},
		"two digits":      {func(s state) { s.linear("fc.9", 2048, 64); s.linear("fc.11", 64, 64); s.linear("fc.13", 64, 3) }, "globalavgpool dense relu dense relu dense", 2},
		"norm, then ReLU": {func(s state) { s.linear("fc.0", 2048, 64); s.norm("fc.1", 64); s.linear("fc.3", 64, 3) }, "globalavgpool dense batchnorm relu dense", 1},
		"ReLU, then norm": {func(s state) { s.linear("fc.0", 2048, 64); s.norm("fc.2", 64); s.linear("fc.4", 64, 3) }, "globalavgpool dense relu batchnorm dense", 1},
		"norm before":     {func(s state) { s.norm("fc.0", 2048); s.linear("fc.2", 2048, 3) }, "globalavgpool batchnorm dense", 0},
		"names":           {func(s state) { s.norm("bn2", 64); s.linear("fc1", 2048, 64); s.linear("fc2", 64, 3) }, "globalavgpool dense batchnorm relu dense", 1},
		"fastai": {func(s state) {
			s.norm("1.2", 4096)
			s.linear("1.4", 4096, 64)
			s.norm("1.6", 64)
			s.linear("1.8", 64, 3)
		}, "globalavgpool maxpool concat batchnorm dense relu batchnorm dense", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := resNet14.state().without("fc")
			c.head(s)
			imported := load(t, s, Config{})
			var ops []string
			from := slices.IndexFunc(imported.Nodes, func(n models.Node) bool { return n.Name == "layer4.0.relu" })
			for _, n := range imported.Nodes[from+1:] {
				ops = append(ops, n.Op.Kind())
			}
			require.Equal(t, c.ops, strings.Join(ops, " "))
			require.Len(t, imported.Notes, c.notes)
			require.Len(t, imported.Classes, max(imported.Shape(imported.Output()).C, 2))
		})
	}
}

func TestErrors(t *testing.T) {
	for want, change := range map[string]func(s state) Config{
		`ResNet14 v1.5: tensor "layer1.0.bn3.running_var" is missing, expected with shape [256]`: func(s state) Config {
			delete(s, "layer1.0.bn3.running_var")
			return Config{}
		},
		`"layer1.0.bn1" has no running_mean: it is no batch normalization`: func(s state) Config { delete(s, "layer1.0.bn1.running_mean"); return Config{} },
		`tensor "layer2.0.conv2.weight": found shape [128 128 2 2], expected a square kernel over 128 channels`: func(s state) Config {
			s.put("layer2.0.conv2.weight", 128, 128, 2, 2)
			return Config{}
		},
		`tensor "layer2.0.bn2.weight": expected shape [128], found [64]`:                             func(s state) Config { s.put("layer2.0.bn2.weight", 64); return Config{} },
		`1 tensors have no place in ResNet14 v1.5, the first is "layer4.0.attention" with shape [3]`: func(s state) Config { s.put("layer4.0.attention", 3); return Config{} },
		"expected 3 (colours) or 1 (grey)":                                                           func(s state) Config { s.put("conv1.weight", 64, 6, 7, 7); return Config{} },
		`tensor "conv1.weight" is missing`:                                                           func(s state) Config { delete(s, "conv1.weight"); return Config{} },
		"65 layers stand beside the stages": func(s state) Config {
			for i := range 64 {
				s.linear(fmt.Sprint("head.", i), 1, 1)
			}
			return Config{}
		},
		"no classifier: want a fully connected layer": func(s state) Config { s.without("fc"); return Config{} },
		"the classifier has the layers backbone.fc.weight [10 2048] and head.weight [3 10], and names do not tell what is between": func(s state) Config {
			inside := s.rename(func(name string) string { return "backbone." + name })
			clear(s)
			maps.Copy(s, inside)
			s.linear("head", 10, 3)
			return Config{}
		},
		`holds several networks, under ["" "teacher."]`: func(s state) Config {
			s["teacher.layer1.0.conv1.weight"] = s["layer1.0.conv1.weight"]
			return Config{}
		},
		"resnetblur50 has blurring layers":     func(state) Config { return Config{Architecture: "resnetblur50"} },
		`names the activation "silu"`:          func(state) Config { return Config{HiddenAct: "silu"} },
		"cannot add":                           func(s state) Config { s.without("layer2.0.downsample"); return Config{} },
		"no tensor is named like layer1.0.con": func(s state) Config { clear(s); return Config{} },
	} {
		s := resNet14.state()
		c := change(s)
		_, err := Import(s, c, models.ImportOptions{})
		require.ErrorContains(t, err, want)
	}
}
