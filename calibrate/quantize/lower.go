package quantize

import (
	"errors"
	"fmt"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Unit is what becomes one integer layer: a node together with the residual add
// and the ReLU or Clip that share its rounding.
type Unit struct {
	Name   string // the node's name, and the layer's
	Op     models.Op
	Inputs []tensor.ID  // 0 is the image, i+1 the output of unit i; the residual is the second
	Output tensor.ID    // the float tensor that the unit's output stands for
	Clip   models.Clip  // the limits of the output
	Shape  tensor.Shape // of the output
}

// operation is how operations of one kind are quantized.
type operation struct {
	// layer makes the integer operation of unit i and its output. Without it the
	// operation has a form only within the unit of another, and reason says why it
	// is in none; nil blames the node before it.
	layer  func(a *attempt, i int, in activation) (int8.Op, activation, error)
	reason func(g *models.Graph, n *models.Node) error
	// hosts says that a residual add and a ReLU or Clip become part of its unit.
	hosts bool
	// ranged says that its output needs a range, and may be int16.
	ranged bool
	// keeps says that its output is quantized as its input is: type, scale, sign.
	keeps bool
	// window is what an output of an operation with weights sees of its input.
	window func(op models.Op) tensor.Window
}

// operations are those that quantization knows, by kind.
var operations = map[string]operation{
	"conv": convolution, "dense": dense, "maxpool": maxPool, "avgpool": averagePool,
	"globalavgpool": globalAveragePool, "relu": relu, "add": add,
}

func (u *Unit) operation() operation { return operations[u.Op.Kind()] }

// linear tells whether the unit multiplies its input by weights.
func (u *Unit) linear() bool {
	_, ok := u.Op.(models.Linear)
	return ok
}

// Lower groups the nodes of a folded graph into units in the order of their
// execution, depth first; the last one is the dense classifier, a softmax behind
// it is dropped. Errors name the node that has no integer form.
func Lower(g *models.Graph) ([]Unit, error) {
	g = g.Logits()
	last := g.Nodes[len(g.Nodes)-1]
	if _, ok := last.Op.(*models.Dense); !ok {
		return nil, fmt.Errorf("calibrate: node %q (%s): the network must end in a dense classifier", last.Name, last.Op.Kind())
	}
	if c := g.Input().C; c != 1 && c != 3 {
		return nil, fmt.Errorf("calibrate: input %v: want an image of 1 or 3 channels", g.Input())
	}
	l := lowerer{Graph: g, fused: map[tensor.ID]models.Unit{}, made: map[tensor.ID]tensor.ID{tensor.Input: tensor.Input}}
	for _, u := range g.Fuse(func(op models.Op) bool { return operations[op.Kind()].hosts }) {
		l.fused[u.Output] = u
	}
	if err := l.visit(g.Output()); err != nil {
		return nil, err
	}
	for i := range l.units {
		if err := l.units[i].check(); err != nil {
			return nil, fmt.Errorf("calibrate: node %q (%s): %w", l.units[i].Name, l.units[i].Op.Kind(), err)
		}
	}
	return l.units, nil
}

type lowerer struct {
	*models.Graph
	fused map[tensor.ID]models.Unit // by float tensor
	made  map[tensor.ID]tensor.ID   // from float tensors to the units' outputs
	units []Unit
}

// visit makes the units that a float tensor needs, inputs first.
func (l *lowerer) visit(id tensor.ID) error {
	if _, ok := l.made[id]; ok {
		return nil
	}
	f := l.fused[id]
	if operations[f.Node.Op.Kind()].layer == nil {
		return l.formless(f.Node)
	}
	u := Unit{Name: f.Node.Name, Op: f.Node.Op, Output: id, Clip: f.Clip, Shape: l.Shape(id)}
	for _, in := range f.Inputs {
		if err := l.visit(in); err != nil {
			return err
		}
		made := l.made[in]
		if u.operation().keeps && made != tensor.Input {
			u.Clip = l.units[made.Node()].Clip
		}
		u.Inputs = append(u.Inputs, made)
	}
	l.units = append(l.units, u)
	l.made[id] = tensor.Output(len(l.units) - 1)
	return nil
}

// formless says why a node has no integer form.
func (l *lowerer) formless(n *models.Node) error {
	for {
		reason := operations[n.Op.Kind()].reason
		if reason == nil {
			return noForm(n)
		}
		if err := reason(l.Graph, n); err != nil {
			return err
		}
		n = &l.Nodes[n.Inputs[0].Node()]
	}
}

func noForm(n *models.Node) error {
	return fmt.Errorf("calibrate: node %q (%s): no integer form here; a ReLU or add must follow a convolution, and batch norm must be folded into one", n.Name, n.Op.Kind())
}

func (u *Unit) check() error {
	l, ok := u.Op.(models.Linear)
	if !ok {
		return nil
	}
	if u.Inputs[0] == tensor.Input && l.Parameters().Groups > 1 {
		return errors.New("a convolution of the image's channels in groups has no integer form")
	}
	return finite(l.Parameters())
}

func finite(p models.Parameters) error {
	if !models.Finite(p.Weight) || !models.Finite(p.Bias) {
		return errors.New("a weight or bias is NaN or beyond float32")
	}
	return nil
}

// Activations are the units whose outputs need a range.
func Activations(units []Unit) (ranged []Unit) {
	for _, u := range units {
		if u.operation().ranged {
			ranged = append(ranged, u)
		}
	}
	return ranged
}

// Averaged are the units whose means matter: those that feed weights.
func Averaged(units []Unit) (averaged []Unit) {
	read := map[tensor.ID]bool{}
	for _, u := range units {
		if u.linear() {
			read[u.Inputs[0]] = true
		}
	}
	for i, u := range units {
		if read[tensor.Output(i)] {
			averaged = append(averaged, u)
		}
	}
	return averaged
}
