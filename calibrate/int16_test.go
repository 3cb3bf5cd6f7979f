package calibrate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/cores"
	"edgeclassify/internal/graphtest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// graphBuilder makes random residual networks in float.
type graphBuilder struct {
	*rand.Rand
	*models.Builder
	nodes int
}

func (b *graphBuilder) add(op models.Op, inputs ...string) string {
	name := fmt.Sprintf("%s%d", op.Kind(), b.nodes)
	b.nodes++
	_, _ = b.Add(name, op, inputs...) // an error is Graph's, too
	return name
}

func (b *graphBuilder) normal(n int, deviation float64) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(b.NormFloat64() * deviation)
	}
	return values
}

func (b *graphBuilder) conv(k, stride, groups, in, out int, from string) string {
	depth := k * k * in / groups
	return b.add(&models.Conv{
		Window: tensor.Square(k, stride, k/2), Groups: groups, InC: in, OutC: out,
		Weight: b.normal(out*depth, math.Sqrt(2/float64(depth))), Bias: b.normal(out, 0.3),
	}, from)
}

// block is a bottleneck with an identity or a projection beside it.
func (b *graphBuilder) block(in, out int, from string) string {
	width, stride, groups := 4+4*b.IntN(4), 1+b.IntN(2), 1+3*b.IntN(2)
	if in == out && b.IntN(2) == 0 {
		stride = 1
	}
	x := b.add(models.ReLU{}, b.conv(1, 1, 1, in, width, from))
	x = b.add(models.ReLU{}, b.conv(3, stride, groups, width, width, x))
	x = b.conv(1, 1, 1, width, out, x)
	if in != out || stride > 1 {
		from = b.conv(1, stride, 1, in, out, from)
	}
	x = b.add(models.Add{}, x, from)
	if b.IntN(3) > 0 {
		x = b.add(models.ReLU{}, x)
	}
	return x
}

func randomGraph(t *testing.T, seed uint64) *models.Graph {
	t.Helper()
	const side, classes = 20, 7
	b := &graphBuilder{Rand: rand.New(rand.NewPCG(seed, 11)), Builder: models.NewBuilder("image", tensor.Shape{H: side, W: side, C: 3})}
	spec := preprocess.Torchvision()
	spec.Resize, spec.Crop = preprocess.Short(side), preprocess.Square(side)
	channels := 8 + b.IntN(9)
	x := b.add(models.ReLU{}, b.conv(3+2*b.IntN(2), 2, 1, 3, channels, "image"))
	if b.IntN(2) == 0 {
		x = b.add(&models.MaxPool{Window: tensor.Square(3, 1, 1)}, x)
	}
	for range 1 + b.IntN(3) {
		out := channels
		if b.IntN(2) == 0 {
			out = 8 + b.IntN(17)
		}
		x, channels = b.block(channels, out, x), out
	}
	if b.IntN(2) == 0 {
		x = b.add(&models.AveragePool{Window: tensor.Square(2, 1, 1), CountPad: b.IntN(2) == 0}, x)
	}
	x = b.add(models.GlobalAveragePool{}, x)
	b.add(&models.Dense{In: channels, Out: classes, Weight: b.normal(channels*classes, 0.5), Bias: b.normal(classes, 0.2)}, x)
	g, err := b.Graph("random", spec, labels.ImageNet()[:classes])
	require.NoError(t, err)
	return g
}

// shades are pictures of random pixels around random colours.
type shades struct{ n, pixels int }

func (s shades) Len() int { return s.n }

func (s shades) Load(i int) ([]uint8, error) {
	rng := rand.New(rand.NewPCG(uint64(i), 12))
	base := [3]int{rng.IntN(192), rng.IntN(192), rng.IntN(192)}
	rgb := make([]uint8, 3*s.pixels)
	for k := range rgb {
		rgb[k] = uint8(base[k%3] + rng.IntN(64))
	}
	return rgb, nil
}

