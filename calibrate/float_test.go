package calibrate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// graphs are small networks that together have every operation, in every
// variety of geometry.
func graphs(rng *rand.Rand) map[string]*models.Graph {
	window := func(kh, kw, sh, sw, top, left, bottom, right int) tensor.Window {
		return tensor.Window{KH: kh, KW: kw, StrideH: sh, StrideW: sw, Top: top, Left: left, Bottom: bottom, Right: right}
	}
	all := map[string]*models.Graph{
		"pointwise":             chain(tensor.Shape{H: 9, W: 7, C: 5}, conv2d(rng, tensor.Square(1, 1, 0), 1, 5, 70)),
		"pointwise stride":      chain(tensor.Shape{H: 9, W: 7, C: 5}, conv2d(rng, tensor.Square(1, 2, 0), 1, 5, 7)),
		"pointwise groups":      chain(tensor.Shape{H: 9, W: 7, C: 6}, conv2d(rng, tensor.Square(1, 1, 0), 2, 6, 8)),
		"3x3":                   chain(tensor.Shape{H: 12, W: 11, C: 8}, conv2d(rng, tensor.Square(3, 1, 1), 1, 8, 40)),
		"7x7 stride":            chain(tensor.Shape{H: 21, W: 23, C: 3}, conv2d(rng, tensor.Square(7, 2, 3), 1, 3, 16)),
		"asymmetric":            chain(tensor.Shape{H: 10, W: 13, C: 3}, conv2d(rng, window(3, 5, 2, 3, 0, 4, 2, 1), 1, 3, 4)),
		"kernel over the image": chain(tensor.Shape{H: 2, W: 1, C: 4}, conv2d(rng, window(4, 3, 1, 1, 3, 2, 3, 2), 1, 4, 3)),
		"more than one block":   chain(tensor.Shape{H: 24, W: 24, C: 96}, conv2d(rng, tensor.Square(3, 1, 1), 1, 96, 33)),
		"groups":                chain(tensor.Shape{H: 8, W: 9, C: 6}, conv2d(rng, tensor.Square(3, 2, 1), 3, 6, 9)),
		"depthwise":             chain(tensor.Shape{H: 8, W: 9, C: 6}, conv2d(rng, window(3, 3, 2, 1, 0, 1, 1, 1), 6, 6, 6)),
		"depthwise multiplier":  chain(tensor.Shape{H: 8, W: 9, C: 6}, conv2d(rng, tensor.Square(3, 1, 1), 6, 6, 12)),
		"maxpool":               chain(tensor.Shape{H: 8, W: 9, C: 6}, &models.MaxPool{Window: window(3, 2, 2, 1, 1, 0, 0, 1)}),
		"avgpool":               chain(tensor.Shape{H: 8, W: 9, C: 6}, &models.AveragePool{Window: window(3, 2, 2, 1, 1, 0, 0, 1)}),
		"avgpool count pad":     chain(tensor.Shape{H: 8, W: 9, C: 6}, &models.AveragePool{Window: tensor.Square(3, 2, 1), CountPad: true}),
		"batchnorm":             chain(tensor.Shape{H: 5, W: 4, C: 6}, batchNormOf(rng, 6)),
		"relu":                  chain(tensor.Shape{H: 50, W: 40, C: 6}, models.ReLU{}),
		"global pool":           chain(tensor.Shape{H: 5, W: 4, C: 6}, models.GlobalAveragePool{}),
		"dense": chain(tensor.Shape{H: 2, W: 3, C: 5}, &models.Dense{
			In: 30, Out: 11, Weight: normal(rng, 330), Bias: normal(rng, 11)}),
		"dense without bias": chain(tensor.Shape{H: 1, W: 1, C: 5}, &models.Dense{In: 5, Out: 70, Weight: normal(rng, 350)}),
		"softmax":            chain(tensor.Shape{H: 1, W: 1, C: 50}, models.Softmax{}),
		"residual":           residual(rng),
		"fusible":            fusible(rng),
	}
	return all
}

// chain is a network of ops one after another.
func chain(input tensor.Shape, ops ...models.Op) *models.Graph {
	g := &models.Graph{Name: "chain", InputName: "image", Input: input}
	last := g.InputName
	for i, op := range ops {
		name := fmt.Sprintf("%s%d", op.Kind(), i)
		g.Nodes = append(g.Nodes, models.Node{Name: name, Inputs: []string{last}, Op: op})
		last = name
	}
	return g
}

