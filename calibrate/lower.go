package calibrate

import (
	"fmt"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// unit is what becomes one integer layer: a node together with the residual
// add and the ReLU that share its rounding.
type unit struct {
	name   string // the node's name
	op     models.Op
	inputs []string // names of units, or of the image; the residual is the second
	tensor string   // the float tensor that the unit's output stands for
	relu   bool     // the output cannot be negative
	shape  tensor.Shape
}

// lower groups the nodes of a folded graph into units in the order of their
// execution; the last one is the dense classifier, a softmax behind it is
// dropped. Errors name the node that has no integer form.
func lower(g *models.Graph) ([]unit, error) {
	shapes, err := g.Shapes()
	if err != nil {
		return nil, err
	}
	l := lowerer{graph: g, shapes: shapes, index: map[string]int{}, consumers: map[string][]int{}, made: map[string]unit{}}
	for i, n := range g.Nodes {
		l.index[n.Name] = i
		for _, in := range n.Inputs {
			l.consumers[in] = append(l.consumers[in], i)
		}
	}
	last := g.Nodes[len(g.Nodes)-1]
	if _, ok := last.Op.(models.Softmax); ok {
		last = g.Nodes[l.index[last.Inputs[0]]]
	}
	if _, ok := last.Op.(*models.Dense); !ok {
		return nil, fmt.Errorf("calibrate: node %q (%s): the network must end in a dense classifier", last.Name, last.Op.Kind())
	}
	if _, err := l.visit(last.Name); err != nil {
		return nil, err
	}
	for _, u := range l.units {
		if err := u.checkWeights(); err != nil {
			return nil, fmt.Errorf("calibrate: node %q (%s): %w", u.name, u.op.Kind(), err)
		}
	}
	return l.units, nil
}

func (u unit) checkWeights() error {
	var err error
	switch op := u.op.(type) {
	case *models.Conv:
		err = finite(op.Weight, op.Bias)
	case *models.Dense:
		err = finite(op.Weight, op.Bias)
	}
	return err
}

type lowerer struct {
	graph     *models.Graph
	shapes    map[string]tensor.Shape
	index     map[string]int
	consumers map[string][]int
	made      map[string]unit // by float tensor
	units     []unit
}

// visit makes the units that a float tensor needs, inputs first, and returns
// the one that yields it.
func (l *lowerer) visit(name string) (unit, error) {
	if u, ok := l.made[name]; ok {
		return u, nil
	}
	if name == l.graph.InputName {
		return unit{name: name, tensor: name, shape: l.graph.Input}, nil
	}
	u, err := l.match(name)
	if err != nil {
		return unit{}, err
	}
	for i, in := range u.inputs {
		source, err := l.visit(in)
		if err != nil {
			return unit{}, err
		}
		u.inputs[i] = source.name
		if _, pool := u.op.(*models.MaxPool); pool {
			u.relu = source.relu
		}
		if _, pool := u.op.(*models.AveragePool); pool {
			u.relu = source.relu
		}
	}
	u.shape = l.shapes[name]
	l.made[name] = u
	l.units = append(l.units, u)
	return u, nil
}

// match finds the unit whose output is the named tensor: backwards over a
// ReLU, then over an add, to the node that does the work.
func (l *lowerer) match(name string) (unit, error) {
	u := unit{tensor: name}
	n := l.node(name)
	if _, ok := n.Op.(models.ReLU); ok {
		u.relu = true
		before := n.Inputs[0]
		if !l.sole(before) {
			return unit{}, fmt.Errorf("calibrate: node %q: its input %q is also used without the ReLU, which has no integer form", n.Name, before)
		}
		n = l.node(before)
	}
	if _, ok := n.Op.(models.Add); ok {
		host, residual := l.host(n)
		if host == nil {
			return unit{}, fmt.Errorf("calibrate: node %q (add): neither input is a convolution that feeds this add alone, so there is nothing to fuse it with", n.Name)
		}
		u.name, u.op, u.inputs = host.Name, host.Op, []string{host.Inputs[0], residual}
		return u, nil
	}
	u.name, u.op, u.inputs = n.Name, n.Op, append([]string(nil), n.Inputs...)
	switch n.Op.(type) {
	case *models.Conv:
		return u, nil
	case *models.MaxPool, *models.AveragePool, models.GlobalAveragePool, *models.Dense:
		if !u.relu {
			return u, nil
		}
	}
	return unit{}, fmt.Errorf("calibrate: node %q (%s): no integer form here; a ReLU or add must follow a convolution, and batch norm must be folded into one", n.Name, n.Op.Kind())
}

func (l *lowerer) node(name string) *models.Node {
	if i, ok := l.index[name]; ok {
		return &l.graph.Nodes[i]
	}
	return &models.Node{Name: name, Op: models.Softmax{}} // the image: no match accepts it
}

func (l *lowerer) sole(name string) bool { return len(l.consumers[name]) == 1 }

// host picks the convolution that an add is fused into: the one at the end of
// the longer path from the image, so that the shortcut is the residual.
func (l *lowerer) host(add *models.Node) (host *models.Node, residual string) {
	best := -1
	for i, in := range add.Inputs {
		n := l.node(in)
		if _, conv := n.Op.(*models.Conv); !conv || !l.sole(in) || add.Inputs[1-i] == in {
			continue
		}
		if d := l.distance(in); d > best {
			best, host, residual = d, n, add.Inputs[1-i]
		}
	}
	return host, residual
}

// distance counts the nodes from the image or the nearest fork to a tensor.
func (l *lowerer) distance(name string) int {
	d := 0
	for {
		i, ok := l.index[name]
		if !ok || (d > 0 && !l.sole(name)) {
			return d
		}
		name = l.graph.Nodes[i].Inputs[0]
		d++
	}
}
