package fp32

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// graphs are small networks that together have every operation, in every
// variety of geometry.
func graphs(t *testing.T, rng *rand.Rand) map[string]*models.Graph {
	window := func(kh, kw, sh, sw, top, left, bottom, right int) tensor.Window {
		return tensor.Window{KH: kh, KW: kw, StrideH: sh, StrideW: sw, Top: top, Left: left, Bottom: bottom, Right: right}
	}
	all := map[string]*models.Graph{
		"pointwise":             graphtest.Chain(t, tensor.Shape{H: 9, W: 7, C: 5}, graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 5, 70)),
		"pointwise stride":      graphtest.Chain(t, tensor.Shape{H: 9, W: 7, C: 5}, graphtest.Conv(rng, tensor.Square(1, 2, 0), 1, 5, 7)),
		"pointwise groups":      graphtest.Chain(t, tensor.Shape{H: 9, W: 7, C: 6}, graphtest.Conv(rng, tensor.Square(1, 1, 0), 2, 6, 8)),
		"3x3":                   graphtest.Chain(t, tensor.Shape{H: 12, W: 11, C: 8}, graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 8, 40)),
		"7x7 stride":            graphtest.Chain(t, tensor.Shape{H: 21, W: 23, C: 3}, graphtest.Conv(rng, tensor.Square(7, 2, 3), 1, 3, 16)),
		"asymmetric":            graphtest.Chain(t, tensor.Shape{H: 10, W: 13, C: 3}, graphtest.Conv(rng, window(3, 5, 2, 3, 0, 4, 2, 1), 1, 3, 4)),
		"kernel over the image": graphtest.Chain(t, tensor.Shape{H: 2, W: 1, C: 4}, graphtest.Conv(rng, window(4, 3, 1, 1, 3, 2, 3, 2), 1, 4, 3)),
		"more than one block":   graphtest.Chain(t, tensor.Shape{H: 24, W: 24, C: 96}, graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 96, 33)),
		"groups":                graphtest.Chain(t, tensor.Shape{H: 8, W: 9, C: 6}, graphtest.Conv(rng, tensor.Square(3, 2, 1), 3, 6, 9)),
		"depthwise":             graphtest.Chain(t, tensor.Shape{H: 8, W: 9, C: 6}, graphtest.Conv(rng, window(3, 3, 2, 1, 0, 1, 1, 1), 6, 6, 6)),
		"depthwise multiplier":  graphtest.Chain(t, tensor.Shape{H: 8, W: 9, C: 6}, graphtest.Conv(rng, tensor.Square(3, 1, 1), 6, 6, 12)),
		"maxpool":               graphtest.Chain(t, tensor.Shape{H: 8, W: 9, C: 6}, &models.MaxPool{Window: window(3, 2, 2, 1, 1, 0, 0, 1)}),
		"avgpool":               graphtest.Chain(t, tensor.Shape{H: 8, W: 9, C: 6}, &models.AveragePool{Window: window(3, 2, 2, 1, 1, 0, 0, 1)}),
		"avgpool count pad":     graphtest.Chain(t, tensor.Shape{H: 8, W: 9, C: 6}, &models.AveragePool{Window: tensor.Square(3, 2, 1), CountPad: true}),
		"batchnorm":             graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6}, graphtest.BatchNorm(rng, 6)),
		"relu":                  graphtest.Chain(t, tensor.Shape{H: 50, W: 40, C: 6}, models.ReLU{}),
		"global pool":           graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6}, models.GlobalAveragePool{}),
		"dense": graphtest.Chain(t, tensor.Shape{H: 2, W: 3, C: 5}, &models.Dense{
			In: 30, Out: 11, Weight: graphtest.Normal(rng, 330), Bias: graphtest.Normal(rng, 11)}),
		"dense without bias": graphtest.Chain(t, tensor.Shape{H: 1, W: 1, C: 5}, &models.Dense{In: 5, Out: 70, Weight: graphtest.Normal(rng, 350)}),
		"softmax":            graphtest.Chain(t, tensor.Shape{H: 1, W: 1, C: 50}, models.Softmax{}),
		"clip":               graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6}, models.Clip{Min: -0.5, Max: 1}),
		"slopes":             graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6}, prelu(6)),
		"pad":                graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6}, models.Pad{Top: 1, Left: 2, Bottom: 3}),
		"residual":           graphtest.Residual(t, rng),
		"dilated":            graphtest.Chain(t, tensor.Shape{H: 12, W: 14, C: 5}, graphtest.Conv(rng, dilated(tensor.Square(3, 1, 2), 2, 2), 1, 5, 9)),
		"dilated stride":     graphtest.Chain(t, tensor.Shape{H: 15, W: 14, C: 6}, graphtest.Conv(rng, dilated(window(3, 2, 2, 3, 3, 0, 1, 2), 2, 3), 3, 6, 9)),
		"dilated rows":       graphtest.Chain(t, tensor.Shape{H: 12, W: 14, C: 5}, graphtest.Conv(rng, dilated(tensor.Square(3, 1, 0), 3, 1), 1, 5, 9)),
		"dilated depthwise":  graphtest.Chain(t, tensor.Shape{H: 12, W: 14, C: 45}, graphtest.Conv(rng, dilated(tensor.Square(3, 1, 2), 2, 3), 45, 45, 45)),
		"depthwise of few":   graphtest.Chain(t, tensor.Shape{H: 3, W: 2, C: 3}, graphtest.Conv(rng, window(5, 4, 1, 3, 4, 3, 4, 3), 3, 3, 9)),
		"dilated pools": graphtest.Chain(t, tensor.Shape{H: 12, W: 14, C: 5}, &models.MaxPool{Window: dilated(tensor.Square(3, 1, 2), 2, 3)},
			&models.AveragePool{Window: dilated(tensor.Square(2, 2, 1), 2, 1)}),
		"branches": branches(t, rng),
		"winograd": winogradNetwork(t, rng),
		"fusible":  fusible(t, rng),
	}
	for i := range 20 {
		all[fmt.Sprint("random ", i)] = graphtest.Random(t, rng)
	}
	for _, op := range graphtest.Activations() {
		all[string(op.Function)] = graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6}, op)
		all["scaled "+string(op.Function)] = graphtest.Chain(t, tensor.Shape{H: 5, W: 4, C: 6},
			&models.ChannelActivation{Activation: op, In: []float32{1, 2, 0.25, 8, 0.5, 4}, Out: []float32{4, 1, 2, 0.5, 1, 1}})
	}
	return all
}