// residual is a small classifier with branches, in which tensors outlive their
// next node and one is added to itself.
func residual(rng *rand.Rand) *models.Graph {
	return &models.Graph{Name: "residual", InputName: "image", Input: tensor.Shape{H: 16, W: 15, C: 3}, Nodes: []models.Node{
		{Name: "stem", Inputs: []string{"image"}, Op: conv2d(rng, tensor.Square(3, 2, 1), 1, 3, 16)},
		{Name: "stem_bn", Inputs: []string{"stem"}, Op: batchNormOf(rng, 16)},
		{Name: "stem_relu", Inputs: []string{"stem_bn"}, Op: models.ReLU{}},
		{Name: "a", Inputs: []string{"stem_relu"}, Op: conv2d(rng, tensor.Square(1, 1, 0), 1, 16, 8)},
		{Name: "side", Inputs: []string{"stem_relu"}, Op: conv2d(rng, tensor.Square(1, 1, 0), 1, 16, 24)},
		{Name: "a_bn", Inputs: []string{"a"}, Op: batchNormOf(rng, 8)},
		{Name: "b", Inputs: []string{"a_bn"}, Op: conv2d(rng, tensor.Square(3, 1, 1), 2, 8, 24)},
		{Name: "b_bn", Inputs: []string{"b"}, Op: batchNormOf(rng, 24)},
		{Name: "side_bn", Inputs: []string{"side"}, Op: batchNormOf(rng, 24)},
		{Name: "sum", Inputs: []string{"b_bn", "side_bn"}, Op: models.Add{}},
		{Name: "unused", Inputs: []string{"stem_relu"}, Op: models.ReLU{}},
		{Name: "sum_relu", Inputs: []string{"sum"}, Op: models.ReLU{}},
		{Name: "c", Inputs: []string{"sum_relu"}, Op: conv2d(rng, tensor.Square(3, 1, 1), 24, 24, 24)},
		{Name: "c_bn", Inputs: []string{"c"}, Op: batchNormOf(rng, 24)},
		{Name: "late", Inputs: []string{"sum_relu", "c_bn"}, Op: models.Add{}},
		{Name: "twice", Inputs: []string{"late", "late"}, Op: models.Add{}},
		{Name: "pool", Inputs: []string{"twice"}, Op: models.GlobalAveragePool{}},
		{Name: "fc", Inputs: []string{"pool"}, Op: &models.Dense{In: 24, Out: 10, Weight: normal(rng, 240), Bias: normal(rng, 10)}},
		{Name: "probabilities", Inputs: []string{"fc"}, Op: models.Softmax{}},
	}}
}

// fusible is a network of what is fused, and of what must not be: a residual
// that is the convolution's own input, a depthwise convolution.
func fusible(rng *rand.Rand) *models.Graph {
	return &models.Graph{Name: "fusible", InputName: "image", Input: tensor.Shape{H: 17, W: 30, C: 3}, Nodes: []models.Node{
		{Name: "stem_conv", Inputs: []string{"image"}, Op: conv2d(rng, tensor.Square(7, 2, 3), 1, 3, 40)},
		{Name: "stem", Inputs: []string{"stem_conv"}, Op: models.ReLU{}},
		{Name: "side", Inputs: []string{"stem"}, Op: conv2d(rng, tensor.Square(1, 1, 0), 1, 40, 70)},
		{Name: "b_conv", Inputs: []string{"stem"}, Op: conv2d(rng, tensor.Square(3, 1, 1), 2, 40, 24)},
		{Name: "b", Inputs: []string{"b_conv"}, Op: models.ReLU{}},
		{Name: "c", Inputs: []string{"b"}, Op: conv2d(rng, tensor.Square(1, 1, 0), 1, 24, 70)},
		{Name: "c+side", Inputs: []string{"c", "side"}, Op: models.Add{}},
		{Name: "sum", Inputs: []string{"c+side"}, Op: models.ReLU{}},
		{Name: "d", Inputs: []string{"sum"}, Op: conv2d(rng, tensor.Square(3, 1, 1), 1, 70, 70)},
		{Name: "own", Inputs: []string{"d", "sum"}, Op: models.Add{}},
		{Name: "depthwise", Inputs: []string{"own"}, Op: conv2d(rng, tensor.Square(3, 1, 1), 70, 70, 70)},
		{Name: "rectified", Inputs: []string{"depthwise"}, Op: models.ReLU{}},
		{Name: "dense", Inputs: []string{"rectified"}, Op: &models.Dense{In: 9 * 15 * 70, Out: 10, Weight: normal(rng, 9*15*70*10)}},
		{Name: "fc", Inputs: []string{"dense"}, Op: models.ReLU{}},
	}}
}

