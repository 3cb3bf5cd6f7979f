package calibrate

import (
	"fmt"
	"slices"

	"edgeclassify/models"
)

// fused is what becomes one step: a node, the residual add behind it and the
// ReLU behind that, so that the outputs between them are never stored.
type fused struct {
	node   *models.Node
	inputs []string // of the node; the residual is the second
	relu   bool
	output string // the last node's name
}

// fuse groups the nodes of g, in an order in which they can run. Shown outputs,
// and those with several uses, are not hidden within a group.
func fuse(g *models.Graph, shown []string) ([]fused, error) {
	f := fuser{uses: map[string]int{}, nodes: map[string]*models.Node{}}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		f.nodes[n.Name] = n
		for _, in := range n.Inputs {
			f.uses[in]++
		}
	}
	for _, name := range shown {
		if f.nodes[name] == nil {
			return nil, fmt.Errorf("there is no node %q to show", name)
		}
		f.uses[name]++
	}
	hidden := map[string]bool{}
	var units []fused
	for _, n := range slices.Backward(g.Nodes) {
		if hidden[n.Name] {
			continue
		}
		u, inside := f.match(n.Name)
		for _, name := range inside {
			hidden[name] = true
		}
		units = append(units, u)
	}
	slices.Reverse(units)
	return units, nil
}

type fuser struct {
	uses  map[string]int // of a tensor, by nodes and to show it
	nodes map[string]*models.Node
}

// match returns the group that makes the named tensor, and the names of those
// hidden inside.
func (f *fuser) match(output string) (u fused, inside []string) {
	n := f.nodes[output]
	if _, relu := n.Op.(models.ReLU); relu {
		if before := f.hidden(n.Inputs[0]); before != nil {
			u.relu, n, inside = true, before, append(inside, before.Name)
		}
	}
	if _, sum := n.Op.(models.Add); sum {
		for i, in := range n.Inputs {
			if host := f.hidden(in); host != nil && canFuse(host.Op) {
				return fused{host, []string{host.Inputs[0], n.Inputs[1-i]}, u.relu, output}, append(inside, in)
			}
		}
	}
	if u.relu && canFuse(n.Op) {
		return fused{n, n.Inputs, true, output}, inside
	}
	n = f.nodes[output]
	return fused{n, n.Inputs, false, output}, nil
}

// hidden returns the node that makes a tensor of a single use, or nil.
func (f *fuser) hidden(name string) *models.Node {
	if f.uses[name] == 1 {
		return f.nodes[name]
	}
	return nil
}

// canFuse tells whether an operation takes a residual and a ReLU.
func canFuse(op models.Op) bool {
	switch op := op.(type) {
	case *models.Conv:
		return !isDepthwise(op)
	case *models.Dense:
		return true
	}
	return false
}
