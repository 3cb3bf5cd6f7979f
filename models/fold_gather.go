package models

import (
	"cmp"
	"slices"

	"edgeclassify/tensor"
)

// gatherSource takes channels from where they come from: from what another Gather reads,
// or from the one input of a Concat that has them all.
func gatherSource(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	g, ok := n.Op.(*Gather)
	source := f.producer(n.Inputs[0])
	if !ok || source == nil {
		return nil, nil
	}
	switch op := source.Op.(type) {
	case *Gather:
		indices := make([]int, len(g.Indices))
		for i, c := range g.Indices {
			indices[i] = op.Indices[c]
		}
		return one(n.Name, &Gather{indices}, source.Inputs[0]), nil
	case Concat:
		first := 0
		for _, in := range source.Inputs {
			c := f.Shape(in).C
			if slices.Min(g.Indices) >= first && slices.Max(g.Indices) < first+c {
				indices := slices.Clone(g.Indices)
				for i := range indices {
					indices[i] -= first
				}
				return one(n.Name, &Gather{indices}, in), nil
			}
			first += c
		}
	}
	return nil, nil
}

// concatOfConcat makes a Concat whose first inputs are those of another one read that:
// in a dense block all of them then lie in the last one's memory.
func concatOfConcat(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	if _, ok := n.Op.(Concat); !ok {
		return nil, nil
	}
	var longest *rewriting
	most := 1
	for _, reader := range f.topology.Consumers(n.Inputs[0]) {
		m := &f.Nodes[reader]
		count := len(m.Inputs)
		if _, ok := m.Op.(Concat); ok && reader < id.Node() && count > most && count < len(n.Inputs) && slices.Equal(m.Inputs, n.Inputs[:count]) {
			most, longest = count, one(n.Name, Concat{}, append([]tensor.ID{tensor.Output(reader)}, n.Inputs[count:]...)...)
		}
	}
	return longest, nil
}

// ordered tells whether indices take all of so many channels as they are.
func (g *Gather) ordered(channels int) bool {
	for i, c := range g.Indices {
		if i != c {
			return false
		}
	}
	return len(g.Indices) == channels
}

// arranged returns the graph with the channels of its tensors in an order in which
// Gathers take runs of them: what one Gather selects lies together, and what those behind
// it select together within that. Weights that make channels and weights that read them
// change places, so that a permutation costs nothing: what remains are Gathers of runs, and
// those between layers whose groups differ. A graph without Gathers stays as it is.
func (g *Graph) arranged() (*Graph, error) {
	if !slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.Op.Kind() == (*Gather)(nil).Kind() }) {
		return g, nil
	}
	a := newArranger(g)
	orders := make([][]int, g.topology.Len())
	same := true
	for id := range orders {
		orders[id] = a.orderOf(a.sets[id])
		same = same && slices.IsSorted(orders[id])
	}
	if same {
		return g, nil
	}
	i := 0
	changed, err := g.Rewrite(func(b *Builder, n Node, inputs []string) error {
		_, err := b.Add(n.Name, reordered(n.Op, orders[n.Inputs[0]], orders[tensor.Output(i)]), inputs...)
		i++
		return err
	})
	if err != nil {
		return nil, err
	}
	changed.norms = map[string]*BatchNorm{}
	for i, n := range g.Nodes {
		if norm := g.norms[n.Name]; norm != nil {
			changed.norms[n.Name] = norm.reordered(orders[tensor.Output(i)])
		}
	}
	return changed, nil
}

// arranger finds orders of channels. Tensors that can only have the same order are a set.
type arranger struct {
	*Graph
	sets []*channelSet // by tensor
}

// channelSet is tensors whose channels have one order.
type channelSet struct {
	tensors []tensor.ID
	cuts    []bool // channels that none before them may change places with, nor with those before
	// What Gathers behind it do to channels: those of equal rank have the same fate.
	rank []int
	// Channels of higher rank come first, so that in a Concat they lie beside those before.
	descending bool
	concats    [][]tensor.ID // inputs of Concats that make some of the tensors, whose order is theirs
	order      []int         // the channel at each place, once it is found
}