// With int16 outputs wherever, every kernel gives the reference's bits, and the
// logits come nearer to the float network's.
func TestRandomNetworksWithInt16Outputs(t *testing.T) {
	const networks, images = 24, 12
	pictures := shades{images, 20 * 20}
	var gains []float64
	for seed := range uint64(networks) {
		g := randomGraph(t, seed)
		table := seen(t, g, pictures).Table(quantize.ClipMSE)
		narrow := quantized(t, g, table)
		rng := rand.New(rand.NewPCG(seed, 13))
		for _, l := range narrow.Layers {
			if _, conv := l.Op.(*int8.Conv); conv && rng.IntN(3) > 0 {
				table.Int16 = append(table.Int16, l.Name)
			}
		}
		wide, err := quantize.Network(g, table)
		if overflow := (*quantize.OverflowError)(nil); errors.As(err, &overflow) {
			require.Greater(t, planeBefore(t, narrow, overflow.Layer), 64, "int16 holds the sums of 64 pixels in half steps")
			table.Int16 = slices.DeleteFunc(table.Int16, func(name string) bool { return name == overflow.Layer })
			wide, err = quantize.Network(g, table)
		}
		require.NoError(t, err, "seed %d: %q", seed, table.Int16)
		requireReferencesBits(t, wide, pictures)
		gains = append(gains, logitNoise(t, g, narrow, pictures)-logitNoise(t, g, wide, pictures))
	}
	slices.Sort(gains)
	t.Logf("gains in dB: %.1f", gains)
	require.Greater(t, gains[networks/2], 1.0)
	require.Greater(t, gains[0], -1.0, "a network with another random error of its weights alone")
}

// planeBefore is the number of pixels of a layer whose output is summed up, and
// 0 of others.
func planeBefore(t *testing.T, n *int8.Network, name string) int {
	t.Helper()
	id, err := n.Topology().ID(name)
	require.NoError(t, err)
	for i := range n.Layers {
		l := &n.Layers[i]
		if _, pool := l.Op.(*int8.AveragePool); pool && l.Inputs[0] == id {
			id = tensor.Output(i)
		}
		if _, sum := l.Op.(int8.GlobalAveragePool); sum && l.Inputs[0] == id {
			in := n.Tensor(id).Shape
			return in.H * in.W
		}
	}
	return 0
}

func requireReferencesBits(t *testing.T, n *int8.Network, pictures shades) {
	rgb, err := pictures.Load(pictures.n)
	require.NoError(t, err)
	want, err := n.Reference(rgb, nil)
	require.NoError(t, err)
	for _, kernel := range runtime.Kernels() {
		for _, threads := range []int{1, 3} {
			plan, err := runtime.Compile(n, runtime.Options{Threads: threads, Kernel: kernel.Name})
			require.NoError(t, err)
			session := plan.NewSession()
			got, err := session.Run(rgb)
			require.NoError(t, err)
			require.Equal(t, want, got, "kernel %s, %d threads", kernel.Name, threads)
			session.Close()
		}
	}
}

// logitNoise is the power of what quantization adds to the logits, in dB.
func logitNoise(t *testing.T, g *models.Graph, n *int8.Network, pictures shades) float64 {
	executor, err := fp32.NewExecutor(g, 1)
	require.NoError(t, err)
	var rgbs [][]uint8
	for i := range pictures.n {
		rgb, err := pictures.Load(100 + i)
		require.NoError(t, err)
		rgbs = append(rgbs, rgb)
	}
	logits, err := int8Logits(t.Context(), n, rgbs, 2)
	require.NoError(t, err)
	noise := 0.0
	for i, rgb := range rgbs {
		exact, err := executor.RunImage(rgb, nil)
		require.NoError(t, err)
		for c, v := range exact {
			noise += math.Pow(float64(v)-float64(logits[i][c]), 2)
		}
	}
	return 10 * math.Log10(noise)
}