func prelu(channels int) *models.ChannelActivation {
	p := &models.ChannelActivation{Activation: models.Activation{Function: models.LeakyReLU}}
	for c := range channels {
		p.Slopes = append(p.Slopes, float32(c)/4-0.3)
	}
	return p
}

func dilated(w tensor.Window, h, wd int) tensor.Window {
	w.DilationH, w.DilationW = h, wd
	return w
}

// branches has squeeze-and-excitation, products, concats, and depthwise convolutions
// with limits and residuals behind them.
func branches(t *testing.T, rng *rand.Rand) *models.Graph {
	t.Helper()
	b := models.NewBuilder("image", tensor.Shape{H: 9, W: 8, C: 20})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("depthwise", graphtest.Conv(rng, tensor.Square(3, 1, 1), 20, 20, 20), "image")
	add("relu6", models.Clip{Max: 1}, "depthwise")
	add("again", graphtest.Conv(rng, tensor.Square(3, 1, 1), 20, 20, 20), "relu6")
	add("sum", models.Add{}, "again", "relu6")
	add("clip", models.Clip{Min: -1, Max: 0.5}, "sum")
	add("squeeze", models.GlobalAveragePool{}, "clip")
	add("reduce", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 20, 20), "squeeze")
	add("gate", models.Activation{Function: models.Sigmoid}, "reduce")
	add("scaled", models.Mul{}, "clip", "gate")
	add("product", models.Mul{}, "scaled", "relu6")
	add("concat", models.Concat{}, "product", "clip", "scaled", "product")
	add("conv", graphtest.Conv(rng, tensor.Square(1, 1, 0), 4, 80, 12), "concat")
	add("above", models.Clip{Min: 0.1, Max: 0.2}, "conv")
	return graphtest.Graph(t, b, "branches")
}

