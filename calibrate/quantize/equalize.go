package quantize

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Group is a set of tensors whose channels can only be scaled together. To
// divide a channel by a positive factor in all of them, in the weights that
// produce it and, inversely, in those that consume it, leaves the network's
// function as it is, for ReLU, pooling and addition pass the factor on; a product does
// from its first factor. A curved activation has a table for each channel, so that its
// input and its output are scaled as they like. In a
// residual network there is a group for every tensor inside a block, and one for
// the residual stream of every stage. The image and the logits belong to none.
type Group struct {
	Name      string // that of the first tensor
	Channels  int
	Tensors   []tensor.ID
	Producers []int // the nodes with weights that write them
	Consumers []int // the nodes with weights, and the curves, that read them
}

// Groups finds the groups of a folded graph in the order of its nodes.
func Groups(g *models.Graph) []Group {
	t := tie(g)
	var groups []Group
	index := map[tensor.ID]int{} // into groups, by first tensor
	for i, n := range g.Nodes {
		id := tensor.Output(i)
		first := t.first(id)
		if t.fixed[first] {
			continue
		}
		if first == id {
			index[first] = len(groups)
			groups = append(groups, Group{Name: n.Name, Channels: n.Shape.C})
		}
		group := &groups[index[first]]
		group.Tensors = append(group.Tensors, id)
		if _, ok := n.Op.(models.Linear); ok {
			group.Producers = append(group.Producers, i)
		}
	}
	for i, n := range g.Nodes {
		_, linear := n.Op.(models.Linear)
		if group, known := index[t.first(n.Inputs[0])]; known && (linear || curved(n.Op)) {
			groups[group].Consumers = append(groups[group].Consumers, i)
		}
	}
	return slices.DeleteFunc(groups, func(g Group) bool { return len(g.Consumers) == 0 })
}

// ties tell which tensors must be scaled together.
type ties struct {
	to    []tensor.ID        // an earlier tensor of the set; the first points to itself
	fixed map[tensor.ID]bool // sets that cannot be scaled, by first tensor
}

func tie(g *models.Graph) *ties {
	t := &ties{to: []tensor.ID{tensor.Input}, fixed: map[tensor.ID]bool{}}
	fixed := []tensor.ID{tensor.Input, g.Output()}
	for i, n := range g.Nodes {
		out := tensor.Output(i)
		t.to = append(t.to, out)
		_, linear := n.Op.(models.Linear)
		_, homogeneous := n.Op.(models.Homogeneous)
		homogeneous = homogeneous || sloped(n.Op)
		switch {
		case linear, curved(n.Op):
		case homogeneous:
			for _, in := range n.Inputs {
				t.join(in, out)
			}
		case isMul(n.Op):
			t.join(n.Inputs[0], out)
			fixed = append(fixed, n.Inputs[1])
		default: // the factor does not pass through
			fixed = append(append(fixed, out), n.Inputs...)
		}
	}
	for _, id := range fixed {
		t.fixed[t.first(id)] = true
	}
	return t
}

// curved tells whether an operation is a function of each value that passes no factor on.
func curved(op models.Op) bool {
	a, ok := op.(models.Activation)
	return ok && a.Function != models.LeakyReLU
}

// sloped tells whether it is a LeakyReLU or PReLU, which does.
func sloped(op models.Op) bool {
	switch a := op.(type) {
	case models.Activation:
		return a.Function == models.LeakyReLU
	case *models.ChannelActivation:
		return a.Function == models.LeakyReLU
	}
	return false
}

func isMul(op models.Op) bool {
	_, ok := op.(models.Mul)
	return ok
}

func (t *ties) first(id tensor.ID) tensor.ID {
	for t.to[id] != id {
		id = t.to[id]
	}
	return id
}

func (t *ties) join(a, b tensor.ID) {
	a, b = t.first(a), t.first(b)
	t.to[max(a, b)] = min(a, b)
}

// Equalization is a cross-layer equalization: the scales by which channels are
// divided, by the name of a group.
type Equalization map[string]Log2Scales

// Log2Scales are the logarithms of scales that are powers of two, one for each
// channel. In JSON they are one string.
type Log2Scales []int

// MarshalText writes the logarithms with spaces in between.
func (s Log2Scales) MarshalText() ([]byte, error) {
	return []byte(strings.Trim(fmt.Sprint([]int(s)), "[]")), nil
}

// UnmarshalText reads what MarshalText wrote.
func (s *Log2Scales) UnmarshalText(text []byte) error {
	*s = nil
	for _, field := range strings.Fields(string(text)) {
		v, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("a channel's exponent: %w", err)
		}
		*s = append(*s, v)
	}
	return nil
}

// reach is the largest logarithm. It leaves room in float32 for any sane weight.
const reach = 24

