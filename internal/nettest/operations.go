package nettest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"edgeclassify/int8"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// Operations is Random, or Int16 for odd seeds, with the operations that stand between
// convolutions: sums, products, tables, means and concatenations, with dilated windows,
// images of one channel and of any proportion, and classifiers of activations.
func Operations(seed uint64) *int8.Network {
	return randomModel(fmt.Sprintf("operations-%d", seed), seed, seed%2 == 1, true).Network
}

// OperationsModel is Operations with all that belongs to a model file.
func OperationsModel(seed uint64) *q8.Model {
	return randomModel(fmt.Sprintf("operations-%d", seed), seed, seed%2 == 1, true)
}

// Channels is Operations with channels that are taken apart, joined and shuffled.
func Channels(seed uint64) *q8.Model {
	b := builder{Rand: rand.New(rand.NewPCG(seed, 1)), withInt16: seed%2 == 1, operations: true, splits: true}
	return b.random(fmt.Sprintf("channels-%d", seed))
}

// proportions draws an image of any size and number of channels.
func (b *builder) proportions(spec *preprocess.Spec) {
	if b.chance(3) {
		spec.Order = preprocess.Grey
	}
	spec.Crop.W = 8 + b.IntN(33)
	spec.Resize = preprocess.Short(max(spec.Crop.H, spec.Crop.W) + b.IntN(8))
}

// operation appends one of them, with the convolutions that it needs.
func (b *builder) operation(x node) node {
	if x.id == tensor.Input {
		return b.conv(x, b.geometry(x.Shape, 1), anyOther)
	}
	choices := []func(node) node{b.sum, b.concat}
	if b.splits {
		choices = append(choices, b.split, b.split)
	}
	if x.Type == int8.Int8 {
		choices = append(choices, b.table, b.product, b.gate)
	}
	return pick(b, choices...)(x)
}

// sum adds another activation of the shape, or what a convolution makes.
func (b *builder) sum(x node) node {
	y, ok := b.residual(x.Shape, anyOther)
	if !ok {
		y = b.conv(x, b.same(x.Shape, x.Shape.C), anyOther)
	}
	if y.id == tensor.Input {
		y = x
	}
	if b.chance(2) {
		x, y = y, x
	}
	out := b.middle(b.activation(x.Shape))
	op := &int8.Add{Shift: uint8(b.IntN(25))}
	room := float64(math.MaxInt32 - 128 - int32(1)<<op.Shift>>1)
	ratios := [2]*int32{&op.RatioA, &op.RatioB}
	for i, in := range []node{x, y} {
		wanted := math.Ldexp(float64(magnitude(out))/float64(magnitude(in.Tensor)), int(op.Shift)) * math.Exp(b.NormFloat64()/2)
		if b.chance(16) {
			wanted = room
		}
		limit := math.Floor(room / 2 / float64(distance(in.Tensor)))
		*ratios[i] = int32(max(1, min(wanted, limit)))
	}
	return b.add(op, out, x.id, y.id)
}

// product multiplies by another activation of the shape.
func (b *builder) product(x node) node {
	y, ok := b.residual(x.Shape, anyOther)
	if !ok || y.id == tensor.Input || y.Type != int8.Int8 {
		y = x
	}
	return b.multiply(x, y)
}

// gate multiplies channels by what their means say: squeeze and excitation.
func (b *builder) gate(x node) node {
	y := b.mean(x)
	y = b.int8Only(func() node {
		return b.conv(y, geometry{tensor.Square(1, 1, 0), 1, x.Shape.C, x.Shape.C}, anyOther)
	})
	return b.multiply(x, b.table(y))
}

func (b *builder) multiply(x, y node) node {
	out := b.middle(b.int8Activation(x.Shape))
	op := &int8.Mul{}
	op.Multiplier, op.Shift = b.multiplier(distance(x.Tensor)*distance(y.Tensor), 64*64, magnitude(out))
	return b.add(op, out, x.id, y.id)
}

func (b *builder) mean(x node) node {
	out := b.middle(b.activation(tensor.Shape{H: 1, W: 1, C: x.Shape.C}))
	op, pixels := &int8.Mean{}, int64(x.Shape.H*x.Shape.W)
	op.Multiplier, op.Shift = b.multiplier(distance(x.Tensor)*pixels, float64(magnitude(x.Tensor)*pixels)/4, magnitude(out))
	return b.add(op, out, x.id)
}

// table maps values by a curve or by anything.
func (b *builder) table(x node) node {
	op := &int8.Lookup{Table: make([]int8.Value, 256)}
	curve, slope := b.chance(2), math.Exp(b.NormFloat64())/40
	for i := range op.Table {
		op.Table[i] = int8.Value(b.IntN(256) - 128)
		if curve {
			op.Table[i] = int8.Value(math.Round(127 * math.Tanh(slope*float64(i-128))))
		}
	}
	if b.chance(3) { // tables of channels
		op.Table = append(op.Table, op.Table...)
		for i := range op.Table[:256] {
			op.Table[i] = int8.Value(b.IntN(256) - 128)
		}
		for range x.Shape.C {
			op.Channel = append(op.Channel, int32(b.IntN(2)))
		}
	}
	return b.add(op, b.int8Activation(x.Shape), x.id)
}

