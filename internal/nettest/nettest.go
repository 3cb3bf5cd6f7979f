// Package nettest makes small random int8 networks for tests: every one is
// valid, and together they reach the corners of the arithmetic contract.
package nettest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// maxMACs of one layer keep a network small enough for the plain reference.
const maxMACs = 400_000

// Random returns the network of that seed, always the same one. It takes
// pictures of 8 to 40 pixels and has 2 to 20 layers: convolutions (plain,
// grouped, depthwise; windows of 1x1 to 7x7, not always square; strides 1 to
// 3; padding on some sides only; shifts; residual inputs from an identity, a
// projection or any older tensor), pooling, global sum and classifier. Channel
// counts favour odd numbers; zero points, weights, biases and multipliers
// include the extremes that int8.NewNetwork allows.
func Random(seed uint64) *int8.Network {
	return randomModel(fmt.Sprintf("random-%d", seed), seed, false, false).Network
}

// Int16 is Random with about half of the convolutions' outputs in int16: with
// any bound, of both signs or not negative.
func Int16(seed uint64) *int8.Network {
	return randomModel(fmt.Sprintf("int16-%d", seed), seed, true, false).Network
}

// Model is Random, or Int16, with all that belongs to a model file.
func Model(seed uint64, withInt16 bool) *q8.Model {
	return randomModel(fmt.Sprintf("model-%d", seed), seed, withInt16, false)
}

// randomModel is valid, or this package is wrong.
func randomModel(name string, seed uint64, withInt16, operations bool) *q8.Model {
	b := builder{Rand: rand.New(rand.NewPCG(seed, 0)), withInt16: withInt16, operations: operations}
	return b.random(name)
}

func (b *builder) random(name string) *q8.Model {
	x := b.image()
	for range 1 + b.IntN(5) {
		x = b.block(x)
	}
	if b.operations && b.chance(2) {
		if b.chance(2) {
			x = b.mean(x)
		}
		b.dense(x)
		return b.model(name)
	}
	for x.SumBound() > math.MaxInt16 {
		x = b.layer(x, 2)
	}
	b.classifier(x)
	return b.model(name)
}

func (b *builder) model(name string) *q8.Model {
	n, err := int8.NewNetwork(name, b.input, b.layers)
	if err != nil {
		panic(err)
	}
	m, err := q8.New(n, b.spec, b.classes, labels.Softmax, b.provenance, nil)
	if err != nil {
		panic(err)
	}
	return m
}

// Image returns random RGB pixels for n: noise, flat extremes or a ramp.
func Image(n *int8.Network, seed uint64) []uint8 {
	rng := rand.New(rand.NewPCG(seed, 1))
	kind := rng.IntN(5)
	rgb := make([]uint8, n.Input.Shape.Elements())
	for i := range rgb {
		switch kind {
		case 0:
			rgb[i] = uint8(255 * rng.IntN(2))
		case 1:
			rgb[i] = uint8(i * 255 / len(rgb))
		default:
			rgb[i] = uint8(rng.Uint32())
		}
	}
	return rgb
}

// node is a tensor by number.
type node struct {
	id tensor.ID
	int8.Tensor
}

type builder struct {
	*rand.Rand
	withInt16  bool         // int16 activations, too
	operations bool         // see Operations
	splits     bool         // see Channels
	like       *int8.Tensor // what convolutions are to make; nil for anything

	input      int8.Tensor
	layers     []int8.Layer
	spec       preprocess.Spec
	classes    []labels.Class
	provenance q8.Provenance
	nodes      []node // the activations so far
}

// chance is true once in n times.
func (b *builder) chance(n int) bool { return b.IntN(n) == 0 }

func pick[T any](b *builder, from ...T) T { return from[b.IntN(len(from))] }

func (b *builder) scale() float32 { return float32(math.Exp(b.NormFloat64()*2 - 4)) }

// zero is a zero point: behind a ReLU, symmetric, at an end or anywhere.
func (b *builder) zero() int8.Value {
	return pick(b, -128, 0, 127, int8.Value(b.IntN(256)-128))
}

// weights draws the weights of one layer: anything, the two ends only, or
// mostly zeros.
func (b *builder) weights(n int) []int8.Value {
	kind := b.IntN(4)
	w := make([]int8.Value, n)
	for i := range w {
		switch {
		case kind == 0:
			w[i] = pick[int8.Value](b, -127, 127)
		case kind == 1 && n >= 64 && !b.chance(6): // stays 0; a short array might be all zero
		default:
			w[i] = int8.Value(b.IntN(255) - 127)
		}
	}
	return w
}

