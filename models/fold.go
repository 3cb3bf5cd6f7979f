package models

import (
	"fmt"
	"slices"

	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// Fold returns a graph of the same function in fewer operations, as quantization
// wants it: batch norms and pads within the convolutions and pools that take them,
// activations in one node each, and a Dense before the softmax.
func (g *Graph) Fold() (*Graph, error) {
	folded, err := g.fold()
	if err != nil {
		return nil, err
	}
	if folded, err = folded.arranged(); err != nil {
		return nil, err
	}
	return folded.fold()
}

// fold applies rules until none does.
func (g *Graph) fold() (*Graph, error) {
	for i := 0; i < len(rules); {
		changed, err := g.apply(rules[i])
		switch {
		case err != nil:
			return nil, err
		case changed != nil:
			g, i = changed, 0
		default:
			i++
		}
	}
	return g, nil
}

// rules are those of Fold, by precedence: one is tried where none before it applies.
var rules = []rule{
	mergeClips, gateBySigmoid, dropIdentity, gatherSource, concatOfConcat, mergePads, padWindow,
	normLinear, normNorm, normImage, linearNorm,
	poolWhole, poolBeforeHead, headFromConv,
	normAlone, padAlone, appendHead,
}

// rule finds what computes a node's tensor better; nil is nothing.
type rule func(f *folder, id tensor.ID) (*rewriting, error)

// folder is what rules know of a graph.
type folder struct {
	*Graph
	nonNegative []bool // by tensor
}

// rewriting puts other operations in the place of a node: a chain that makes its
// tensor from others of the graph, or is one of those where it is empty.
type rewriting struct {
	chain      []link
	inputs     []tensor.ID      // of the first
	norm       *BatchNorm       // whose output is the last one's; nil is none, or that of the node
	preprocess *preprocess.Spec // of the graph from then on; nil is its own
}

type link struct {
	name string
	op   Op
}

// one is a rewriting to a single operation.
func one(name string, op Op, inputs ...tensor.ID) *rewriting {
	return &rewriting{chain: []link{{name, op}}, inputs: inputs}
}

// apply rewrites all nodes to which a rule applies, and drops those that nothing reads
// then. It returns nil if there are none.
func (g *Graph) apply(r rule) (*Graph, error) {
	f, rewritings := &folder{Graph: g}, map[tensor.ID]*rewriting{}
	for i, n := range g.Nodes {
		w, err := r(f, tensor.Output(i))
		if err != nil {
			return nil, fmt.Errorf("node %q: %w", n.Name, err)
		}
		if w != nil {
			rewritings[tensor.Output(i)] = w
		}
	}
	if len(rewritings) == 0 {
		return nil, nil
	}
	return g.rewritten(rewritings)
}

func (g *Graph) rewritten(rewritings map[tensor.ID]*rewriting) (*Graph, error) {
	of := func(i int) *rewriting {
		if w := rewritings[tensor.Output(i)]; w != nil {
			return w
		}
		return one(g.Nodes[i].Name, g.Nodes[i].Op, g.Nodes[i].Inputs...)
	}
	read := map[tensor.ID]bool{}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		id := tensor.Output(i)
		read[id] = read[id] || len(g.topology.Consumers(id)) == 0
		for _, in := range of(i).inputs {
			read[in] = read[in] || read[id]
		}
	}
	b, names := NewBuilder(g.InputName(), g.input), map[tensor.ID]string{tensor.Input: g.InputName()}
	spec, norms := g.Preprocess, map[string]*BatchNorm{}
	for i := range g.Nodes {
		w := of(i)
		if !read[tensor.Output(i)] {
			continue
		}
		var inputs []string
		for _, in := range w.inputs {
			inputs = append(inputs, names[in])
		}
		for _, l := range w.chain {
			_, _ = b.Add(l.name, l.op, inputs...) // an error is Graph's, too
			inputs = []string{l.name}
			if norm := g.norms[l.name]; norm != nil && l.name == g.Nodes[i].Name {
				norms[l.name] = norm // its values are the same
			}
		}
		names[tensor.Output(i)] = inputs[0]
		if w.norm != nil {
			norms[inputs[0]] = w.norm
		}
		if w.preprocess != nil {
			spec = *w.preprocess
		}
	}
	folded, err := b.Graph(g.Name, spec, g.Classes)
	if err != nil {
		return nil, err
	}
	folded.Activation, folded.norms = g.Activation, norms
	return folded, nil
}

// producer is the node that makes a tensor, nil for the image.
func (f *folder) producer(id tensor.ID) *Node {
	if id == tensor.Input {
		return nil
	}
	return &f.Nodes[id.Node()]
}

// only is the node that makes a tensor which one node alone reads; nil if there are
// others or it is the image.
func (f *folder) only(id tensor.ID) *Node {
	if len(f.topology.Consumers(id)) != 1 {
		return nil
	}
	return f.producer(id)
}

// as is a node's operation, if there is a node and it is of that kind.
func as[T Op](n *Node) (op T, ok bool) {
	if n != nil {
		op, ok = n.Op.(T)
	}
	return op, ok
}

// atLeastZero tells whether a tensor provably has no negative value.
func (f *folder) atLeastZero(id tensor.ID) bool {
	if f.nonNegative == nil {
		f.nonNegative = make([]bool, f.topology.Len())
		for i, n := range f.Nodes {
			op, known := n.Op.(signed)
			negative := func(in tensor.ID) bool { return !f.nonNegative[in] }
			f.nonNegative[tensor.Output(i)] = known && op.nonNegative(!slices.ContainsFunc(n.Inputs, negative))
		}
	}
	return f.nonNegative[id]
}