// conv2d scales its weights to keep the variance of activations.
func conv2d(rng *rand.Rand, w tensor.Window, groups, inC, outC int) *models.Conv {
	c := &models.Conv{Window: w, Groups: groups, InC: inC, OutC: outC, Bias: normal(rng, outC)}
	fanIn := w.KH * w.KW * inC / groups
	c.Weight = normal(rng, outC*fanIn)
	for i := range c.Weight {
		c.Weight[i] /= float32(math.Sqrt(float64(fanIn)))
	}
	return c
}

func batchNormOf(rng *rand.Rand, channels int) *models.BatchNorm {
	b := &models.BatchNorm{Gamma: normal(rng, channels), Beta: normal(rng, channels), Mean: normal(rng, channels),
		Variance: normal(rng, channels), Epsilon: 1e-3}
	for i, v := range b.Variance {
		b.Variance[i] = 0.5 + v*v
	}
	return b
}

func normal(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// showingAll is an executor that shows every node's output.
func showingAll(t *testing.T, g *models.Graph, threads int) *Executor {
	t.Helper()
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Name)
	}
	e, err := NewExecutor(g, threads, names...)
	require.NoError(t, err)
	return e
}

// run returns all outputs that e shows.
func run(t *testing.T, e *Executor, image []float32) map[string][]float32 {
	t.Helper()
	outputs := map[string][]float32{}
	last, err := e.Run(image, func(name string, shape tensor.Shape, values []float32) {
		require.Len(t, values, shape.Elements(), name)
		outputs[name] = slices.Clone(values)
	})
	require.NoError(t, err)
	outputs[e.plan.steps[len(e.plan.steps)-1].name] = last
	return outputs
}

func requireClose(t *testing.T, want []float64, got []float32, relative float64, what string) {
	t.Helper()
	require.Len(t, got, len(want), what)
	scale := 0.0
	for _, v := range want {
		scale = max(scale, math.Abs(v))
	}
	for i := range want {
		require.InDelta(t, want[i], got[i], relative*scale, "%s: value %d", what, i)
	}
}

func TestExecutorMatchesReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for name, g := range graphs(rng) {
		t.Run(name, func(t *testing.T) {
			image := normal(rng, g.Input.Elements())
			got := run(t, showingAll(t, g, 1), image)
			for node, want := range reference(t, g, image) {
				requireClose(t, want, got[node], 1e-5, node)
			}
		})
	}
}

func TestSameBitsForAnyNumberOfThreads(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for name, g := range graphs(rng) {
		t.Run(name, func(t *testing.T) {
			image := normal(rng, g.Input.Elements())
			want := run(t, showingAll(t, g, 1), image)
			for _, threads := range []int{2, 3, 7} {
				require.Equal(t, want, run(t, showingAll(t, g, threads), image), "%d threads", threads)
			}
		})
	}
}

