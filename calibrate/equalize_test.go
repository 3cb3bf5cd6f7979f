package calibrate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// streamClassifier has an integer form, a residual stream and blocks.
func streamClassifier(rng *rand.Rand) (*models.Graph, noise) {
	const size, classes = 12, 10
	conv := func(k, in, out int) *models.Conv { return conv2d(rng, tensor.Square(k, 1, k/2), 1, in, out) }
	g := &models.Graph{Name: "stream classifier", InputName: "image", Input: tensor.Shape{H: size, W: size, C: 3},
		Preprocess: preprocess.Torchvision(), Classes: make([]labels.Class, classes), Nodes: []models.Node{
			{Name: "stem_conv", Inputs: []string{"image"}, Op: conv(3, 3, 16)},
			{Name: "stem", Inputs: []string{"stem_conv"}, Op: models.ReLU{}},
			{Name: "pool", Inputs: []string{"stem"}, Op: &models.MaxPool{Window: tensor.Square(2, 2, 0)}},
			{Name: "side", Inputs: []string{"pool"}, Op: conv(1, 16, 32)},
			{Name: "a_conv", Inputs: []string{"pool"}, Op: conv(3, 16, 24)},
			{Name: "a", Inputs: []string{"a_conv"}, Op: models.ReLU{}},
			{Name: "b", Inputs: []string{"a"}, Op: conv(1, 24, 32)},
			{Name: "sum", Inputs: []string{"b", "side"}, Op: models.Add{}},
			{Name: "first", Inputs: []string{"sum"}, Op: models.ReLU{}},
			{Name: "c_conv", Inputs: []string{"first"}, Op: conv(3, 32, 24)},
			{Name: "c", Inputs: []string{"c_conv"}, Op: models.ReLU{}},
			{Name: "d", Inputs: []string{"c"}, Op: conv(1, 24, 32)},
			{Name: "sum2", Inputs: []string{"d", "first"}, Op: models.Add{}},
			{Name: "second", Inputs: []string{"sum2"}, Op: models.ReLU{}},
			{Name: "average", Inputs: []string{"second"}, Op: models.GlobalAveragePool{}},
			{Name: "fc", Inputs: []string{"average"}, Op: &models.Dense{In: 32, Out: classes, Weight: normal(rng, 32*classes), Bias: normal(rng, classes)}},
		}}
	g.Preprocess.Crop = size
	return g, noise{n: 24, values: g.Input.Elements()}
}

func TestGroupsOfAResidualNetwork(t *testing.T) {
	g, _ := streamClassifier(rand.New(rand.NewPCG(1, 1)))
	groups, err := Groups(g)
	require.NoError(t, err)
	require.Equal(t, []Group{
		{"stem_conv", 16, []string{"stem_conv", "stem", "pool"}, []string{"stem_conv"}, []string{"side", "a_conv"}},
		{"side", 32, []string{"side", "b", "sum", "first", "d", "sum2", "second", "average"}, []string{"side", "b", "d"}, []string{"c_conv", "fc"}},
		{"a_conv", 24, []string{"a_conv", "a"}, []string{"a_conv"}, []string{"b"}},
		{"c_conv", 24, []string{"c_conv", "c"}, []string{"c_conv"}, []string{"d"}},
	}, groups)
}

func TestGroupsOfResNet50(t *testing.T) {
	g, err := Fold(resNet50(t))
	require.NoError(t, err)
	groups, err := Groups(g)
	require.NoError(t, err)
	streams := 0
	for _, group := range groups {
		if len(group.Producers) > 1 {
			streams++
			blocks := len(group.Producers) - 1 // and the projection
			require.Equal(t, []int{3, 4, 6, 3}[streams-1], blocks)
		}
	}
	require.Equal(t, 4, streams)
	require.Len(t, groups, 1+2*16+4) // the stem, two in each block, the streams
	require.NotContains(t, groups[len(groups)-1].Tensors, "fc1000")
}

// Where a factor cannot pass, nothing is scaled.
func TestGroupsLeaveOutWhatCannotBeScaled(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	shape := tensor.Shape{H: 4, W: 4, C: 3}
	conv := func() *models.Conv { return conv2d(rng, tensor.Square(1, 1, 0), 1, 3, 3) }
	for name, g := range map[string]*models.Graph{
		"image":      chain(shape, models.ReLU{}, conv()),
		"batch norm": chain(shape, conv(), models.ReLU{}, batchNormOf(rng, 3), conv()),
		"output":     chain(shape, conv(), models.ReLU{}),
		"softmax":    chain(shape, conv(), models.GlobalAveragePool{}, models.Softmax{}),
	} {
		groups, err := Groups(g)
		require.NoError(t, err)
		require.Empty(t, groups, name)
	}
}

// The function stays the same, bit for bit, in every kind of network.
func TestEqualizeIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	nets := graphs(rng)
	nets["classifier"], _ = classifier(rng)
	nets["stream classifier"], _ = streamClassifier(rng)
	scaled := 0
	for name, g := range nets {
		groups, err := Groups(g)
		require.NoError(t, err)
		scaled += len(groups)
		last := g.Nodes[len(g.Nodes)-1].Name
		image := normal(rng, g.Input.Elements())
		want := run(t, showingAll(t, g, 1), image)
		got := run(t, showingAll(t, corrupt(t, rng, g), 1), image)
		require.Equal(t, want[last], got[last], name)
		for _, group := range groups {
			for _, conv := range group.Producers {
				require.NotEqual(t, want[conv], got[conv], conv)
			}
		}
	}
	require.Greater(t, scaled, 10)
}