// winogradNetwork has 3x3 convolutions of many channels, for which pixels are shared out
// among threads and, in the last two, channels.
func winogradNetwork(t *testing.T, rng *rand.Rand) *models.Graph {
	t.Helper()
	b := models.NewBuilder("image", tensor.Shape{H: 8, W: 11, C: 32})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	wide := tensor.Window{KH: 3, KW: 3, StrideH: 1, StrideW: 1, Top: 2, Right: 2, Bottom: 1}
	add("a", graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 32, 40), "image")
	add("b", graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 40, 40), "a")
	add("sum", models.Add{}, "b", "a")
	add("clip", models.Clip{Min: -0.5, Max: 1}, "sum")
	add("c", graphtest.Conv(rng, wide, 1, 40, 136), "clip")
	unbiased := graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 136, 136)
	unbiased.Bias = nil
	add("d", unbiased, "c")
	add("d+c", models.Add{}, "d", "c")
	add("end", models.ReLU{}, "d+c")
	g := graphtest.Graph(t, b, "winograd")
	for _, n := range g.Nodes {
		if c, ok := n.Op.(*models.Conv); ok {
			require.True(t, suitsWinograd(c, n.Shape), n.Name)
		}
	}
	return g
}

// Sums of integers are exact, as simulations of integer networks need them.
func TestIntegersStayExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	conv := graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 64, 64)
	conv.Bias = nil
	for i := range conv.Weight {
		conv.Weight[i] = float32(rng.IntN(255) - 127)
	}
	g := graphtest.Chain(t, tensor.Shape{H: 9, W: 10, C: 64}, conv)
	image := make([]float32, g.Input().Elements())
	for i := range image {
		image[i] = float32(rng.IntN(256) - 128)
	}
	for node, want := range graphtest.Reference(t, g, image) {
		for i, v := range run(t, g, showingAll(t, g, 1), image)[node] {
			require.Equal(t, want[i], float64(v))
		}
	}
}

// fusible is a network of what is fused, and of what must not be: a residual
// that is the convolution's own input.
func fusible(t *testing.T, rng *rand.Rand) *models.Graph {
	t.Helper()
	b := models.NewBuilder("image", tensor.Shape{H: 17, W: 30, C: 3})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	add("stem_conv", graphtest.Conv(rng, tensor.Square(7, 2, 3), 1, 3, 40), "image")
	add("stem", models.ReLU{}, "stem_conv")
	add("side", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 40, 70), "stem")
	add("b_conv", graphtest.Conv(rng, tensor.Square(3, 1, 1), 2, 40, 24), "stem")
	add("b", models.ReLU{}, "b_conv")
	add("c", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 24, 70), "b")
	add("c+side", models.Add{}, "c", "side")
	add("sum", models.ReLU{}, "c+side")
	add("d", graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 70, 70), "sum")
	add("own", models.Add{}, "d", "sum")
	add("depthwise", graphtest.Conv(rng, tensor.Square(3, 1, 1), 70, 70, 70), "own")
	add("rectified", models.ReLU{}, "depthwise")
	add("dense", &models.Dense{In: 9 * 15 * 70, Out: 10, Weight: graphtest.Normal(rng, 9*15*70*10)}, "rectified")
	add("fc", models.ReLU{}, "dense")
	return graphtest.Graph(t, b, "fusible")
}

// showingAll is an executor that shows every node's output.
func showingAll(t *testing.T, g *models.Graph, threads int) *Executor {
	t.Helper()
	var all []tensor.ID
	for i := range g.Nodes {
		all = append(all, tensor.Output(i))
	}
	e, err := NewExecutor(g, threads, all...)
	require.NoError(t, err)
	return e
}

