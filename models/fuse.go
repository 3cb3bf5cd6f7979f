package models

import (
	"slices"

	"edgeclassify/tensor"
)

// Unit is what is computed in one go: a node, the residual add behind it and the
// ReLU or Clip behind that, so that the tensors between them are never stored.
type Unit struct {
	Node   *Node       // that does the work
	Inputs []tensor.ID // of the node; the residual, if there is one, is the last
	Output tensor.ID   // that of the unit's last node
	Added  bool        // there is a residual
	Clip   Clip        // the limits of the output: of a ReLU {0, +Inf}
}

// Fuse groups the nodes into units, in an order in which they can run. Host
// tells whether an operation takes an Add or a ReLU or Clip behind it. Tensors that are shown, and
// those with several consumers, are not hidden within a unit. Where both sides of
// an add could be its host, it is the one at the end of the longer path from the
// last fork, so that the shortcut is the residual.
func (g *Graph) Fuse(host func(op, behind Op) bool, shown ...tensor.ID) []Unit {
	f := fuser{g, host, shown}
	hidden := map[tensor.ID]bool{}
	var units []Unit
	for i := range slices.Backward(g.Nodes) {
		if hidden[tensor.Output(i)] {
			continue
		}
		u, inside := f.match(tensor.Output(i))
		for _, id := range inside {
			hidden[id] = true
		}
		units = append(units, u)
	}
	slices.Reverse(units)
	return units
}

type fuser struct {
	*Graph
	host  func(op, behind Op) bool
	shown []tensor.ID
}

// match returns the unit that makes a tensor, and the tensors hidden inside.
func (f *fuser) match(output tensor.ID) (u Unit, inside []tensor.ID) {
	at := output
	clip, limited := saturation(f.node(at).Op)
	if before := f.node(at).Inputs[0]; limited && f.hidden(before) {
		at, inside = before, append(inside, before)
	} else {
		clip, limited = Unlimited(), false
	}
	if _, sum := f.node(at).Op.(Add); sum {
		if host, residual, ok := f.sides(f.node(at)); ok {
			n := f.node(host)
			return Unit{n, append(slices.Clone(n.Inputs), residual), output, true, clip}, append(inside, host)
		}
	}
	if limited && f.host(f.node(at).Op, f.node(output).Op) {
		return Unit{f.node(at), f.node(at).Inputs, output, false, clip}, inside
	}
	return Unit{f.node(output), f.node(output).Inputs, output, false, Unlimited()}, nil
}

// sides picks the host of an add.
func (f *fuser) sides(add *Node) (host, residual tensor.ID, ok bool) {
	longest := -1
	for i, in := range add.Inputs {
		if !f.hidden(in) || !f.host(f.node(in).Op, add.Op) {
			continue
		}
		if d := f.distance(in); d > longest {
			longest, host, residual, ok = d, in, add.Inputs[1-i], true
		}
	}
	return host, residual, ok
}

func (f *fuser) node(id tensor.ID) *Node { return &f.Nodes[id.Node()] }

// hidden tells whether a tensor can be: a node makes it and one alone reads it.
func (f *fuser) hidden(id tensor.ID) bool {
	return id != tensor.Input && len(f.topology.Consumers(id)) == 1 && !slices.Contains(f.shown, id)
}

// distance counts the nodes from the image or the nearest fork to a tensor.
func (f *fuser) distance(id tensor.ID) int {
	d := 0
	for id != tensor.Input && (d == 0 || len(f.topology.Consumers(id)) == 1) {
		id = f.node(id).Inputs[0]
		d++
	}
	return d
}