// smallChoice is of a random network without int16 outputs.
func smallChoice(t *testing.T, seed uint64) (*models.Graph, *quantize.RangeTable, *int8.Network, dataset.Images) {
	t.Helper()
	g, pictures := randomGraph(t, seed), shades{24, 20 * 20}
	table := seen(t, g, pictures).Table(quantize.MinMax)
	return g, table, quantized(t, g, table), pictures
}

func int16Layers(n *int8.Network) (names []string) {
	for i := range n.Layers {
		if _, conv := n.Layers[i].Op.(*int8.Conv); conv && n.Layers[i].Out.Type == int8.Int16 {
			names = append(names, n.Layers[i].Name)
		}
	}
	return names
}

func TestChooseInt16StopsWhenFewEnoughAnswersChange(t *testing.T) {
	for threads, seed := range map[int]uint64{1: 0, 3: 29} {
		g, table, n, pictures := smallChoice(t, seed)
		none, err := ChooseInt16(t.Context(), g, table, pictures, Int16Options{Threads: 2, MaxDrop: 1})
		require.NoError(t, err)
		require.Len(t, none.Rounds, 1)
		require.Equal(t, n, none.Rounds[0].Network, "any drop is fine")
		require.Empty(t, none.Layers)
		require.Len(t, none.Logits, 24)
		rgb, err := pictures.Load(5)
		require.NoError(t, err)
		executor, err := fp32.NewExecutor(g, 1)
		require.NoError(t, err)
		exact, err := executor.RunImage(rgb, nil)
		require.NoError(t, err)
		require.Equal(t, exact, none.Logits[5])

		before := none.Rounds[0].Drop
		require.Positive(t, before)
		c, err := ChooseInt16(t.Context(), g, table, pictures, Int16Options{Threads: threads, MaxDrop: before * 0.8})
		require.NoError(t, err)
		last := c.Rounds[len(c.Rounds)-1]
		require.LessOrEqual(t, last.Drop, before*0.8)
		measured, err := ChooseInt16(t.Context(), g, c.Table, pictures, Int16Options{Threads: 2, MaxDrop: 1})
		require.NoError(t, err)
		require.Equal(t, last.Drop, measured.Rounds[0].Drop)
		chosen := int16Layers(last.Network)
		require.NotEmpty(t, chosen)
		require.Less(t, len(chosen), len(c.Sensitivities), "not all layers")
		require.ElementsMatch(t, chosen, c.Table.Int16)
		require.Empty(t, table.Int16)
		require.Equal(t, last.Network, quantized(t, g, c.Table))
		require.Len(t, c.Layers, len(chosen))
		total, all := 0.0, map[string]bool{}
		for i, l := range c.Layers {
			require.Equal(t, c.Table.Int16[i], l.Layer)
			id, err := n.Topology().ID(l.Layer)
			require.NoError(t, err)
			require.Equal(t, n.Tensor(id).Shape.Elements(), l.Bytes)
			all[l.Layer] = true
			total += l.Microseconds
		}
		require.InDelta(t, microseconds(n, all)-microseconds(n, nil), total, 1e-9)
	}
}

func TestChooseInt16OutOfReach(t *testing.T) {
	g, table, _, pictures := smallChoice(t, 19)
	c, err := ChooseInt16(t.Context(), g, table, pictures, Int16Options{Threads: 2, MaxDrop: 1e-11})
	require.NoError(t, err)
	last := c.Rounds[len(c.Rounds)-1]
	require.Greater(t, last.Drop, 1e-11)
	require.NotEmpty(t, c.Table.Int16)
	require.ElementsMatch(t, c.Table.Int16, int16Layers(last.Network))
}