// run returns all outputs of g that e shows, in the order of its nodes.
func run(t *testing.T, g *models.Graph, e *Executor, image []float32) map[string][]float32 {
	t.Helper()
	outputs, before := map[string][]float32{}, tensor.Input
	last, err := e.Run(image, func(id tensor.ID, values []float32) error {
		name := g.Topology().Name(id)
		require.Len(t, values, g.Shape(id).Elements(), name)
		require.Greater(t, id, before, name)
		outputs[name], before = slices.Clone(values), id
		return nil
	})
	require.NoError(t, err)
	outputs[g.Topology().Name(g.Output())] = last
	return outputs
}

func TestExecutorMatchesReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for name, g := range graphs(t, rng) {
		t.Run(name, func(t *testing.T) {
			image := graphtest.Normal(rand.New(rand.NewPCG(1, 2)), g.Input().Elements()) // maps have no order
			got := run(t, g, showingAll(t, g, 1), image)
			for node, want := range graphtest.Reference(t, g, image) {
				graphtest.RequireClose(t, want, got[node], 1e-5, node)
			}
		})
	}
}

func TestSameBitsForAnyNumberOfThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for name, g := range graphs(t, rng) {
		t.Run(name, func(t *testing.T) {
			image := graphtest.Normal(rng, g.Input().Elements())
			want := run(t, g, showingAll(t, g, 1), image)
			for _, threads := range []int{2, 3, 7} {
				require.Equal(t, want, run(t, g, showingAll(t, g, threads), image), "%d threads", threads)
			}
		})
	}
}

// TestSameBitsWhateverIsShown runs every graph with all of its nodes shown, so
// that none are fused, with none, and with any one.
func TestSameBitsWhateverIsShown(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, g := range graphs(t, rng) {
		t.Run(name, func(t *testing.T) {
			image := graphtest.Normal(rng, g.Input().Elements())
			want := run(t, g, showingAll(t, g, 1), image)
			last := g.Nodes[len(g.Nodes)-1].Name
			for i := -1; i < len(g.Nodes); i++ {
				expected := map[string][]float32{last: want[last]}
				var shown []tensor.ID
				if i >= 0 {
					shown = append(shown, tensor.Output(i))
					expected[g.Nodes[i].Name] = want[g.Nodes[i].Name]
				}
				for _, threads := range []int{1, 2} {
					e, err := NewExecutor(g, threads, shown...)
					require.NoError(t, err)
					requireSame(t, expected, run(t, g, e, image))
				}
			}
		})
	}
}

// requireSame compares bits: zeros have signs.
func requireSame(t *testing.T, want, got map[string][]float32) {
	t.Helper()
	bits := func(values map[string][]float32) map[string][]uint32 {
		all := map[string][]uint32{}
		for name, v := range values {
			for _, f := range v {
				all[name] = append(all[name], math.Float32bits(f))
			}
		}
		return all
	}
	require.Equal(t, bits(want), bits(got))
}

func TestWhatIsFused(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for name, c := range map[string]struct {
		shown, want []string
	}{
		"nothing shown":  {nil, []string{"stem", "side", "b", "sum", "own", "rectified", "fc"}},
		"a sum is shown": {[]string{"c+side"}, []string{"stem", "side", "b", "c+side", "sum", "own", "rectified", "fc"}},
		"a convolution is shown": {[]string{"c"},
			[]string{"stem", "b", "c", "sum", "own", "rectified", "fc"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := fusible(t, rng)
			shown, err := g.Topology().IDs(c.shown)
			require.NoError(t, err)
			e, err := NewExecutor(g, 1, shown...)
			require.NoError(t, err)
			var steps []string
			for _, s := range e.plan.steps {
				steps = append(steps, g.Topology().Name(s.tensor))
			}
			require.Equal(t, c.want, steps)
		})
	}
}

