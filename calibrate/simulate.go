package calibrate

import (
	"fmt"
	"math"
	"slices"

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
	// A ReLU holds all the same.
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
		l := &n.Layers[i]
		made[l.Name] = s.layer("", l, made, precision(l.Name))
	}
	simulation := s.simulation()
	_, err = simulation.Shapes()
	return simulation, err
}

// Inexact names the convolutions of n in which some input could bring a partial
// sum of w * (q - Zero) beyond 2^24 in magnitude.
func Inexact(n *int8.Network) (layers []string) {
	tensors := map[string]*int8.Tensor{int8.InputName: &n.Input}
	for i := range n.Layers {
		l := &n.Layers[i]
		tensors[l.Name] = &l.Out
		if c, ok := l.Op.(*int8.Conv); ok && largestSum(c, tensors[l.Inputs[0]]) > 1<<24 {
			layers = append(layers, l.Name)
		}
	}
	return layers
}

// largestSum bounds the magnitude of every partial sum of w * (q - Zero).
func largestSum(c *int8.Conv, in *int8.Tensor) (bound int) {
	depth, groupIn, groupOut := len(c.Weight)/c.OutC, c.InC/c.Groups, c.OutC/c.Groups
	for o := range c.OutC {
		var most, least int
		for k, w := range c.Weight[o*depth : (o+1)*depth] {
			lo, hi := codes(in, o/groupOut*groupIn+k%groupIn)
			most += max(int(w)*hi, int(w)*lo)
			least += min(int(w)*hi, int(w)*lo)
		}
		bound = max(bound, most, -least)
	}
	return bound
}

// codes is the span of q - Zero of a tensor's channel.
func codes(t *int8.Tensor, channel int) (lo, hi int) {
	low, high := t.Limits()
	zero := int(t.ZeroAt(channel))
	return int(low) - zero, int(high) - zero
}

// simulator writes the float nodes of a quantized network's layers. Several
// simulations may share one graph, with different prefixes of their names.
type simulator struct {
	network *int8.Network
	units   map[string]unit // of the float network, by name
	nodes   []models.Node
}

// signal is a simulated tensor.
type signal struct {
	*int8.Tensor
	node   string // of the graph
	copied string // the node of its int8 copy, if it has one
	relu   bool
	codes  bool // all values are those of integer codes
}

func newSimulator(g *models.Graph, n *int8.Network) (*simulator, error) {
	units, err := lower(g)
	if err != nil {
		return nil, err
	}
	s := &simulator{network: n, units: map[string]unit{}}
	for _, u := range units {
		s.units[u.name] = u
	}
	if len(n.Layers) != len(units) {
		return nil, fmt.Errorf("calibrate: %d layers for a float network of %d: it was not quantized from this one", len(n.Layers), len(units))
	}
	for _, l := range n.Layers {
		if u, ok := s.units[l.Name]; !ok || u.shape != l.Out.Shape || u.op.Kind() != floatKind(l.Op) {
			return nil, fmt.Errorf("calibrate: layer %q (%s) has no counterpart in the float network: it was not quantized from this one", l.Name, l.Op.Kind())
		}
	}
	return s, nil
}

// floatKind is the kind of the float operation that a layer stems from.
func floatKind(op int8.Op) string {
	if _, ok := op.(int8.GlobalAveragePool); ok {
		return models.GlobalAveragePool{}.Kind()
	}
	return op.Kind()
}

// begin is what there is before the first layer, by name.
func (s *simulator) begin() map[string]signal {
	return map[string]signal{int8.InputName: {Tensor: &s.network.Input, node: int8.InputName, codes: true}}
}

// simulation is the graph of all nodes written.
func (s *simulator) simulation() *models.Graph {
	p := s.network.Preprocess
	p.Order, p.Std = preprocess.RGB, [3]float32{1, 1, 1}
	for c := range p.Mean {
		p.Mean[c] = 128 + float32(s.network.Input.ZeroAt(c))
	}
	return &models.Graph{
		Name: s.network.Name, InputName: int8.InputName, Input: s.network.Input.Shape,
		Preprocess: p, Classes: s.network.Classes, Nodes: s.nodes,
	}
}

// layer writes the nodes of a layer, given its inputs by name.
func (s *simulator) layer(prefix string, l *int8.Layer, made map[string]signal, p Precision) signal {
	in := made[l.Inputs[0]]
	out := signal{Tensor: &l.Out, node: prefix + l.Name, relu: s.units[l.Name].relu, codes: p.isCodes()}
	switch op := l.Op.(type) {
	case *int8.Conv:
		var residual *signal
		if len(l.Inputs) == 2 {
			r := made[l.Inputs[1]]
			residual = &r
		}
		s.conv(l, op, in.forConv(), residual, out, p)
	case *int8.MaxPool:
		out.codes = in.codes
		s.add(out.node, &models.MaxPool{Window: op.Window}, in.node)
	case *int8.AveragePool:
		s.add(out.node+averages, &models.AveragePool{Window: op.Window, CountPad: op.CountPad}, in.node)
		s.add(out.node, p.grid(out), out.node+averages)
	case int8.GlobalAveragePool:
		s.add(out.node, planeSum(in.Shape), in.node)
	case *int8.Dense:
		s.add(out.node, s.head(l, op, in, p), in.node)
	}
	if p.Copied && !out.codes {
		out.copied = out.node + copied
		s.add(out.copied, Precision{}.grid(out), out.node)
	}
	return out
}

