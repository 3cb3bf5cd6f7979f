package calibrate

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/models"
)

// Group is a set of tensors whose channels can only be scaled together. To
// divide a channel by a positive factor in all of them, in the weights that
// produce it and, inversely, in those that consume it, leaves the network's
// function as it is, for ReLU, pooling and addition pass the factor on. In a
// residual network there is a group for every tensor inside a block, and one for
// the residual stream of every stage. The image and the logits belong to none.
type Group struct {
	Name      string // that of the first tensor
	Channels  int
	Tensors   []string
	Producers []string // the convolutions that write them
	Consumers []string // the convolutions and dense layers that read them
}

// Groups finds the groups of a folded graph in the order of its nodes.
func Groups(g *models.Graph) ([]Group, error) {
	shapes, err := g.Shapes()
	if err != nil {
		return nil, fmt.Errorf("calibrate: groups: %w", err)
	}
	t := tie(g)
	var groups []Group
	index := map[int]int{} // into groups, by first tensor
	for i, n := range g.Nodes {
		first := t.first(i + 1)
		if t.fixed[first] {
			continue
		}
		if first == i+1 {
			index[first] = len(groups)
			groups = append(groups, Group{Name: n.Name, Channels: shapes[n.Name].C})
		}
		group := &groups[index[first]]
		group.Tensors = append(group.Tensors, n.Name)
		if _, conv := n.Op.(*models.Conv); conv {
			group.Producers = append(group.Producers, n.Name)
		}
	}
	for _, n := range g.Nodes {
		if i, ok := index[t.first(t.number[n.Inputs[0]])]; ok && weighted(n.Op) {
			groups[i].Consumers = append(groups[i].Consumers, n.Name)
		}
	}
	return slices.DeleteFunc(groups, func(g Group) bool { return len(g.Consumers) == 0 }), nil
}

func weighted(op models.Op) bool {
	switch op.(type) {
	case *models.Conv, *models.Dense:
		return true
	}
	return false
}

// ties tell which tensors must be scaled together. The image is number 0, the
// output of node i number i+1.
type ties struct {
	number map[string]int
	to     []int        // an earlier tensor of the set; the first points to itself
	fixed  map[int]bool // sets that cannot be scaled, by first tensor
}

func tie(g *models.Graph) *ties {
	t := &ties{number: map[string]int{g.InputName: 0}, to: []int{0}, fixed: map[int]bool{}}
	fixed := []int{0, len(g.Nodes)}
	for i, n := range g.Nodes {
		t.number[n.Name] = i + 1
		t.to = append(t.to, i+1)
		switch n.Op.(type) {
		case *models.Conv:
		case models.ReLU, models.Add, *models.MaxPool, *models.AveragePool, models.GlobalAveragePool:
			for _, in := range n.Inputs {
				t.join(t.number[in], i+1)
			}
		case *models.Dense:
			fixed = append(fixed, i+1)
		default: // the factor does not pass through
			fixed = append(fixed, i+1, t.number[n.Inputs[0]])
		}
	}
	for _, i := range fixed {
		t.fixed[t.first(i)] = true
	}
	return t
}

func (t *ties) first(i int) int {
	for t.to[i] != i {
		i = t.to[i]
	}
	return i
}

func (t *ties) join(a, b int) {
	a, b = t.first(a), t.first(b)
	t.to[max(a, b)] = min(a, b)
}

// Exponents are the powers of two by which channels are divided, by the name of
// a group.
type Exponents map[string]Powers

// Powers are exponents of two, one for each channel. In JSON they are one string.
type Powers []int

// MarshalText writes the exponents with spaces in between.
func (p Powers) MarshalText() ([]byte, error) {
	return []byte(strings.Trim(fmt.Sprint([]int(p)), "[]")), nil
}

// UnmarshalText reads what MarshalText wrote.
func (p *Powers) UnmarshalText(text []byte) error {
	*p = nil
	for _, field := range strings.Fields(string(text)) {
		v, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("a channel's exponent: %w", err)
		}
		*p = append(*p, v)
	}
	return nil
}

// reach is the largest exponent. It leaves room in float32 for any sane weight.
const reach = 24

// Equalize divides channel c of every tensor of a group by 2^exponents[group][c].
// Rows and biases of the producers are divided, columns of the consumers
// multiplied, which for powers of two is exact: the executor gives the same
// logits, bit for bit. What changes is what an int8 range that all channels share
// costs each of them. g is not modified.
func Equalize(g *models.Graph, exponents Exponents) (*models.Graph, error) {
	groups, err := Groups(g)
	if err != nil {
		return nil, err
	}
	factors, err := factors(groups, exponents)
	if err != nil {
		return nil, fmt.Errorf("calibrate: equalize: %w", err)
	}
	equalized := *g
	equalized.Nodes = slices.Clone(g.Nodes)
	for i, n := range g.Nodes {
		in, out := factors[n.Inputs[0]], factors[n.Name]
		switch op := n.Op.(type) {
		case *models.Conv:
			equalized.Nodes[i].Op, err = scaledConv(op, in, out)
		case *models.Dense:
			equalized.Nodes[i].Op, err = scaledDense(op, in)
		}
		if err != nil {
			return nil, fmt.Errorf("calibrate: equalize: node %q: %w", n.Name, err)
		}
	}
	return &equalized, nil
}

