// Package int8 is the arithmetic contract of the project: the quantized
// network as data, the integer formula of every operation, and a plain
// reference that defines the right answer. Every kernel on every machine gives
// the reference's bits, for any number of threads.
//
// # Number formats
//
// An activation q stands for the real value Scale * (q - Zero). Activations
// are int8. Behind a ReLU the zero point is -128, so that all 256 codes are
// used and saturation at -128 is the ReLU itself. Weights are int8 in
// [-127, 127], symmetric, with one scale per output channel. Accumulators are
// int32 and never overflow: NewNetwork proves it from the weights.
//
// # Int16 precision
//
// Where 8 bits lose too much, a layer's output may be int16 instead: symmetric,
// with zero point 0 and values in [-Bound, Bound], or in [0, Bound] behind a
// ReLU (NonNegative). Bound is at most 32767. It is the quantizer's choice: less
// where a layer that reads the tensor would leave int32 otherwise (BoundFor), or
// where a global sum over the plane would leave int16. Input, residual and
// output of a convolution are int8 or int16 independently of each other, by the
// formulas below. Pooling gives the type that it reads. The image is int8.
//
// # Convolution
//
// With acc the sum of w * q over the window (padding reads the input's zero
// point) and per output channel c:
//
//	a = (acc + Bias[c]) << Shift
//	v = (2*a*Multiplier[c] + 1<<31) >> 32        (SQRDMULH)
//	v = v + residual*Residual                    (where there is one)
//	q = saturate8((v + 32) >> 6)                 (SQRSHRN by 6)
//
// so that Multiplier = round(realScale * 2^(37-Shift)), realScale being what a
// step of the accumulator, input scale times weight scale, is worth in steps of
// the output: QuantizeMultiplier and ShiftFor. The zero points of input,
// residual and output are all folded into Bias. Residual is 64 times the ratio
// of the residual's scale to the output's, an exact integer by the quantizer's
// choice of the output's scale: convolution, residual add and ReLU share one
// rounding.
//
// An int16 output is clamped to its own limits instead of saturated to int8. An
// int16 residual may have steps finer than v's, which are 1/64 of the output's:
// its ratio has ResidualShift fraction bits (QuantizeResidual), and no scale
// needs to move for it:
//
//	v = v + (residual*Residual + 1<<(ResidualShift-1)) >> ResidualShift
//
// A fully connected layer inside a network is a convolution whose window is the whole
// plane; a clip behind a convolution, such as ReLU6, is saturation at the ends of the
// output's range.
//
// # Element by element
//
// With a = qa - Zero and b = qb - Zero of the inputs, and the output's Zero z,
//
//	Add:     q = clamp((a*RatioA + b*RatioB + 1<<(Shift-1)) >> Shift + z)
//	Mul:     q = clamp(requantized(a*b) + z)
//	Lookup:  q = Table[qa + 128], the channel's
//	Concat:  q = qa
//	Gather:  q = qa
//
// where requantized is a convolution's with a bias and a residual of 0, and clamp is
// to the output's limits. Add reads and makes int8 and int16, Mul and Lookup int8;
// Concat's and Gather's tensors have one scale and zero point. Gather takes q of channel
// Indices[c]. Mul's second input may be one pixel, whose values stand for all pixels.
//
// # Pooling and classifier
//
// The global average pool keeps its sum of q - Zero as int16, the division is
// part of its scale. Only the fully connected layer reads sums. Mean adds up a plane
// of any size in int32 and makes an activation of it: q = clamp(requantized(sum) + z),
// the division being part of the multiplier.
//
// The fully connected layer, which is the last one, multiplies sums or activations, in
// HWC order, by int8 into int32 logits, which are never requantized; an activation's
// zero point is folded into Bias. Logit c is Scale[c] times its int32 value.
//
// # Embedding
//
// What a classifier of few images reads: features x = q - Zero and, where the network's
// own classifier stands before it, its logits v, both brought to a length. B is the
// output's Bound:
//
//	q = floor(x/|x| * (Pooled*B) + 1/2)
//	z = v * Scale
//	t = max(0, (z - mean(z))/deviation(z) - Threshold)
//	q = floor(t/|t| * (Logits*B) + 1/2)
//
// in float64, sums in the order of the values, and 0 where a length or the deviation,
// that of all values, is 0. IEEE 754 defines each bit of these operations: they are the
// same on every machine. An embedding alone may read the logits of a fully connected
// layer that is not the last one.
package int8

import (
	"errors"
	"fmt"

	"edgeclassify/tensor"
)

// Network is a quantized network: layers in topological order, the last one
// giving the int32 logits. NewNetwork makes it; it is never modified.
type Network struct {
	Name   string
	Input  Tensor // the image: pixels minus 128
	Layers []Layer

	topology *tensor.Topology
}

// InputName is the name of the image's tensor.
const InputName = "image"

// Layer is one operation. It makes the tensor that carries its name.
type Layer struct {
	Name   string
	Inputs []tensor.ID
	Op     Op
	Out    Tensor
}

// Limits: far above any real network, small enough that no product of sizes
// overflows, and that loading and running a network end in good time.
const (
	maxSide     = 1 << 14
	maxChannels = 1 << 16
	maxElements = 1 << 28
	maxLayers   = 10_000
	// maxWork of a picture: 70 times ResNet50's, 7 times EfficientNet-B7's. On four
	// slow cores it takes half a minute.
	maxWork = 1 << 38
)