// TestSameBitsWhateverIsShown runs every graph with all of its nodes shown, so
// that none are fused, with none, and with any one.
func TestSameBitsWhateverIsShown(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, g := range graphs(rng) {
		t.Run(name, func(t *testing.T) {
			image := normal(rng, g.Input.Elements())
			want := run(t, showingAll(t, g, 1), image)
			last := g.Nodes[len(g.Nodes)-1].Name
			for i := -1; i < len(g.Nodes); i++ {
				expected := map[string][]float32{last: want[last]}
				var shown []string
				if i >= 0 {
					shown = append(shown, g.Nodes[i].Name)
					expected[shown[0]] = want[shown[0]]
				}
				for _, threads := range []int{1, 2} {
					e, err := NewExecutor(g, threads, shown...)
					require.NoError(t, err)
					requireSame(t, expected, run(t, e, image))
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
		"nothing shown":  {nil, []string{"stem", "side", "b", "sum", "own", "depthwise", "rectified", "fc"}},
		"a sum is shown": {[]string{"c+side"}, []string{"stem", "side", "b", "c+side", "sum", "own", "depthwise", "rectified", "fc"}},
		"a convolution is shown": {[]string{"c"},
			[]string{"stem", "b", "c", "sum", "own", "depthwise", "rectified", "fc"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := NewExecutor(fusible(rng), 1, c.shown...)
			require.NoError(t, err)
			var steps []string
			for _, s := range e.plan.steps {
				steps = append(steps, s.name)
			}
			require.Equal(t, c.want, steps)
		})
	}
}

func TestRunsDoNotAffectEachOther(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	g := residual(rng)
	first, err := NewExecutor(g, 2, "sum", "late")
	require.NoError(t, err)
	images := make([][]float32, 8)
	want := make([]map[string][]float32, len(images))
	for i := range images {
		images[i] = normal(rng, g.Input.Elements())
		want[i] = run(t, first, images[i])
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
	g := chain(tensor.Shape{H: 1, W: 1, C: 2}, models.ReLU{}, models.Softmax{})
	e, err := NewExecutor(g, 1)
	require.NoError(t, err)
	image := []float32{-1, 0}
	got, err := e.Run(image, nil)
	require.NoError(t, err)
	require.Equal(t, []float32{0.5, 0.5}, got)
	require.Equal(t, []float32{-1, 0}, image)
}

func TestSoftmaxOfGreatLogits(t *testing.T) {
	e, err := NewExecutor(chain(tensor.Shape{H: 1, W: 1, C: 3}, models.Softmax{}), 1)
	require.NoError(t, err)
	got, err := e.Run([]float32{1e30, 1e30, -1e30}, nil)
	require.NoError(t, err)
	require.Equal(t, []float32{0.5, 0.5, 0}, got)
}

func TestBuffersAreReused(t *testing.T) {
	g := chain(tensor.Shape{H: 32, W: 32, C: 4})
	for range 20 {
		c := conv2d(rand.New(rand.NewPCG(4, 4)), tensor.Square(3, 1, 1), 1, 4, 4)
		g = chain(g.Input, append(ops(g), c, models.ReLU{})...)
	}
	p, err := compile(g, nil)
	require.NoError(t, err)
	require.Equal(t, []int{g.Input.Elements(), g.Input.Elements()}, p.buffers)
}

func ops(g *models.Graph) []models.Op {
	var ops []models.Op
	for _, n := range g.Nodes {
		ops = append(ops, n.Op)
	}
	return ops
}

func TestRunHardlyAllocates(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	g := residual(rng)
	e, err := NewExecutor(g, 1)
	require.NoError(t, err)
	image := normal(rng, g.Input.Elements())
	allocations := testing.AllocsPerRun(10, func() { _, err = e.Run(image, nil) })
	require.NoError(t, err)
	require.LessOrEqual(t, allocations, 8.0)
}

type foreign struct{ models.ReLU }

func TestExecutorErrors(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	shape := tensor.Shape{H: 2, W: 2, C: 3}
	_, err := NewExecutor(chain(shape, models.ReLU{}), 0)
	require.ErrorContains(t, err, "0 threads")
	_, err = NewExecutor(chain(shape, conv2d(rng, tensor.Square(5, 1, 0), 1, 3, 3)), 1)
	require.ErrorContains(t, err, `node "conv0"`)
	_, err = NewExecutor(chain(shape, foreign{}), 1)
	require.ErrorContains(t, err, "does not know calibrate.foreign")
	_, err = NewExecutor(chain(shape, models.ReLU{}), 1, "relu0", "relu1")
	require.ErrorContains(t, err, `no node "relu1"`)
	broken := batchNormOf(rng, 3)
	broken.Variance[1] = -1
	_, err = NewExecutor(chain(shape, broken), 1)
	require.ErrorContains(t, err, `node "batchnorm0" (batchnorm): channel 1`)

	e, err := NewExecutor(chain(shape, models.ReLU{}), 1)
	require.NoError(t, err)
	_, err = e.Run(make([]float32, 11), nil)
	require.ErrorContains(t, err, "11 values, the network takes 2x2x3, that is 12")
}