// factors are the powers of two by tensor.
func factors(groups []Group, exponents Exponents) (map[string][]float32, error) {
	byTensor, known := map[string][]float32{}, 0
	for _, group := range groups {
		e, ok := exponents[group.Name]
		if !ok {
			continue
		}
		known++
		if len(e) != group.Channels {
			return nil, fmt.Errorf("group %q: %d exponents, want %d, one for each channel", group.Name, len(e), group.Channels)
		}
		f := make([]float32, len(e))
		for c, v := range e {
			if v < -reach || v > reach {
				return nil, fmt.Errorf("group %q: channel %d: the exponent %d is not within %d", group.Name, c, v, reach)
			}
			f[c] = float32(math.Ldexp(1, v))
		}
		for _, name := range group.Tensors {
			byTensor[name] = f
		}
	}
	if known != len(exponents) {
		return nil, fmt.Errorf("%d of the %d groups are none of this network; were they made for another?", len(exponents)-known, len(exponents))
	}
	return byTensor, nil
}

// scaledConv multiplies columns by in and divides rows by out; nil leaves them.
func scaledConv(op *models.Conv, in, out []float32) (*models.Conv, error) {
	if in == nil && out == nil {
		return op, nil
	}
	s := *op
	s.Weight, s.Bias = slices.Clone(op.Weight), slices.Clone(op.Bias)
	eachWeight(op, op.InC, func(i, c, o int, w float32) {
		if in != nil {
			w *= in[c]
		}
		if out != nil {
			w /= out[o]
		}
		s.Weight[i] = w
	})
	if out != nil {
		for o := range s.Bias {
			s.Bias[o] /= out[o]
		}
	}
	return &s, finite(s.Weight, s.Bias)
}

func scaledDense(op *models.Dense, in []float32) (*models.Dense, error) {
	if in == nil {
		return op, nil
	}
	s := *op
	s.Weight = slices.Clone(op.Weight)
	eachWeight(op, len(in), func(i, c, _ int, w float32) { s.Weight[i] = w * in[c] })
	return &s, finite(s.Weight)
}

func finite(values ...[]float32) error {
	for _, v := range values {
		if !allFinite(v) {
			return errors.New("a weight or bias is NaN or beyond float32")
		}
	}
	return nil
}

// Balance gives the exponents of a folded graph's groups: the nearest powers of
// two to a^beta / r^(1-beta), around 1. Here a is the channel's peak, the largest
// in the group's tensors, and r the norm of its weights in the consumers, each
// output channel weighted by what its errors do to the output. With beta = 1 every
// channel uses the whole range of activations, with 0 every column that of weights.
// Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
// Correction" (ICCV 2019) take 1/2; beta is the migration strength of Xiao et al.,
// "SmoothQuant" (ICML 2023). The equalized network does not depend on how the
// channels were scaled before.
func Balance(g *models.Graph, peaks map[string][]float64, beta float64) (Exponents, error) {
	shapes, err := g.Shapes()
	if err != nil {
		return nil, fmt.Errorf("calibrate: balance: %w", err)
	}
	groups, err := Groups(g)
	if err != nil {
		return nil, err
	}
	gains, exponents := errorGains(g, shapes), Exponents{}
	for _, group := range groups {
		a, r2 := make([]float64, group.Channels), make([]float64, group.Channels)
		for _, name := range group.Tensors {
			raise(a, peaks[name])
		}
		for _, n := range g.Nodes {
			if slices.Contains(group.Consumers, n.Name) {
				addGain(r2, n.Op, gains[n.Name])
			}
		}
		exponents[group.Name] = exponentsOf(a, r2, beta)
	}
	return exponents, nil
}

// exponentsOf rounds before it centres, so that powers of two in a and r change
// the exponents by just as much. A channel that is never active, or never read,
// counts as one whose a * r is the others' geometric mean: its weights would
// otherwise coarsen those beside them.
func exponentsOf(a, r2 []float64, beta float64) Powers {
	typical, live := 0.0, 0.0
	for c := range a {
		if a[c] > 0 && r2[c] > 0 {
			typical, live = typical+math.Log2(a[c])+math.Log2(r2[c])/2, live+1
		}
	}
	typical /= max(1, live)
	exponents, sum, scaled := make([]int, len(a)), 0, 0
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
		exponents[c] = int(math.Round(float64(beta*la) - float64((1-beta)*lr)))
		sum, scaled = sum+exponents[c], scaled+1
	}
	middle := int(math.Round(float64(sum) / float64(max(1, scaled))))
	for c := range a {
		if a[c] > 0 || r2[c] > 0 {
			exponents[c] = max(-reach, min(reach, exponents[c]-middle))
		}
	}
	return exponents
}