// concat joins x, or not, with what convolutions and pools make of it, all of them
// of its type and scale.
func (b *builder) concat(x node) node {
	out := x.Tensor
	out.Shape.C = 0
	var inputs []tensor.ID
	for i := 0; i < 2+b.IntN(3) && out.Shape.C < 40; i++ {
		y := x
		switch {
		case b.chance(3): // x itself
		case b.chance(3):
			y = b.add(&int8.MaxPool{Window: b.same(x.Shape, 1).Window}, x.Tensor, x.id)
		default:
			if b.chance(2) {
				y = b.conv(x, b.same(x.Shape, 1+b.IntN(9)), anyOther)
			}
			b.like = &x.Tensor
			y = b.conv(y, b.same(y.Shape, 1+b.IntN(17)), anyOther)
			b.like = nil
		}
		inputs = append(inputs, y.id)
		out.Shape.C += y.Shape.C
	}
	return b.add(int8.Concat{}, out, inputs...)
}

// split takes x apart, has convolutions of some parts, and joins them, or shuffles most.
func (b *builder) split(x node) node {
	at := b.IntN(x.Shape.C + 1)
	var parts []tensor.ID
	out := x.Tensor
	out.Shape.C = 0
	for _, channels := range [][2]int{{0, at}, {at, x.Shape.C}} {
		if channels[0] == channels[1] {
			continue
		}
		y := b.gather(x, channels[0], channels[1]-channels[0])
		if b.chance(3) {
			b.like = &x.Tensor
			y = b.conv(y, b.same(y.Shape, 1+b.IntN(17)), anyOther)
			b.like = nil
		}
		parts, out.Shape.C = append(parts, y.id), out.Shape.C+y.Shape.C
	}
	y := b.add(int8.Concat{}, out, parts...)
	if b.chance(2) {
		y = b.gather(y, 0, y.Shape.C-b.IntN((y.Shape.C+1)/2))
	}
	return y
}

// gather takes so many channels, from the first on or any.
func (b *builder) gather(x node, first, n int) node {
	op, out, any, runs := &int8.Gather{}, x.Tensor, b.Perm(x.Shape.C), b.chance(2)
	for i := range n {
		c := first + i
		if !runs {
			c = any[i]
		}
		op.Indices = append(op.Indices, int32(c))
	}
	out.Shape.C = n
	return b.add(op, out, x.id)
}

// same is a convolution with as many pixels out as in.
func (b *builder) same(in tensor.Shape, channels int) geometry {
	w := tensor.Window{KH: pick(b, 1, 1, 3), KW: pick(b, 1, 1, 3), StrideH: 1, StrideW: 1}
	b.dilate(&w)
	h, wd := w.Reach()
	w.Top, w.Left = (h-1)/2, (wd-1)/2
	w.Bottom, w.Right = h-1-w.Top, wd-1-w.Left
	return geometry{w, 1, in.C, channels}
}

// dilate draws distances between the values of a kernel.
func (b *builder) dilate(w *tensor.Window) {
	if b.chance(2) {
		w.DilationH, w.DilationW = pick(b, 0, 1, 2, 3), pick(b, 0, 1, 2, 3)
	}
}

// inside says whether every window of a pool holds something of the plane.
func inside(w tensor.Window, in tensor.Shape) bool {
	h, wd, _ := w.Infer(in.H, in.W)
	dh, dw := w.Steps()
	holds := func(outputs, stride, pad, kernel, step, length int) bool {
		for i := range outputs {
			found := false
			for k := range kernel {
				at := i*stride - pad + k*step
				found = found || at >= 0 && at < length
			}
			if !found {
				return false
			}
		}
		return true
	}
	return holds(h, w.StrideH, w.Top, w.KH, dh, in.H) && holds(wd, w.StrideW, w.Left, w.KW, dw, in.W)
}

// distance is the largest |q - Zero|.
func distance(t int8.Tensor) int64 {
	r := t.Range()
	return int64(max(r.Zero-r.Low, r.High-r.Zero))
}

// multiplier draws what brings accumulators of typical size to outputs, with an int32
// in which the largest fits.
func (b *builder) multiplier(largest int64, typical float64, output int64) (multiplier int32, shift uint8) {
	for largest<<(shift+1) <= math.MaxInt32 && shift < 24 && !b.chance(8) {
		shift++
	}
	wanted := int8.OneOut * float64(output) / 2 * math.Exp(b.NormFloat64()/2) / typical * math.Ldexp(1, 31-int(shift))
	limit := float64(maxMultiplier(largest<<shift, 0))
	if b.chance(32) {
		wanted = pick(b, 1, limit)
	}
	return int32(max(1, min(wanted, limit))), shift
}

// middle gives most outputs both signs: none of the operations here has a bias that
// would bring values of one sign to a range of the other.
func (b *builder) middle(out int8.Tensor) int8.Tensor {
	switch {
	case b.chance(8):
	case out.Type == int8.Int8:
		out.Zero = []int8.Value{int8.Value(b.IntN(128) - 64)}
	default:
		out.NonNegative = false
	}
	return out
}

// int8Activation draws an int8 output.
func (b *builder) int8Activation(shape tensor.Shape) (out int8.Tensor) {
	b.int8Only(func() node { out = b.activation(shape); return node{} })
	return out
}

// int8Only has f make int8 activations only.
func (b *builder) int8Only(f func() node) node {
	with := b.withInt16
	b.withInt16 = false
	defer func() { b.withInt16 = with }()
	return f()
}