// Equalize divides channel c of every tensor of a group by 2^e[group][c]. Rows
// and biases of the producers are divided, columns of the consumers multiplied, and
// activations made ones of channels, which for powers of two is exact: the executor
// gives the same logits, bit for bit. What changes is what an int8 range that all
// channels share costs each of them.
func Equalize(g *models.Graph, e Equalization) (*models.Graph, error) {
	scales, err := e.Scales(g)
	if err != nil {
		return nil, fmt.Errorf("calibrate: equalize: %w", err)
	}
	i := 0
	equalized, err := g.Rewrite(func(b *models.Builder, n models.Node, inputs []string) error {
		op := n.Op
		if l, ok := op.(models.Linear); ok {
			var err error
			if op, err = scaled(l, g.Shape(n.Inputs[0]).C, scales[n.Inputs[0]], scales[tensor.Output(i)]); err != nil {
				return err
			}
		}
		if in, out := scales[n.Inputs[0]], scales[tensor.Output(i)]; curved(op) && (in != nil || out != nil) {
			op = &models.ChannelActivation{Activation: op.(models.Activation), In: in, Out: out}
		}
		i++
		_, err := b.Add(n.Name, op, inputs...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("calibrate: equalize: %w", err)
	}
	return equalized, nil
}

// Scales are those by which each tensor's channels are divided; those of most are none.
func (e Equalization) Scales(g *models.Graph) (map[tensor.ID][]float32, error) {
	byTensor, known := map[tensor.ID][]float32{}, 0
	for _, group := range Groups(g) {
		logs, ok := e[group.Name]
		if !ok {
			continue
		}
		known++
		if len(logs) != group.Channels {
			return nil, fmt.Errorf("group %q: %d exponents, want %d, one for each channel", group.Name, len(logs), group.Channels)
		}
		scales := make([]float32, len(logs))
		for c, v := range logs {
			if v < -reach || v > reach {
				return nil, fmt.Errorf("group %q: channel %d: the exponent %d is not within %d", group.Name, c, v, reach)
			}
			scales[c] = float32(math.Ldexp(1, v))
		}
		for _, id := range group.Tensors {
			byTensor[id] = scales
		}
	}
	if known != len(e) {
		return nil, fmt.Errorf("%d of the %d groups are none of this network; were they made for another?", len(e)-known, len(e))
	}
	return byTensor, nil
}

// scaled is an operation that reads so many channels, its columns multiplied by
// in, rows and biases divided by out; nil leaves them.
func scaled(op models.Linear, channels int, in, out []float32) (models.Linear, error) {
	if in == nil && out == nil {
		return op, nil
	}
	p := op.Parameters()
	weight, bias := slices.Clone(p.Weight), slices.Clone(p.Bias)
	p.Each(channels, func(i, c, o int, w float32) {
		if in != nil {
			w *= in[c]
		}
		if out != nil {
			w /= out[o]
		}
		weight[i] = w
	})
	if out != nil {
		for o := range bias {
			bias[o] /= out[o]
		}
	}
	op = op.WithParameters(weight, bias)
	return op, finite(op.Parameters())
}

// NewEqualization chooses the scales of a folded graph's groups, given the
// largest magnitudes of channels by float tensor: the nearest powers of two to
// a^beta / r^(1-beta), around 1. Here a is the channel's largest magnitude in the
// group's tensors, and r the norm of its weights in the consumers, each output
// channel weighted by what its errors do to the output. With beta = 1 every
// channel uses the whole range of activations, with 0 every column that of weights:
// where depthwise convolutions alone are the consumers, whose weights have a scale for each
// channel all the same, or curves, beta is 1.
// Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
// Correction" (ICCV 2019), section 4.1, take 1/2; beta is the migration strength
// of Xiao et al., "SmoothQuant" (ICML 2023). The equalized network does not depend
// on how the channels were scaled before.
func NewEqualization(g *models.Graph, peaks map[tensor.ID][]float64, beta float64) Equalization {
	gains, e := errorGains(g), Equalization{}
	for _, group := range Groups(g) {
		a, r2 := make([]float64, group.Channels), make([]float64, group.Channels)
		for _, id := range group.Tensors {
			for c, peak := range peaks[id] {
				a[c] = max(a[c], peak)
			}
		}
		for _, i := range group.Consumers {
			addGain(r2, g.Nodes[i].Op, gains[tensor.Output(i)])
		}
		own := beta
		if !slices.ContainsFunc(group.Consumers, func(i int) bool { return !depthwise(g.Nodes[i].Op) && !curved(g.Nodes[i].Op) }) {
			own = 1
		}
		e[group.Name] = log2ScalesOf(a, r2, own)
	}
	return e
}

// log2ScalesOf rounds before it centres, so that powers of two in a and r change
// the scales by just as much. A channel that is never active, or never read,
// counts as one whose a * r is the others' geometric mean: its weights would
// otherwise coarsen those beside them.
func log2ScalesOf(a, r2 []float64, beta float64) Log2Scales {
	typical, live := 0.0, 0.0
	for c := range a {
		if a[c] > 0 && r2[c] > 0 {
			typical, live = typical+math.Log2(a[c])+math.Log2(r2[c])/2, live+1
		}
	}
	typical /= max(1, live)
	scales, sum, scaled := make(Log2Scales, len(a)), 0, 0
	for c := range a {
		if a[c] == 0 && r2[c] == 0 {
			continue
		}
		la, lr := math.Log2(a[c]), math.Log2(r2[c])/2
		switch {
		case a[c] == 0:
			la = typical - lr
		case r2[c] == 0:
			lr = typical - la
		}
		scales[c] = int(math.Round(float64(beta*la) - float64((1-beta)*lr)))
		sum, scaled = sum+scales[c], scaled+1
	}
	middle := int(math.Round(float64(sum) / float64(max(1, scaled))))
	for c := range a {
		if a[c] > 0 || r2[c] > 0 {
			scales[c] = max(-reach, min(reach, scales[c]-middle))
		}
	}
	return scales
}

// depthwise tells whether each output channel reads one channel of the input.
func depthwise(op models.Op) bool {
	c, ok := op.(*models.Conv)
	return ok && c.Groups == c.InC
}

// Bends are the limits beyond which curves that read tensors of a graph are constant, of
// those that nothing else reads.
func Bends(g *models.Graph) map[tensor.ID]models.Clip {
	bends := map[tensor.ID]models.Clip{}
	for _, n := range g.Nodes {
		if in := n.Inputs[0]; curved(n.Op) && len(g.Topology().Consumers(in)) == 1 {
			bends[in] = n.Op.(models.Activation).Bends()
		}
	}
	return bends
}