// forConv is what convolutions read of a tensor.
func (t signal) forConv() signal {
	if t.copied != "" {
		t.node, t.codes = t.copied, true
	}
	return t
}

// What is appended to a layer's name for nodes that are not its output.
const (
	averages = "/averages"
	products = "/products"
	copied   = "/copied"
)

func (s *simulator) add(name string, op models.Op, inputs ...string) {
	s.nodes = append(s.nodes, models.Node{Name: name, Inputs: inputs, Op: op})
}

// conv writes a convolution's nodes: the sums of products, and what follows.
func (s *simulator) conv(l *int8.Layer, op *int8.Conv, in signal, residual *signal, out signal, p Precision) {
	sums := &models.Conv{Window: op.Window, Groups: op.Groups, InC: op.InC, OutC: op.OutC}
	inputs := []string{out.node + products}
	exact := in.codes && !p.FloatWeights && p.isCodes()
	if residual != nil {
		exact = exact && residual.codes
		inputs = append(inputs, residual.node)
	}
	var epilogue models.Op
	switch {
	case p.FloatWeights:
		var offset []float64
		sums.Weight, offset = s.floatWeights(l, op, in)
		epilogue = &rescale{gain: gains(op), offset: offset, ratio: residualRatio(op), grid: p.grid(out)}
	case exact:
		sums.Weight, epilogue = floats(op.Weight), newRequantize(op, in, residual, out)
	default:
		sums.Weight, epilogue = floats(op.Weight), newRescale(op, in, residual, out, p)
	}
	s.add(inputs[0], sums, in.node)
	s.add(out.node, epilogue, inputs...)
}

// floatWeights are the float weights in steps of the integer ones, and the
// biases in steps of the output.
func (s *simulator) floatWeights(l *int8.Layer, op *int8.Conv, in signal) ([]float32, []float64) {
	float := s.units[l.Name].op.(*models.Conv) // newSimulator has compared the kinds
	weight, bias := slices.Clone(float.Weight), floatBias(float.Bias, op.OutC)
	if in.node == int8.InputName {
		weight, bias = foldImage(float, bias, s.network.Preprocess)
	}
	depth := len(weight) / op.OutC
	for i, w := range weight {
		weight[i] = float32(float64(w) / float64(op.Scale[i/depth]))
	}
	for o := range bias {
		bias[o] /= float64(l.Out.Scale)
	}
	return weight, bias
}

func floats(values []int8.Value) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

// planeSum is the sum of each channel over the plane: a window of ones.
func planeSum(in tensor.Shape) models.Op {
	ones := make([]float32, in.Elements())
	fill(ones, 1)
	return &models.Conv{
		Window: tensor.Window{KH: in.H, KW: in.W, StrideH: 1, StrideW: 1},
		Groups: in.C, InC: in.C, OutC: in.C, Weight: ones,
	}
}

func (s *simulator) head(l *int8.Layer, op *int8.Dense, in signal, p Precision) models.Op {
	c := &head{in: op.In, weight: floats(op.Weight), bias: make([]float64, op.Out), scale: op.Scale}
	for o, b := range op.Bias {
		c.bias[o] = float64(b)
	}
	if p.FloatWeights {
		float := s.units[l.Name].op.(*models.Dense) // newSimulator has compared the kinds
		c.weight, c.bias, c.scale = float.Weight, floatBias(float.Bias, op.Out), make([]float32, op.Out)
		fill(c.scale, in.Scale)
		for o := range c.bias {
			c.bias[o] /= float64(in.Scale)
		}
	}
	return c
}

// isCodes tells whether outputs are those of integer codes.
func (p Precision) isCodes() bool { return !p.Unrounded && !p.Unclipped && p.FractionBits == 0 }

// grid is the values that the output t can have.
func (p Precision) grid(t signal) *grid {
	g := &grid{lo: math.Inf(-1), hi: math.Inf(1)}
	if !p.Unrounded {
		g.steps = math.Ldexp(1, int(p.FractionBits))
	}
	switch {
	case p.Unclipped:
	case p.FractionBits > 0:
		g.lo = math.Ldexp(math.MinInt16, -int(p.FractionBits))
		g.hi = math.Ldexp(math.MaxInt16, -int(p.FractionBits))
	default:
		lo, hi := codes(t.Tensor, 0)
		g.lo, g.hi = float64(lo), float64(hi)
	}
	if t.relu {
		g.lo = 0
	}
	return g
}