func TestEqualizeLeavesResNet50sLogits(t *testing.T) {
	checkpoint := readCheckpoint(t)
	g, err := Fold(resNet50(t))
	require.NoError(t, err)
	want := run(t, logitsOf(t, g), checkpoint.image)
	got := run(t, logitsOf(t, corrupt(t, rand.New(rand.NewPCG(4, 1)), g)), checkpoint.image)
	require.Equal(t, want, got)
}

func logitsOf(t *testing.T, g *models.Graph) *Executor {
	t.Helper()
	e, err := NewExecutor(g.Logits(), 2)
	require.NoError(t, err)
	return e
}

func TestEqualizeErrors(t *testing.T) {
	g, _ := streamClassifier(rand.New(rand.NewPCG(5, 1)))
	for want, exponents := range map[string]Exponents{
		`group "a_conv": 2 exponents, want 24`:           {"a_conv": make([]int, 2)},
		"1 of the 1 groups are none of this network":     {"a": make([]int, 24)},
		`group "a_conv": channel 0: the exponent 99`:     {"a_conv": append([]int{99}, make([]int, 23)...)},
		`group "a_conv": channel 0: the exponent -99999`: {"a_conv": append([]int{-99999}, make([]int, 23)...)},
	} {
		_, err := Equalize(g, exponents)
		require.ErrorContains(t, err, want)
	}
	g.Nodes[4].Op.(*models.Conv).Weight[0] = math.MaxFloat32
	_, err := Equalize(g, Exponents{"a_conv": append([]int{-1}, make([]int, 23)...)})
	require.ErrorContains(t, err, `node "a_conv": a weight or bias is NaN or beyond float32`)
}

func TestEqualizeLeavesItsInput(t *testing.T) {
	g, _ := streamClassifier(rand.New(rand.NewPCG(6, 1)))
	same, _ := streamClassifier(rand.New(rand.NewPCG(6, 1)))
	corrupt(t, rand.New(rand.NewPCG(7, 1)), g)
	require.Equal(t, same, g)
}

// Whatever the channels were multiplied by, equalized networks differ by one
// factor for each group, which quantization does not see.
func TestBalanceUndoesCorruption(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(8, 1)))
	corrupted := corrupt(t, rand.New(rand.NewPCG(9, 1)), g)
	for _, beta := range []float64{0, 0.25, 0.5, 1} {
		want := quantizedFrom(t, balanced(t, g, pictures, beta), pictures, MinMax)
		got := quantizedFrom(t, balanced(t, corrupted, pictures, beta), pictures, MinMax)
		for i, l := range want.Layers {
			if conv, ok := l.Op.(*int8.Conv); ok {
				require.Equal(t, conv.Weight, got.Layers[i].Op.(*int8.Conv).Weight, "beta %g: %s", beta, l.Name)
			}
		}
	}
}

func quantizedFrom(t *testing.T, g *models.Graph, pictures Images, m Method) *int8.Network {
	t.Helper()
	n, err := Quantize(g, seen(t, g, pictures, 2).Table(m))
	require.NoError(t, err)
	return n
}

func TestFullyBalancedActivationsReachEquallyFar(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(10, 1)))
	equalized := balanced(t, corrupt(t, rand.New(rand.NewPCG(11, 1)), g), pictures, 1)
	peaks := seen(t, equalized, pictures, 2).peaks
	require.Len(t, peaks, 6)
	for _, name := range []string{"stem", "a", "c"} {
		live := slices.DeleteFunc(slices.Clone(peaks[name]), func(p float64) bool { return p == 0 })
		require.NotEmpty(t, live)
		require.LessOrEqual(t, slices.Max(live)/slices.Min(live), 2.0, name)
	}
}

// A channel that is never active still has columns, one that nobody reads still
// has activations: neither may stand out.
func TestBalanceOfDeadChannels(t *testing.T) {
	live := []float64{1, 1, 1, 1}
	dead := func(c int, v float64) []float64 {
		d := slices.Clone(live)
		d[c] = v
		return d
	}
	for _, beta := range []float64{0, 0.5, 1} {
		require.Equal(t, Powers{0, 0, 0, 0}, exponentsOf(live, live, beta))
		require.Equal(t, -10+3, exponentsOf(dead(2, 0), dead(2, 1<<20), beta)[2], "never active, weights 2^10")
		require.Equal(t, 10-3, exponentsOf(dead(2, 1<<10), dead(2, 0), beta)[2], "never read, peak 2^10")
		require.Equal(t, Powers{0, 0, 0, 0}, exponentsOf(dead(2, 0), dead(2, 0), beta))
		require.Equal(t, make(Powers, 4), exponentsOf(make([]float64, 4), make([]float64, 4), beta))
	}
	require.Equal(t, reach, exponentsOf(dead(0, 1e300), live, 1)[0])
}

// Channels that stand out ruin the quantized network; equalized, it is as good
// as the one that nobody corrupted.
func TestEqualizationMendsQuantization(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(14, 1)))
	corrupted := corrupt(t, rand.New(rand.NewPCG(15, 1)), g)
	for _, m := range []Method{MinMax, ClipMSE} {
		loss := func(g *models.Graph) float64 {
			return meanLogitError(t, g, seen(t, g, pictures, 2).Table(m), pictures)
		}
		sound, ruined, mended := loss(g), loss(corrupted), loss(balanced(t, corrupted, pictures, 0.25))
		t.Logf("%s: squared mean error of the logits %.3g, corrupted %.3g, equalized %.3g", m, sound, ruined, mended)
		require.Greater(t, ruined, 20*sound, m)
		require.Less(t, mended, 5*sound, m)
	}
}