// NewNetwork makes a network that is valid: shapes follow from each other, all
// lengths fit, scales are positive, no accumulator can leave int32 whatever the
// image shows, and the work is bounded. Errors name the layer. The layers are the network's from then
// on.
func NewNetwork(name string, input Tensor, layers []Layer) (*Network, error) {
	n := &Network{Name: name, Input: input, Layers: layers, topology: tensor.NewTopology(InputName)}
	if err := n.checkEnds(); err != nil {
		return nil, fmt.Errorf("int8: network %q: %w", name, err)
	}
	work := int64(0)
	for i := range layers {
		l := &layers[i]
		if l.Op == nil {
			return nil, fmt.Errorf("int8: layer %q has no operation", l.Name)
		}
		if err := n.add(l); err != nil {
			return nil, fmt.Errorf("int8: %v: %w", l, err)
		}
		if work += l.Work(); work > maxWork {
			return nil, fmt.Errorf("int8: %v: up to here a picture takes %.1e products and reads of values, more than the limit of %.1e: take a smaller network or picture", l, float64(work), float64(maxWork))
		}
	}
	return n, nil
}

// checkEnds checks the image and that there are logits.
func (n *Network) checkEnds() error {
	if len(n.Layers) == 0 {
		return errors.New("no layers")
	}
	if len(n.Layers) > maxLayers {
		return fmt.Errorf("%d layers, more than the limit of %d", len(n.Layers), maxLayers)
	}
	if _, ok := n.Layers[len(n.Layers)-1].Op.(*Dense); !ok {
		return errors.New("the last layer is not a dense classifier")
	}
	in := &n.Input
	if c := in.Shape.C; in.Type != Int8 || c != 1 && c != 3 {
		return fmt.Errorf("input is %v %s, want an int8 image of 1 or 3 channels", in.Shape, in.Type)
	}
	if err := in.checkType(in.Shape.C); err != nil {
		return fmt.Errorf("input %w", err)
	}
	return checkShape(in.Shape)
}

// add checks a layer behind those before it.
func (n *Network) add(l *Layer) error {
	if err := checkShape(l.Out.Shape); err != nil {
		return err
	}
	if _, err := n.topology.Add(l.Name, l.Inputs...); err != nil {
		return err
	}
	takes, _ := l.Op.Content()
	in := make([]*Tensor, len(l.Inputs))
	for i, id := range l.Inputs {
		if err := takes.fits(n.Content(id)); err != nil {
			return fmt.Errorf("input %q: %w", n.topology.Name(id), err)
		}
		in[i] = n.Tensor(id)
	}
	return l.Op.check(in, &l.Out)
}

// fits reports why an operation that takes such content cannot have another.
func (takes Content) fits(content Content) error {
	switch {
	case takes&content != 0:
		return nil
	case content == Logits:
		return errors.New("only an embedding can read the logits of a dense layer")
	default:
		return errors.New("sums are for a dense layer or an embedding only")
	}
}

// Topology is how the layers are connected; nil of a network that NewNetwork has
// not made.
func (n *Network) Topology() *tensor.Topology { return n.topology }

// Tensor is the tensor of that number.
func (n *Network) Tensor(id tensor.ID) *Tensor {
	if id == tensor.Input {
		return &n.Input
	}
	return &n.Layers[id.Node()].Out
}

// Inputs are the tensors that a layer reads.
func (n *Network) Inputs(l *Layer) []*Tensor {
	in := make([]*Tensor, len(l.Inputs))
	for i, id := range l.Inputs {
		in[i] = n.Tensor(id)
	}
	return in
}

// Content is what a tensor holds.
func (n *Network) Content(id tensor.ID) Content {
	if id == tensor.Input {
		return Activation
	}
	_, out := n.Layers[id.Node()].Op.Content()
	return out
}

// Classifier is the last layer's operation: it gives the logits.
func (n *Network) Classifier() *Dense {
	return n.Layers[len(n.Layers)-1].Op.(*Dense)
}

// Features is the tensor that describes the image to the classifier, or to its
// embedding: the values of one pixel. ok is false where the classifier reads a plane.
func (n *Network) Features() (id tensor.ID, ok bool) {
	id = n.Layers[len(n.Layers)-1].Inputs[0]
	if id != tensor.Input {
		if l := &n.Layers[id.Node()]; l.Op.Kind() == (*Embedding)(nil).Kind() {
			id = l.Inputs[0]
		}
	}
	s := n.Tensor(id).Shape
	return id, id != tensor.Input && s.H == 1 && s.W == 1
}

// MACs is the number of multiply-accumulates of the layer.
func (l *Layer) MACs() int64 {
	return int64(l.Out.Shape.Elements()) * int64(l.Op.Parameters().Depth())
}

// Work is the number of products, or of values that windows read, of the layer.
func (l *Layer) Work() int64 {
	each := max(1, l.Op.Parameters().Depth())
	if window, ok := l.Op.(interface{ Taps() int }); ok {
		each = max(each, window.Taps())
	}
	return int64(l.Out.Shape.Elements()) * int64(each)
}

// WeightBytes is the memory of the layer's weights, biases and multipliers.
func (l *Layer) WeightBytes() int { return l.Op.Parameters().Bytes() }

// Activation says whether the layer's output is one.
func (l *Layer) Activation() bool {
	_, out := l.Op.Content()
	return out == Activation
}

func (l *Layer) String() string {
	return fmt.Sprintf("layer %q (%s)", l.Name, l.Op.Kind())
}