func (b *builder) image() node {
	spec := pick(b, preprocess.Caffe(), preprocess.Torchvision())
	spec.Crop = preprocess.Square(8 + b.IntN(33))
	spec.Resize = preprocess.Short(spec.Crop.H + b.IntN(8))
	if b.operations {
		b.proportions(&spec)
	}
	b.spec = spec
	b.input = int8.Tensor{
		Shape: spec.Input(),
		Type:  int8.Int8,
		Zero:  []int8.Value{b.zero(), b.zero(), b.zero()}[:spec.Channels()],
	}
	b.provenance = q8.Provenance{Tool: "nettest", Source: "nettest", Method: "random", Images: b.IntN(100), Seed: b.Uint64()}
	x := node{tensor.Input, b.input}
	b.nodes = append(b.nodes, x)
	return x
}

// add appends a layer.
func (b *builder) add(op int8.Op, out int8.Tensor, inputs ...tensor.ID) node {
	l := int8.Layer{Name: fmt.Sprintf("layer%d.%s", len(b.layers), op.Kind()), Inputs: inputs, Op: op, Out: out}
	b.layers = append(b.layers, l)
	x := node{tensor.Output(len(b.layers) - 1), out}
	if l.Activation() {
		b.nodes = append(b.nodes, x)
	}
	return x
}

// block appends one layer or a residual block: a branch of one or two
// convolutions and, for the residual, x itself or a projection of it.
func (b *builder) block(x node) node {
	if b.operations && b.chance(2) {
		return b.operation(x)
	}
	if !b.chance(2) || x.id == tensor.Input {
		return b.layer(x, 1)
	}
	branch := x
	if b.chance(2) {
		branch = b.conv(x, b.geometry(x.Shape, 1), anyOther)
	}
	last := b.geometry(branch.Shape, 1)
	if out, err := last.output(branch.Shape); err == nil && out != x.Shape {
		if projection, ok := last.match(x.Shape, out); ok {
			x = b.conv(x, projection, anyOther)
		}
	}
	return b.conv(branch, last, x.id)
}

// layer appends a convolution or a pooling with at least that stride. Pooling
// does not take the image: it has a zero point per channel.
func (b *builder) layer(x node, stride int) node {
	if x.id == tensor.Input || !b.chance(3) {
		return b.conv(x, b.geometry(x.Shape, stride), anyOther)
	}
	w := b.window(x.Shape, stride)
	for !inside(w, x.Shape) {
		w = b.window(x.Shape, stride)
	}
	out := x.Tensor
	out.Shape.H, out.Shape.W, _ = w.Infer(x.Shape.H, x.Shape.W)
	if b.chance(2) {
		return b.add(&int8.MaxPool{Window: w}, out, x.id)
	}
	return b.add(&int8.AveragePool{Window: w, CountPad: b.chance(2)}, out, x.id)
}

// geometry is the shape of a convolution.
type geometry struct {
	tensor.Window
	groups, inC, outC int
}

func (g geometry) depth() int { return g.KH * g.KW * g.inC / g.groups }

func (g geometry) output(in tensor.Shape) (tensor.Shape, error) {
	h, w, err := g.Infer(in.H, in.W)
	return tensor.Shape{H: h, W: w, C: g.outC}, err
}

// match is a 1x1 convolution between these shapes, where a stride gives it.
func (g geometry) match(in, out tensor.Shape) (geometry, bool) {
	for stride := 1; stride <= 3; stride++ {
		p := geometry{tensor.Square(1, stride, 0), 1, in.C, out.C}
		if got, err := p.output(in); err == nil && got == out {
			return p, true
		}
	}
	return geometry{}, false
}

