// Package diagnose finds out where the errors of a quantized network come from:
// it is simulated in float, with its errors or without some of them.
package diagnose

import (
	"fmt"
	"io"
	"math"
	"slices"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Precision says which errors of quantization a simulated layer makes. The zero
// value stands for all of them: the layer as it is in the integer network.
type Precision struct {
	// FloatWeights takes the float network's weights and biases. The image is
	// padded as in the integer network, with a mean pixel of integers.
	FloatWeights bool
	// Unrounded and Unclipped let the output lie between and beyond the codes.
	// A ReLU or Clip holds all the same.
	Unrounded, Unclipped bool
	// FractionBits divides each step of the output into 2^FractionBits, in
	// int16: with 7 bits it reaches as far as int8 does, with 6 twice as far.
	FractionBits uint8
	// Copied gives convolutions an int8 copy of the output; what has
	// FractionBits is then for residual adds and pools alone.
	Copied bool
}

// Simulate returns a float network that computes what n does, the quantized
// form of the folded graph g, with every layer as exact as precision says; nil
// makes all layers those of n. A layer's output is the tensor of its name and
// holds q - Zero, the last one the logits. Preprocess turns pixels into what
// the simulation takes.
//
// Sums of products are exact while no partial sum exceeds 2^24 in magnitude,
// float32's last integer without a gap. Inexact names the layers in which that
// could happen; in all others a layer of the zero Precision that reads codes
// has the bits of int8.Network.Reference.
func Simulate(g *models.Graph, n *int8.Network, precision func(layer string) Precision) (*models.Graph, error) {
	s, err := newSimulator(g, n)
	if err != nil {
		return nil, err
	}
	if precision == nil {
		precision = func(string) Precision { return Precision{} }
	}
	made := s.begin()
	for i := range n.Layers {
		made = append(made, s.layer("", i, made, precision(n.Layers[i].Name)))
	}
	return s.graph()
}

// simulation is how layers of one kind are simulated.
type simulation struct {
	float []string // the kinds of float operations that they stem from
	// write adds the nodes of a layer.
	write func(s *simulator, l *layer)
	// onGrid says that they round and clip their output.
	onGrid bool
	// largestSum bounds the magnitude of every partial sum of w * (q - Zero) in
	// float32; nil where there are none.
	largestSum func(op int8.Op, in *int8.Tensor) int
}

// simulations are those of all kinds of layers.
var simulations = map[string]simulation{
	"add":       {float: []string{"add"}, write: writeAdd, onGrid: true},
	"avgpool":   {float: []string{"avgpool"}, write: writeAveragePool, onGrid: true},
	"concat":    {float: []string{"concat"}, write: writeConcat},
	"conv":      {float: []string{"conv"}, write: writeConv, onGrid: true, largestSum: largestSum},
	"dense":     {float: []string{"dense"}, write: writeDense},
	"gather":    {float: []string{"gather"}, write: writeGather},
	"globalsum": {float: []string{"globalavgpool"}, write: writeGlobalAveragePool},
	"lookup":    {float: []string{"activation", "channelactivation", "clip", "relu"}, write: writeLookup, onGrid: true},
	"maxpool":   {float: []string{"maxpool"}, write: writeMaxPool},
	"mean":      {float: []string{"globalavgpool"}, write: writeMean, onGrid: true, largestSum: largestPlane},
	"mul":       {float: []string{"mul"}, write: writeMul, onGrid: true},
}

// Inexact names the layers of n in which some input could bring a partial sum of
// w * (q - Zero) beyond 2^24 in magnitude.
func Inexact(n *int8.Network) (layers []string) {
	for i := range n.Layers {
		l := &n.Layers[i]
		s, known := simulations[l.Op.Kind()]
		if !known || s.largestSum != nil && s.largestSum(l.Op, n.Inputs(l)[0]) > 1<<24 {
			layers = append(layers, l.Name)
		}
	}
	return layers
}

// simulator writes the float nodes of a quantized network's layers. Several
// simulations may share one graph, with different prefixes of their names.
type simulator struct {
	network *int8.Network
	float   *models.Graph
	units   []quantize.Unit // of the float network, by layer
	builder *models.Builder
}

// signal is a simulated tensor.
type signal struct {
	*int8.Tensor
	node   string  // of the graph
	copied string  // the node of its int8 copy, if it has one
	lo, hi float64 // limits of the unit, in steps
	codes  bool    // all values are those of integer codes
}

// output is the signal of a unit's output.
func output(u *quantize.Unit, t *int8.Tensor) signal {
	scale := float64(t.Scale)
	return signal{Tensor: t, lo: float64(u.Clip.Min) / scale, hi: float64(u.Clip.Max) / scale}
}

// layer is one to simulate.
type layer struct {
	*int8.Layer
	unit      *quantize.Unit
	in        []signal
	out       signal
	precision Precision
}

// newSimulator checks that n was quantized from g.
func newSimulator(g *models.Graph, n *int8.Network) (*simulator, error) {
	units, err := quantize.Lower(g)
	if err != nil {
		return nil, err
	}
	if len(n.Layers) != len(units) {
		return nil, fmt.Errorf("diagnose: %d layers for a float network of %d: it was not quantized from this one", len(n.Layers), len(units))
	}
	for i, l := range n.Layers {
		kind, ok := simulations[l.Op.Kind()]
		if !ok {
			return nil, fmt.Errorf("diagnose: layer %q: %s cannot be simulated", l.Name, l.Op.Kind())
		}
		if u := units[i]; u.Name != l.Name || u.Shape != l.Out.Shape || !slices.Contains(kind.float, u.Op.Kind()) {
			return nil, fmt.Errorf("diagnose: layer %q (%s) has no counterpart in the float network: it was not quantized from this one", l.Name, l.Op.Kind())
		}
	}
	return &simulator{network: n, float: g, units: units, builder: models.NewBuilder(int8.InputName, n.Input.Shape)}, nil
}

// begin is what there is before the first layer, by tensor of the network.
func (s *simulator) begin() []signal {
	return []signal{{Tensor: &s.network.Input, node: int8.InputName, codes: true}}
}

// graph is that of all nodes written.
func (s *simulator) graph() (*models.Graph, error) {
	p := s.float.Preprocess
	if p.Order != preprocess.Grey {
		p.Order = preprocess.RGB
	}
	p.Std = [3]float32{1, 1, 1}
	for c := range p.Channels() {
		p.Mean[c] = 128 + float32(s.network.Input.ZeroAt(c))
	}
	g, err := s.builder.Graph(s.network.Name, p, s.float.Classes)
	if err != nil {
		return nil, fmt.Errorf("diagnose: %w", err)
	}
	return g, nil
}

// layer writes the nodes of layer i, given the tensors before it.
func (s *simulator) layer(prefix string, i int, made []signal, p Precision) signal {
	l := &layer{Layer: &s.network.Layers[i], unit: &s.units[i], precision: p}
	for _, id := range l.Inputs {
		l.in = append(l.in, made[id])
	}
	l.out = output(l.unit, &l.Out)
	l.out.node, l.out.codes = prefix+l.Name, p.isCodes()
	simulations[l.Op.Kind()].write(s, l)
	if p.Copied && !l.out.codes {
		l.out.copied = l.out.node + copied
		s.add(l.out.copied, Precision{}.grid(l.out), l.out.node)
	}
	return l.out
}

// What is appended to a layer's name for nodes that are not its output.
const (
	averages = "/averages"
	products = "/products"
	sums     = "/sums"
	copied   = "/copied"
)

// add writes a node. An error is that of the graph.
func (s *simulator) add(name string, op models.Op, inputs ...string) {
	_, _ = s.builder.Add(name, op, inputs...)
}

// isCodes tells whether outputs are those of integer codes.
func (p Precision) isCodes() bool { return !p.Unrounded && !p.Unclipped && p.FractionBits == 0 }

// exact tells whether a layer that reads codes has the integer network's bits.
func (p Precision) exact() bool { return !p.FloatWeights && p.isCodes() }

// grid is the values that the output t can have.
func (p Precision) grid(t signal) *grid {
	g := &grid{lo: t.lo, hi: t.hi}
	if !p.Unrounded {
		g.steps = math.Ldexp(1, int(p.FractionBits))
	}
	switch {
	case p.Unclipped:
	case p.FractionBits > 0:
		g.lo = max(g.lo, math.Ldexp(math.MinInt16, -int(p.FractionBits)))
		g.hi = min(g.hi, math.Ldexp(math.MaxInt16, -int(p.FractionBits)))
	default: // the codes end at the limits, or before
		lo, hi := codes(t.Tensor, 0)
		g.lo, g.hi = float64(lo), float64(hi)
	}
	return g
}

// codes is the span of q - Zero of a tensor's channel.
func codes(t *int8.Tensor, channel int) (lo, hi int) {
	low, high := t.Limits()
	zero := int(t.ZeroAt(channel))
	return int(low) - zero, int(high) - zero
}

// operation is one that only simulations have. Nothing hashes them.
type operation struct{}

// Digest implements models.Op.
func (operation) Digest(io.Writer) {}

// elementwise is for operations on one tensor, or two of one shape.
type elementwise struct{ operation }

// Infer implements models.Op.
func (elementwise) Infer(in []tensor.Shape) (tensor.Shape, error) {
	if len(in) == 2 {
		return models.Add{}.Infer(in)
	}
	return models.ReLU{}.Infer(in)
}

func floats(values []int8.Value) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}
