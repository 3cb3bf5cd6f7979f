package fp32

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/importer"
	"edgeclassify/internal/graphtest"
	"edgeclassify/internal/npy"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// resNet50 imports the network that the golden values were computed with.
func resNet50(t testing.TB) *models.Graph {
	t.Helper()
	g, err := importer.Import(testneed.Weights(t, "resnet50-keras"), models.ImportOptions{})
	require.NoError(t, err)
	return g.Graph
}

// golden describes a tensor as another framework computed it.
type golden struct {
	Shape   []int     `json:"shape_chw"`
	Mean    float64   `json:"mean"`
	Std     float64   `json:"std"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	First16 []float64 `json:"first16"` // in CHW order
}

type checkpoint struct {
	image   []float32 // HWC
	layers  map[string]golden
	topFive [][2]float64 // class and logit
}

func readCheckpoint(t testing.TB) checkpoint {
	t.Helper()
	raw, err := os.ReadFile(testneed.Sample(t, "checkpoint.json"))
	require.NoError(t, err)
	var c checkpoint
	require.NoError(t, json.Unmarshal(raw, &c.layers))
	var logits struct {
		Logits struct {
			Top5 [][2]float64 `json:"top5"`
		} `json:"logits"`
	}
	require.NoError(t, json.Unmarshal(raw, &logits))
	c.topFive = logits.Logits.Top5
	require.Len(t, c.topFive, 5)
	delete(c.layers, "logits")

	shape, chw, err := npy.Read(testneed.Sample(t, "checkpoint_input.npy"))
	require.NoError(t, err)
	require.Equal(t, []int{3, 224, 224}, shape)
	c.image = make([]float32, len(chw))
	for i, v := range chw {
		c.image[i%(224*224)*3+i/(224*224)] = v
	}
	return c
}

func consumers(g *models.Graph, id tensor.ID) (made []tensor.ID) {
	for _, node := range g.Topology().Consumers(id) {
		made = append(made, tensor.Output(node))
	}
	return made
}

// layerEnd follows the normalization and activation behind a node: the
// checkpoint holds the values after them.
func layerEnd(g *models.Graph, id tensor.ID) tensor.ID {
	next := consumers(g, id)
	if len(next) == 1 {
		if kind := g.Nodes[next[0].Node()].Op.Kind(); kind == "batchnorm" || kind == "relu" {
			return layerEnd(g, next[0])
		}
	}
	return id
}

// tensorOf is the checkpoint's layer. Layers have the names of convolutions, but
// for the image, the sums at the ends of blocks and the global pooling.
func tensorOf(t *testing.T, g *models.Graph, layer string) tensor.ID {
	t.Helper()
	if block, ok := strings.CutSuffix(layer, "_add"); ok {
		return layerEnd(g, consumers(g, layerEnd(g, graphtest.ID(t, g, block+"_branch2c")))[0])
	}
	switch layer {
	case "in":
		return tensor.Input
	case "gap":
		return tensor.Output(slices.IndexFunc(g.Nodes, func(n models.Node) bool { return n.Op.Kind() == "globalavgpool" }))
	}
	return layerEnd(g, graphtest.ID(t, g, layer))
}

func TestExecutorMatchesCheckpoint(t *testing.T) {
	want := readCheckpoint(t)
	unfolded := resNet50(t)
	folded, err := unfolded.Fold()
	require.NoError(t, err)
	for name, g := range map[string]*models.Graph{"unfolded": unfolded, "folded": folded} {
		t.Run(name, func(t *testing.T) {
			outputs := run(t, g, showingAll(t, g, 2), want.image)
			outputs[g.InputName()] = want.image
			for layer, golden := range want.layers {
				id := tensorOf(t, g, layer)
				name := g.Topology().Name(id)
				require.NotNil(t, outputs[name], "layer %s, node %s", layer, name)
				golden.compare(t, layer, g.Shape(id), outputs[name])
			}
			compareTopFive(t, want.topFive, outputs["fc1000"])
		})
	}
}

// compare allows a thousandth of each value, or of the spread where values are
// near zero.
func (g golden) compare(t *testing.T, layer string, shape tensor.Shape, hwc []float32) {
	t.Helper()
	require.Equal(t, []int{shape.C, shape.H, shape.W}[:len(g.Shape)], g.Shape, layer)
	sum, squares := 0.0, 0.0
	for _, v := range hwc {
		sum, squares = sum+float64(v), squares+float64(v)*float64(v)
	}
	n := float64(len(hwc))
	near := func(what string, want, got float64) {
		require.InDelta(t, want, got, 1e-3*max(math.Abs(want), g.Std), "%s: %s", layer, what)
	}
	near("mean", g.Mean, sum/n)
	near("std", g.Std, math.Sqrt(squares/n-sum/n*sum/n))
	near("min", g.Min, float64(slices.Min(hwc)))
	near("max", g.Max, float64(slices.Max(hwc)))
	for i, want := range g.First16 {
		near("value "+strconv.Itoa(i), want, float64(hwc[i%(shape.H*shape.W)*shape.C+i/(shape.H*shape.W)]))
	}
}

func compareTopFive(t *testing.T, want [][2]float64, logits []float32) {
	t.Helper()
	classes := make([]int, len(logits))
	for i := range classes {
		classes[i] = i
	}
	slices.SortFunc(classes, func(a, b int) int { return cmp.Compare(logits[b], logits[a]) })
	for i, w := range want {
		require.Equal(t, int(w[0]), classes[i], "rank %d", i)
		require.InEpsilon(t, w[1], logits[classes[i]], 1e-3, "rank %d", i)
	}
}

// TestFloatAgreesWithGolden compares the logits of every fourth photograph with
// those of another framework, which decoded the files itself.
func TestFloatAgreesWithGolden(t *testing.T) {
	testneed.Long(t, "classifies 125 photographs")
	const classes, step = 1000, 4
	shape, golden, err := npy.Read(testneed.Sample(t, "logits_fp32.npy"))
	require.NoError(t, err)
	photographs, err := filepath.Glob(filepath.Join(testneed.Sample(t, "images"), "*"))
	require.NoError(t, err)
	require.Equal(t, []int{len(photographs), classes}, shape)

	g := resNet50(t).Logits()
	first, err := NewExecutor(g, 1)
	require.NoError(t, err)
	executors := []*Executor{first, first.Clone()}
	logits := make([][]float32, len(photographs)/step)
	err = dataset.Each(t.Context(), len(executors), len(logits), nil, func(worker, i int) error {
		rgb, err := g.Preprocess.File(photographs[i*step])
		if err != nil {
			return err
		}
		got, err := executors[worker].RunImage(rgb, nil)
		logits[i] = slices.Clone(got)
		return err
	})
	require.NoError(t, err)
	agree, sqnr := 0, 0.0
	for i, got := range logits {
		want := golden[i*step*classes:][:classes]
		signal, noise := 0.0, 0.0
		for c, v := range want {
			signal, noise = signal+float64(v)*float64(v), noise+math.Pow(float64(got[c]-v), 2)
		}
		sqnr += 10 * math.Log10(signal/noise) / float64(len(logits))
		if slices.Index(got, slices.Max(got)) == slices.Index(want, slices.Max(want)) {
			agree++
		}
	}
	t.Logf("%d of %d agree, mean SQNR %.1f dB", agree, len(logits), sqnr)
	require.GreaterOrEqual(t, 100*agree, 99*len(logits))
	require.Greater(t, sqnr, 35.0)
}

func BenchmarkResNet50(b *testing.B) {
	folded, err := resNet50(b).Fold()
	require.NoError(b, err)
	image := make([]float32, folded.Input().Elements())
	for i := range image {
		image[i] = float32(i%255) - 128
	}
	for _, threads := range []int{1, 2} {
		e, err := NewExecutor(folded, threads)
		require.NoError(b, err)
		b.Run(strconv.Itoa(threads)+" threads", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Run(image, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