// window draws windows until one fits.
func (b *builder) window(in tensor.Shape, stride int) tensor.Window {
	for {
		k := pick(b, [2]int{1, 1}, [2]int{1, 1}, [2]int{3, 3}, [2]int{3, 3}, [2]int{7, 7}, [2]int{2, 2}, [2]int{5, 3}, [2]int{1, 4})
		w := tensor.Window{KH: k[0], KW: k[1], StrideH: max(stride, pick(b, 1, 1, 1, 2, 3))}
		w.StrideW = w.StrideH
		if b.chance(6) {
			w.StrideW = max(stride, 1+b.IntN(3))
		}
		if b.operations {
			b.dilate(&w)
		}
		kh, kw := w.Reach()
		switch b.IntN(4) {
		case 0: // no padding
		case 1:
			w.Top, w.Bottom, w.Left, w.Right = b.IntN(kh), b.IntN(kh), b.IntN(kw), b.IntN(kw)
		default: // as many pixels out as in, at stride 1
			w.Top, w.Left = (kh-1)/2, (kw-1)/2
			w.Bottom, w.Right = kh-1-w.Top, kw-1-w.Left
		}
		if _, _, err := w.Infer(in.H, in.W); err == nil {
			return w
		}
	}
}

// geometry draws convolutions until one is small enough.
func (b *builder) geometry(in tensor.Shape, stride int) geometry {
	for {
		g := geometry{b.window(in, stride), 1, in.C, pick(b, in.C, in.C, 1, 3, 5, 7, 8, 9, 12, 16, 17, 20, 31, 33)}
		switch b.IntN(4) {
		case 0: // depthwise
			g.groups, g.outC = in.C, in.C*(1+b.IntN(2))
		case 1:
			if b.chance(2) {
				g.groups = divisor(b, in.C)
				g.outC = g.groups * (1 + b.IntN(5))
			}
		}
		if out, err := g.output(in); err == nil && out.Elements()*g.depth() <= maxMACs && g.outC <= 40 {
			return g
		}
	}
}

func divisor(b *builder, n int) int {
	for {
		if d := 1 + b.IntN(n); n%d == 0 {
			return d
		}
	}
}

// anyOther stands for any older tensor.
const anyOther tensor.ID = -1

// conv appends the convolution. The residual is added if its shape fits; any
// other one that fits is once in four times.
func (b *builder) conv(x node, g geometry, residual tensor.ID) node {
	shape, _ := g.output(x.Shape)
	out := b.activation(shape)
	c := &int8.Conv{
		Window: g.Window, Groups: g.groups, InC: g.inC, OutC: g.outC,
		Weight: b.weights(g.outC * g.depth()),
		Scale:  make([]float32, g.outC),
	}
	for i := range c.Scale {
		c.Scale[i] = b.scale()
	}
	inputs := []tensor.ID{x.id}
	var added int64
	if r, ok := b.residual(shape, residual); ok {
		inputs = append(inputs, r.id)
		c.Residual = pick[int32](b, 16, 37, 50, 64, 64, 64, 77, 100, 128, 200, 1, math.MaxInt16)
		if r.Type == int8.Int16 {
			c.Residual, c.ResidualShift = int32(1+b.IntN(math.MaxInt16)), uint8(b.IntN(31))
		}
		added = int64(int8.ScaleResidual(int32(magnitude(r.Tensor)), c.Residual, c.ResidualShift))
	}
	b.requantize(c, g.depth(), magnitude(x.Tensor), added, magnitude(out))
	return b.add(c, out, inputs...)
}

// activation draws the output of a convolution.
func (b *builder) activation(shape tensor.Shape) int8.Tensor {
	if b.like != nil {
		out := *b.like
		out.Shape = shape
		return out
	}
	if b.withInt16 && b.chance(2) {
		return int8.Tensor{Shape: shape, Type: int8.Int16, Scale: b.scale(),
			Bound: pick(b, math.MaxInt16, math.MaxInt16, int32(1+b.IntN(math.MaxInt16)), int32(1+b.IntN(1000))), NonNegative: b.chance(2)}
	}
	return int8.Tensor{Shape: shape, Type: int8.Int8, Scale: b.scale(), Zero: []int8.Value{b.zero()}}
}

// magnitude is the largest |q|.
func magnitude(t int8.Tensor) int64 {
	low, high := t.Limits()
	return int64(max(-low, high))
}

func (b *builder) residual(shape tensor.Shape, id tensor.ID) (node, bool) {
	for _, i := range b.Perm(len(b.nodes)) {
		x := b.nodes[i]
		if x.Shape == shape && (x.id == id || id == anyOther && b.chance(4)) {
			return x, true
		}
	}
	return node{}, false
}