func newArranger(g *Graph) *arranger {
	a := &arranger{Graph: g, sets: make([]*channelSet, g.topology.Len())}
	for id := range a.sets {
		a.sets[id] = &channelSet{tensors: []tensor.ID{tensor.ID(id)}, cuts: make([]bool, g.Shape(tensor.ID(id)).C)}
	}
	for i, n := range g.Nodes {
		if passes(n.Op) {
			for _, in := range n.Inputs {
				a.unite(a.sets[in], a.sets[tensor.Output(i)])
			}
		}
	}
	for i, n := range g.Nodes {
		a.constrain(n, tensor.Output(i))
	}
	a.sets[tensor.Input].fix()
	a.sets[g.Output()].fix()
	a.spread()
	for id := range slices.Backward(a.sets) {
		if s := a.sets[id]; s.tensors[0] == tensor.ID(id) {
			a.ranks(s)
		}
	}
	return a
}

// passes tells whether an operation computes channels each of its own, so that inputs and
// output have one order.
func passes(op Op) bool {
	switch op := op.(type) {
	case ReLU, Clip, Activation, Pad, Add, Mul, *BatchNorm, *MaxPool, *AveragePool, GlobalAveragePool:
		return true
	case *Conv:
		return op.Groups == op.InC && op.OutC == op.InC && op.Groups > 1
	}
	return false
}

func (a *arranger) unite(x, y *channelSet) {
	if x == y {
		return
	}
	x.tensors = append(x.tensors, y.tensors...)
	slices.Sort(x.tensors)
	for _, id := range y.tensors {
		a.sets[id] = x
	}
}

// constrain notes what a node demands of its tensors' orders.
func (a *arranger) constrain(n Node, out tensor.ID) {
	if passes(n.Op) {
		return
	}
	switch op := n.Op.(type) {
	case *Gather:
	case *Dense: // features of the picture have the file's order
		if s := a.Shape(n.Inputs[0]); s.H*s.W == 1 && out == a.Logits().Output() {
			a.sets[n.Inputs[0]].fix()
		}
	case *Conv:
		a.sets[n.Inputs[0]].cut(op.InC / op.Groups)
		a.sets[out].cut(op.OutC / op.Groups)
	case Concat:
		s := a.sets[out]
		if s.concats = append(s.concats, n.Inputs); len(s.concats) > 1 {
			s.fix()
		}
		for i, in := range n.Inputs {
			if i%2 == 1 {
				a.sets[in].descending = true
			}
		}
	default:
		a.sets[out].fix()
		for _, in := range n.Inputs {
			a.sets[in].fix()
		}
	}
}

// cut keeps channels in groups of n.
func (s *channelSet) cut(n int) {
	for c := 0; c < len(s.cuts); c += n {
		s.cuts[c] = true
	}
}

func (s *channelSet) fix() { s.cut(1) }

// spread gives the inputs of Concats the cuts of their outputs, widest first: an input
// may be a narrower Concat.
func (a *arranger) spread() {
	widest := slices.Clone(a.sets)
	slices.SortStableFunc(widest, func(x, y *channelSet) int { return len(y.cuts) - len(x.cuts) })
	for _, s := range widest {
		for _, inputs := range s.concats {
			first := 0
			for _, in := range inputs {
				cuts := a.sets[in].cuts
				for c := range cuts {
					cuts[c] = cuts[c] || s.cuts[first+c]
				}
				first += len(cuts)
			}
		}
	}
}

// ranks tells channels apart by what those who read them do.
func (a *arranger) ranks(s *channelSet) {
	s.rank = make([]int, len(s.cuts))
	for _, id := range s.tensors {
		for _, reader := range a.topology.Consumers(id) {
			n := &a.Nodes[reader]
			behind := a.sets[tensor.Output(reader)].rank
			switch op := n.Op.(type) {
			case *Gather:
				selected, first := make([]int, len(s.rank)), 1
				if a.copied(tensor.Output(reader)) {
					first = -len(op.Indices)
				}
				for i, c := range op.Indices {
					if selected[c] == 0 {
						selected[c] = first
						if behind != nil {
							selected[c] += behind[i]
						}
					}
				}
				s.refine(selected)
			case Concat:
				first := 0
				for _, in := range n.Inputs {
					if in == id && behind != nil {
						s.refine(behind[first:][:len(s.rank)])
					}
					first += a.Shape(in).C
				}
			}
		}
	}
}