func TestRunsDoNotAffectEachOther(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	g := graphtest.Residual(t, rng)
	first, err := NewExecutor(g, 2, graphtest.ID(t, g, "sum"), graphtest.ID(t, g, "late"))
	require.NoError(t, err)
	images := make([][]float32, 8)
	want := make([]map[string][]float32, len(images))
	for i := range images {
		images[i] = graphtest.Normal(rng, g.Input().Elements())
		want[i] = run(t, g, first, images[i])
	}
	var group sync.WaitGroup
	for i, image := range images {
		e := first.Clone()
		group.Go(func() {
			for range 3 {
				got, err := e.Run(image, nil)
				if err != nil || !slices.Equal(want[i]["probabilities"], got) {
					t.Errorf("clone %d: got %v, %v, want %v", i, got, err, want[i]["probabilities"])
				}
			}
		})
	}
	group.Wait()
}

func TestRunLeavesTheImage(t *testing.T) {
	g := graphtest.Chain(t, tensor.Shape{H: 1, W: 1, C: 2}, models.ReLU{}, models.Softmax{})
	e, err := NewExecutor(g, 1)
	require.NoError(t, err)
	image := []float32{-1, 0}
	got, err := e.Run(image, nil)
	require.NoError(t, err)
	require.Equal(t, []float32{0.5, 0.5}, got)
	require.Equal(t, []float32{-1, 0}, image)
}

func TestSoftmaxOfGreatLogits(t *testing.T) {
	e, err := NewExecutor(graphtest.Chain(t, tensor.Shape{H: 1, W: 1, C: 3}, models.Softmax{}), 1)
	require.NoError(t, err)
	got, err := e.Run([]float32{1e30, 1e30, -1e30}, nil)
	require.NoError(t, err)
	require.Equal(t, []float32{0.5, 0.5, 0}, got)
}

func TestBuffersAreReused(t *testing.T) {
	var ops []models.Op
	for range 20 {
		ops = append(ops, graphtest.Conv(rand.New(rand.NewPCG(4, 4)), tensor.Square(3, 1, 1), 1, 4, 4), models.ReLU{})
	}
	g := graphtest.Chain(t, tensor.Shape{H: 32, W: 32, C: 4}, ops...)
	p, err := compile(g, nil)
	require.NoError(t, err)
	require.Equal(t, 2*g.Input().Elements(), p.arena)
}

func TestRunHardlyAllocates(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	g := graphtest.Residual(t, rng)
	e, err := NewExecutor(g, 1)
	require.NoError(t, err)
	image := graphtest.Normal(rng, g.Input().Elements())
	allocations := testing.AllocsPerRun(10, func() { _, err = e.Run(image, nil) })
	require.NoError(t, err)
	require.LessOrEqual(t, allocations, 8.0)
}

type foreign struct{ models.ReLU }

func TestExecutorErrors(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	shape := tensor.Shape{H: 2, W: 2, C: 3}
	_, err := NewExecutor(graphtest.Chain(t, shape, models.ReLU{}), 0)
	require.ErrorContains(t, err, "0 threads")
	_, err = NewExecutor(graphtest.Chain(t, shape, foreign{}), 1)
	require.ErrorContains(t, err, "does not know fp32.foreign")
	_, err = NewExecutor(graphtest.Chain(t, shape, models.ReLU{}), 1, 1, 2)
	require.ErrorContains(t, err, "no node that makes tensor 2")
	broken := graphtest.BatchNorm(rng, 3)
	broken.Variance[1] = -1
	_, err = NewExecutor(graphtest.Chain(t, shape, broken), 1)
	require.ErrorContains(t, err, `node "batchnorm0" (batchnorm): channel 1`)

	e, err := NewExecutor(graphtest.Chain(t, shape, models.ReLU{}), 1)
	require.NoError(t, err)
	_, err = e.Run(make([]float32, 11), nil)
	require.ErrorContains(t, err, "11 values, the network takes 2x2x3, that is 12")
	_, err = e.RunImage(make([]uint8, 11), nil)
	require.ErrorContains(t, err, "a picture has 11 values, want 12")
}