// requantize draws biases, shift and multipliers: most of them such that the
// outputs spread over their type, some at the limits of the contract. Inputs
// and outputs have these magnitudes, and a residual adds as much.
func (b *builder) requantize(c *int8.Conv, depth int, input, added, output int64) {
	c.Bias, c.Multiplier = make([]int32, c.OutC), make([]int32, c.OutC)
	var largest int64
	spread := float64(input) / 128
	for o := range c.OutC {
		fit(c.Weight[o*depth:(o+1)*depth], input)
		sum, deviation := statistics(c.Weight[o*depth : (o+1)*depth])
		room := float64(math.MaxInt32 - input*sum)
		c.Bias[o] = int32(max(-room, min(room, b.NormFloat64()*deviation*spread)))
		largest = max(largest, reach(c, depth, o, input))
	}
	for largest<<(c.Shift+1) <= math.MaxInt32 && c.Shift < 24 && !b.chance(8) {
		c.Shift++
	}
	for o := range c.OutC {
		sum, deviation := statistics(c.Weight[o*depth : (o+1)*depth])
		if b.chance(32) { // the largest bias, of either sign
			c.Bias[o] = int32(math.MaxInt32>>c.Shift-input*sum) * int32(1-2*b.IntN(2))
		}
		typical := max(1, deviation*spread+math.Abs(float64(c.Bias[o]))) * math.Ldexp(1, int(c.Shift)-31)
		wanted := int8.OneOut * float64(output) / 2 * math.Exp(b.NormFloat64()) / typical
		limit := maxMultiplier(reach(c, depth, o, input)<<c.Shift, added)
		switch b.IntN(32) {
		case 0:
			c.Multiplier[o] = 1
		case 1:
			c.Multiplier[o] = limit
		default:
			c.Multiplier[o] = int32(max(1, min(wanted, float64(limit))))
		}
	}
}

// statistics are the sum of |w|, and the standard deviation of sum w*x where
// the x are spread evenly over int8.
func statistics(weights []int8.Value) (sum int64, deviation float64) {
	var squares int64
	for _, w := range weights {
		v := int64(w)
		sum += max(v, -v)
		squares += v * v
	}
	return sum, 256 * math.Sqrt(float64(squares)/12)
}

// fit makes weights smaller until no input of the magnitude can give a sum
// beyond int32.
func fit(weights []int8.Value, input int64) {
	for int8.AbsSum(weights)*input > math.MaxInt32 {
		for i := range weights {
			weights[i] /= 2
		}
	}
}

// reach is the largest magnitude of channel o's biased accumulator.
func reach(c *int8.Conv, depth, o int, input int64) int64 {
	sum, _ := statistics(c.Weight[o*depth : (o+1)*depth])
	bias := int64(c.Bias[o])
	return input*sum + max(bias, -bias)
}

// maxMultiplier is the largest multiplier with which a shifted accumulator up
// to a, a residual's share and all roundings stay within int32.
func maxMultiplier(a, residual int64) int32 {
	room := math.MaxInt32 - int8.OneOut/2 - 1 - residual
	if a <= room {
		return math.MaxInt32
	}
	return int32(((room+1)<<31 - 1) / a)
}

// classifier appends global sum and dense layer.
func (b *builder) classifier(x node) {
	pixels := float32(x.Shape.H * x.Shape.W)
	pooled := b.add(int8.GlobalAveragePool{}, int8.Tensor{
		Shape: tensor.Shape{H: 1, W: 1, C: x.Shape.C}, Type: int8.Int16,
		Scale: x.Scale / pixels, Bound: int32(x.SumBound())}, x.id)
	b.dense(pooled)
}

// dense appends the dense layer.
func (b *builder) dense(x node) {
	d := &int8.Dense{In: x.Shape.Elements(), Out: pick(b, 1, 2, 3, 5, 10, 13)}
	d.Weight = b.weights(d.In * d.Out)
	for o := range d.Out {
		fit(d.Weight[o*d.In:(o+1)*d.In], magnitude(x.Tensor))
		sum, _ := statistics(d.Weight[o*d.In : (o+1)*d.In])
		limit := math.MaxInt32 - magnitude(x.Tensor)*sum
		d.Bias = append(d.Bias, int32(pick(b, 0, limit, -limit, b.Int64N(limit)-limit/2)))
		d.Scale = append(d.Scale, b.scale())
		b.classes = append(b.classes, labels.Class{ID: fmt.Sprintf("n%08d", o), Name: fmt.Sprintf("<class> & %q №%d", "α", o)})
	}
	b.add(d, int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: d.Out}, Type: int8.Int32}, x.id)
}
