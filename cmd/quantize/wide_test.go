package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// graphBuilder makes random residual networks in float.
type graphBuilder struct {
	*rand.Rand
	*models.Graph
}

func (b *graphBuilder) add(op models.Op, inputs ...string) string {
	name := fmt.Sprintf("%s%d", op.Kind(), len(b.Nodes))
	b.Nodes = append(b.Nodes, models.Node{Name: name, Inputs: inputs, Op: op})
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

func randomGraph(seed uint64) *models.Graph {
	const side, classes = 20, 7
	b := &graphBuilder{rand.New(rand.NewPCG(seed, 11)), &models.Graph{Name: "random", InputName: "image", Input: tensor.Shape{H: side, W: side, C: 3}}}
	b.Preprocess, b.Classes = preprocess.Torchvision(), labels.ImageNet()[:classes]
	b.Preprocess.Resize, b.Preprocess.Crop = side, side
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
	return b.Graph
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
		g := randomGraph(seed)
		stats, err := calibrate.Observe(context.Background(), g, pictures, calibrate.ObserveOptions{Threads: 2})
		require.NoError(t, err)
		table := stats.Table(calibrate.ClipMSE)
		narrow, err := calibrate.Quantize(g, table)
		require.NoError(t, err)
		rng := rand.New(rand.NewPCG(seed, 13))
		for _, l := range narrow.Layers {
			if _, conv := l.Op.(*int8.Conv); conv && rng.IntN(3) > 0 {
				table.Wide = append(table.Wide, l.Name)
			}
		}
		wide, err := calibrate.Quantize(g, table)
		if overflow := (*calibrate.OverflowError)(nil); errors.As(err, &overflow) {
			require.Greater(t, planeBefore(narrow, overflow.Layer), 64, "int16 holds the sums of 64 pixels in half steps")
			table.Wide = slices.DeleteFunc(table.Wide, func(name string) bool { return name == overflow.Layer })
			wide, err = calibrate.Quantize(g, table)
		}
		require.NoError(t, err, "seed %d: %q", seed, table.Wide)
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
func planeBefore(n *int8.Network, name string) int {
	for i := range n.Layers {
		l := &n.Layers[i]
		if _, pool := l.Op.(*int8.AveragePool); pool && l.Inputs[0] == name {
			name = l.Name
		}
		if _, sum := l.Op.(int8.GlobalAveragePool); sum && l.Inputs[0] == name {
			in := layer(n, name).Out.Shape
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
	executor, err := calibrate.NewExecutor(g, 1)
	require.NoError(t, err)
	var rgbs [][]uint8
	for i := range pictures.n {
		rgb, err := pictures.Load(100 + i)
		require.NoError(t, err)
		rgbs = append(rgbs, rgb)
	}
	logits := int8Logits(t, n, rgbs)
	noise, input := 0.0, make([]float32, 3*pictures.pixels)
	for i, rgb := range rgbs {
		g.Preprocess.Float(input, rgb)
		exact, err := executor.Run(input, nil)
		require.NoError(t, err)
		for c, v := range exact {
			noise += math.Pow(float64(v)-float64(logits[i][c]), 2)
		}
	}
	return 10 * math.Log10(noise)
}

// int8Logits are the real logits of the integer runtime.
func int8Logits(t *testing.T, n *int8.Network, pictures [][]uint8) [][]float32 {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 2})
	require.NoError(t, err)
	session := plan.NewSession()
	defer session.Close()
	out := make([][]float32, len(pictures))
	for i, rgb := range pictures {
		logits, err := session.Run(rgb)
		require.NoError(t, err)
		out[i] = make([]float32, len(logits))
		n.Logits().Scaled(out[i], logits)
	}
	return out
}