func TestInt16LayersAreRankedByTheirNoise(t *testing.T) {
	rank := func(s ...diagnose.Sensitivity) []Int16Layer {
		c := int16Chooser{Int16Choice: Int16Choice{Rounds: []Int16Round{{Drop: 0.01}}}}
		c.rank(s)
		return c.Layers
	}
	got := rank(diagnose.Sensitivity{Layer: "a", Share: 0.19}, diagnose.Sensitivity{Layer: "b", Share: 0.36}, diagnose.Sensitivity{Layer: "c", Share: 0.09}, diagnose.Sensitivity{Layer: "d", Share: 0})
	require.Equal(t, "b", got[0].Layer)
	require.InDelta(t, 0.008, got[0].Drop, 1e-12)
	require.InDelta(t, 10*math.Log10(1/0.64), got[0].Gain, 1e-12)
	require.Len(t, got, 3, "d makes no noise")
	require.Equal(t, "c", got[2].Layer)
	require.InDelta(t, 0.006, got[2].Drop, 1e-12)
	got = rank(diagnose.Sensitivity{Layer: "a", Share: 0.7}, diagnose.Sensitivity{Layer: "b", Share: 0.8}, diagnose.Sensitivity{Layer: "c", Share: 0.6})
	require.Len(t, got, 2, "shares that overlap")
	require.InDelta(t, 20, got[1].Gain, 1e-9)
}

func TestInt16OutputsCountWhoReadsATensor(t *testing.T) {
	const side, channels = 10, 24
	rng, builder := rand.New(rand.NewPCG(20, 1)), models.NewBuilder("image", tensor.Shape{H: side, W: side, C: 3})
	for _, n := range []struct {
		name   string
		op     models.Op
		inputs []string
	}{
		{"a", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, 3, channels), []string{"image"}},
		{"max", &models.MaxPool{Window: tensor.Square(3, 1, 1)}, []string{"a"}},
		{"b", graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, channels, channels), []string{"max"}},
		{"c", graphtest.Conv(rng, tensor.Square(1, 1, 0), 1, channels, channels), []string{"max"}},
		{"sum", models.Add{}, []string{"c", "b"}},
		{"pool", models.GlobalAveragePool{}, []string{"sum"}},
		{"dense", graphtest.Dense(rng, channels, 2), []string{"pool"}},
	} {
		_, err := builder.Add(n.name, n.op, n.inputs...)
		require.NoError(t, err)
	}
	g := graphtest.ForImages(graphtest.Graph(t, builder, "readers"), preprocess.Torchvision())
	table := seen(t, g, shades{4, side * side}).Table(quantize.MinMax)
	n := quantized(t, g, table)
	s := []diagnose.Sensitivity{{Layer: "a", Share: 0.5}, {Layer: "b", Share: 0.1}, {Layer: "gone"}}
	got := Int16Outputs(n, s)
	require.Len(t, got, 2)
	core, conv := cores.CortexA76(), cores.ConvolutionsA76()
	const values = 2400.0
	once, twice := 1/conv.Int16-1/conv.Int8, 2/conv.Int16-1/conv.Int8
	a := values * (9*core.Byte + 3*conv.Output + (3*once + (9+1)*24*twice)) // the pool, all three convolutions, b and c with int16 inputs
	b := values * (2*conv.Output + (9+1)*24*once)                           // b itself, c which adds it
	require.InDelta(t, a*core.Caches/cyclesPerMicrosecond, got["a"].Microseconds, 1e-9)
	require.InDelta(t, b*core.Caches/cyclesPerMicrosecond, got["b"].Microseconds, 1e-9)
	require.InDelta(t, 3.0103, got["a"].Gain, 1e-4)
	require.Equal(t, 2400, got["a"].Bytes)
	require.False(t, got["a"].Chosen)

	table.Int16 = []string{"a"}
	then := Int16Outputs(quantized(t, g, table), s)
	want := got["a"]
	want.Chosen = true
	require.Equal(t, want, then["a"])
	require.Zero(t, then["b"].Microseconds, "its readers have int16 tensors already")
}