// copied tells whether a Concat reads a tensor: what a Gather makes then has to be copied,
// and others should be what lies side by side.
func (a *arranger) copied(id tensor.ID) bool {
	return slices.ContainsFunc(a.topology.Consumers(id), func(reader int) bool {
		_, ok := a.Nodes[reader].Op.(Concat)
		return ok
	})
}

// refine orders channels of equal rank by a second one.
func (s *channelSet) refine(by []int) {
	channels := counted(len(s.rank))
	slices.SortStableFunc(channels, func(x, y int) int {
		if s.rank[x] != s.rank[y] {
			return s.rank[x] - s.rank[y]
		}
		return by[x] - by[y]
	})
	rank := make([]int, len(s.rank))
	for i, c := range channels[1:] {
		before := channels[i]
		if rank[c] = rank[before]; s.rank[c] != s.rank[before] || by[c] != by[before] {
			rank[c]++
		}
	}
	s.rank = rank
}

func counted(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// orderOf is the channel at each place of a set's tensors.
func (a *arranger) orderOf(s *channelSet) []int {
	if s.order != nil {
		return s.order
	}
	if len(s.concats) > 0 {
		var order []int
		for _, in := range s.concats[0] {
			first := len(order)
			for _, c := range a.orderOf(a.sets[in]) {
				order = append(order, first+c)
			}
		}
		s.order = order
		return order
	}
	place, order := a.places(s), counted(len(s.cuts))
	for first := 0; first < len(order); {
		end := first + 1
		for end < len(order) && !s.cuts[end] {
			end++
		}
		slices.SortStableFunc(order[first:end], func(x, y int) int {
			up := cmp.Compare(s.rank[x], s.rank[y])
			if s.descending {
				up = -up
			}
			return cmp.Or(up, place[x]-place[y])
		})
		first = end
	}
	s.order = order
	return order
}

// places are those of channels in what a Gather selects them from; else their own.
func (a *arranger) places(s *channelSet) []int {
	for _, id := range s.tensors {
		n := (&folder{Graph: a.Graph}).producer(id)
		g, ok := as[*Gather](n)
		if !ok {
			continue
		}
		if order := a.sets[n.Inputs[0]].order; order != nil {
			at, places := inverse(order), make([]int, len(g.Indices))
			for i, c := range g.Indices {
				places[i] = at[c]
			}
			return places
		}
	}
	return counted(len(s.cuts))
}

// inverse is the place of each channel.
func inverse(order []int) []int {
	at := make([]int, len(order))
	for i, c := range order {
		at[c] = i
	}
	return at
}

// reordered is an operation whose first input and output have the channels in that order.
func reordered(op Op, in, out []int) Op {
	switch op := op.(type) {
	case *Gather:
		at, indices := inverse(in), make([]int, len(out))
		for i, c := range out {
			indices[i] = at[op.Indices[c]]
		}
		return &Gather{indices}
	case *BatchNorm:
		return op.reordered(out)
	case Linear:
		if slices.IsSorted(in) && slices.IsSorted(out) {
			return op
		}
		p := op.Parameters()
		depth, groupIn, groupOut := len(p.Weight)/p.Out, len(in)/p.Groups, p.Out/p.Groups
		weight, bias := make([]float32, len(p.Weight)), p.Bias
		for o, from := range out {
			first, fromFirst := o/groupOut*groupIn, from/groupOut*groupIn
			row := p.Weight[from*depth:][:depth]
			for k := range depth {
				c := k % groupIn
				weight[o*depth+k] = row[k-c+in[first+c]-fromFirst]
			}
		}
		if bias != nil {
			bias = taken(bias, out)
		}
		return op.WithParameters(weight, bias)
	}
	return op
}

func (b *BatchNorm) reordered(order []int) *BatchNorm {
	return &BatchNorm{taken(b.Gamma, order), taken(b.Beta, order), taken(b.Mean, order), taken(b.Variance, order), b.Epsilon}
}

func taken(values []float32, order []int) []float32 {
	out := make([]float32, len(order))
	for i, c := range order {
		out[i] = values[c]
	}
	return out
}
