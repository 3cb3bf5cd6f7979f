package runtime

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/tensor"
)

// ResNet50 takes the most where the third stage begins: the second one's output
// of 56x56x256, of which the projection makes 28x28x512 while the branch's 28x28x128
// wait.
func TestArenaOfResNet50(t *testing.T) {
	p, err := Compile(resNet50(t), Options{Threads: 4, Kernel: int8.Generic().Name})
	require.NoError(t, err)
	require.Equal(t, 56*56*256+28*28*512+28*28*128, p.ArenaBytes())
	require.Equal(t, p.ArenaBytes(), p.ArenaLowerBound())
}

func TestArenaOfRandomNetworksIsTheLowerBound(t *testing.T) {
	for seed := range uint64(200) {
		for _, n := range []*int8.Network{nettest.Random(seed), nettest.Int16(seed), nettest.Operations(seed), nettest.Channels(seed).Network, nettest.Taught(seed).Network} {
			p, err := Compile(n, Options{Threads: 1, Kernel: int8.Generic().Name})
			require.NoError(t, err)
			require.Equal(t, p.ArenaLowerBound(), p.ArenaBytes(), n.Name)
		}
	}
}

func TestImagesOfAnyShape(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, shape := range []tensor.Shape{{H: 13, W: 21, C: 1}, {H: 30, W: 9, C: 1}, {H: 9, W: 30, C: 3}} {
		b := newBuilder(shape, func() int8.Value { return int8.Value(random.IntN(255) - 127) })
		x := b.conv(tensor.Input, tensor.Square(3, 2, 1), 20)
		x = b.pool(&int8.MaxPool{Window: tensor.Square(3, 1, 1)}, x)
		y := b.conv(x, tensor.Square(1, 1, 0), 20, x)
		checkBits(t, b.network(t, shape.String(), y, 7), 1, 3)
	}
}

// A residual is not written over by a convolution that reads some of the same memory: a
// view of it, or what it was joined of.
func TestResidualsThatAreReadOtherwise(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 1))
	b := newBuilder(tensor.Shape{H: 9, W: 7, C: 3}, func() int8.Value { return int8.Value(random.IntN(255) - 127) })
	one, three := tensor.Square(1, 1, 0), tensor.Square(3, 1, 1)
	x := b.conv(tensor.Input, one, 80)
	view := b.layers[x.Node()].Out
	view.Shape.C = 40
	g := &int8.Gather{}
	for i := range int32(40) {
		g.Indices = append(g.Indices, 20+i)
	}
	x = b.conv(b.add(g, view, x), three, 80, x)
	x = b.conv(x, three, 40)
	y := b.conv(x, one, 40)
	both := b.layers[y.Node()].Out
	both.Shape.C = 80
	z := b.add(int8.Concat{}, both, x, y)
	z = b.conv(y, one, 80, z)
	z = b.conv(b.conv(z, one, 80), one, 80, z)
	n := b.network(t, "views", z, 7)
	checkBits(t, n, 1, 3)
}

// builder makes networks of given shapes.
type builder struct {
	input  int8.Tensor
	layers []int8.Layer
	weight func() int8.Value
}

func newBuilder(image tensor.Shape, weight func() int8.Value) *builder {
	return &builder{input: int8.Tensor{Shape: image, Type: int8.Int8, Zero: make([]int8.Value, image.C)}, weight: weight}
}

func (b *builder) shape(id tensor.ID) tensor.Shape {
	if id == tensor.Input {
		return b.input.Shape
	}
	return b.layers[id.Node()].Out.Shape
}

func (b *builder) add(op int8.Op, out int8.Tensor, inputs ...tensor.ID) tensor.ID {
	b.layers = append(b.layers, int8.Layer{Name: fmt.Sprint(len(b.layers), op.Kind()), Inputs: inputs, Op: op, Out: out})
	return tensor.Output(len(b.layers) - 1)
}

func (b *builder) weights(n int) []int8.Value {
	w := make([]int8.Value, n)
	if b.weight != nil {
		for i := range w {
			w[i] = b.weight()
		}
	}
	return w
}

// conv adds a convolution, and to its output the residual.
func (b *builder) conv(in tensor.ID, w tensor.Window, channels int, residual ...tensor.ID) tensor.ID {
	shape := b.shape(in)
	c := &int8.Conv{Window: w, Groups: 1, InC: shape.C, OutC: channels, Weight: b.weights(channels * w.KH * w.KW * shape.C),
		Bias: make([]int32, channels), Multiplier: make([]int32, channels), Scale: make([]float32, channels), Residual: int32(64 * len(residual))}
	for o := range channels {
		c.Multiplier[o], c.Scale[o] = 4<<20, 1
	}
	shape.H, shape.W, _ = w.Infer(shape.H, shape.W)
	shape.C = channels
	return b.add(c, int8.Tensor{Shape: shape, Type: int8.Int8, Scale: 1, Zero: []int8.Value{-128}}, append([]tensor.ID{in}, residual...)...)
}

func (b *builder) pool(p *int8.MaxPool, in tensor.ID) tensor.ID {
	out := b.layers[in.Node()].Out
	out.Shape.H, out.Shape.W, _ = p.Infer(out.Shape.H, out.Shape.W)
	return b.add(p, out, in)
}

// network ends in a classifier of the tensor.
func (b *builder) network(t *testing.T, name string, in tensor.ID, classes int) *int8.Network {
	from := b.layers[in.Node()].Out
	sums := b.add(int8.GlobalAveragePool{}, int8.Tensor{
		Shape: tensor.Shape{H: 1, W: 1, C: from.Shape.C}, Type: int8.Int16, Scale: 1, Bound: int32(from.SumBound())}, in)
	d := &int8.Dense{In: from.Shape.C, Out: classes, Weight: b.weights(from.Shape.C * classes), Bias: make([]int32, classes)}
	for range classes {
		d.Scale = append(d.Scale, 1)
	}
	b.add(d, int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: classes}, Type: int8.Int32}, sums)
	n, err := int8.NewNetwork(name, b.input, b.layers)
	require.NoError(t, err)
	return n
}

// resNet50 has the shapes of ResNet50 v1 and weights of zero.
func resNet50(t *testing.T) *int8.Network {
	b := newBuilder(tensor.Shape{H: 224, W: 224, C: 3}, nil)
	one, three := tensor.Square(1, 1, 0), tensor.Square(3, 1, 1)
	x := b.conv(tensor.Input, tensor.Square(7, 2, 3), 64)
	x = b.pool(&int8.MaxPool{Window: tensor.Square(3, 2, 1)}, x)
	for stage, blocks := range []int{3, 4, 6, 3} {
		width := 64 << stage
		for block := range blocks {
			first, residual := one, x
			if block == 0 && stage > 0 {
				first = tensor.Square(1, 2, 0)
			}
			y := b.conv(b.conv(x, first, width), three, width)
			if block == 0 {
				residual = b.conv(x, first, 4*width)
			}
			x = b.conv(y, one, 4*width, residual)
		}
	}
	return b.network(t, "ResNet50", x, 1000)
}
