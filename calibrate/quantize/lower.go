package quantize

import (
	"errors"
	"fmt"
	"slices"

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

	ranges []string // the entries of the table that make the output's range; nil where it needs none
	int16  bool     // the output may be int16
}

// Int16 tells whether the output may be int16.
func (u *Unit) Int16() bool { return u.int16 }

// ranged tells whether the output has a range of its own.
func (u *Unit) ranged() bool { return slices.Contains(u.ranges, u.Name) }

// operation is how operations of one kind are quantized.
type operation struct {
	// layer makes the integer operation of unit i and its output, given its first
	// input.
	layer func(a *attempt, i int, in activation) (int8.Op, activation, error)
	// hosts tells whether an Add or a ReLU or Clip behind it becomes part of its unit;
	// nil is none.
	hosts func(behind models.Op) bool
	// ranged says that its output needs a range; pools, that it needs none where
	// the classifier alone reads it.
	ranged, pools bool
	// moves tells whether a unit's output may have another scale than that of its
	// range; nil is never.
	moves func(u *Unit) bool
	// keeps says that its output is quantized as its input is: type, scale, sign.
	keeps bool
	// reads16 and makes16 say that its inputs and its output may be int16.
	reads16, makes16 bool
	// functions are what it does to each value, if it is no more than that: one for all
	// channels, or one for each.
	functions func(op models.Op) []func(x float64) float64
	// window is what an output of an operation with weights sees of its input.
	window func(op models.Op, in tensor.Shape) tensor.Window
}

// operations are those that quantization knows, by kind.
var operations = map[string]operation{
	"activation": curve, "add": add, "avgpool": averagePool, "channelactivation": channelCurve, "clip": clip, "concat": concat, "conv": convolution,
	"dense": dense, "gather": gather, "globalavgpool": globalAveragePool, "maxpool": maxPool, "mul": mul, "relu": relu,
}

// takes tells whether the operation behind another becomes part of its unit.
func takes(op, behind models.Op) bool {
	hosts := operations[op.Kind()].hosts
	return hosts != nil && hosts(behind)
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
	for _, u := range g.Fuse(takes) {
		l.fused[u.Output] = u
	}
	if err := l.visit(g.Output()); err != nil {
		return nil, err
	}
	units := share(l.units)
	settleInt16(units)
	for i := range units {
		if err := units[i].check(); err != nil {
			return nil, fmt.Errorf("calibrate: node %q (%s): %w", units[i].Name, units[i].Op.Kind(), err)
		}
	}
	return units, nil
}

type lowerer struct {
	*models.Graph
	fused map[tensor.ID]models.Unit // by float tensor
	made  map[tensor.ID]tensor.ID   // from float tensors to the units' outputs
	image tensor.ID                 // what int8Image has made; 0 for nothing
	units []Unit
}

// visit makes the units that a float tensor needs, inputs first.
func (l *lowerer) visit(id tensor.ID) error {
	if _, ok := l.made[id]; ok {
		return nil
	}
	f := l.fused[id]
	if operations[f.Node.Op.Kind()].layer == nil {
		return fmt.Errorf("calibrate: node %q (%s): has no integer form; end the network before it, or replace it", f.Node.Name, f.Node.Op.Kind())
	}
	u := Unit{Name: f.Node.Name, Op: l.convolution(f.Node), Output: id, Clip: f.Clip, Shape: l.Shape(id)}
	for k, in := range f.Inputs {
		if err := l.visit(in); err != nil {
			return err
		}
		made := l.made[in]
		if in == tensor.Input && (k > 0 || !u.linear()) {
			made = l.int8Image()
		}
		if u.operation().keeps {
			u.Clip = l.units[made.Node()].Clip
		}
		u.Inputs = append(u.Inputs, made)
	}
	if op := u.operation(); op.ranged && !(op.pools && l.classified(id)) {
		u.ranges = []string{u.Name}
	}
	l.units = append(l.units, u)
	l.made[id] = tensor.Output(len(l.units) - 1)
	return nil
}

// convolution is the one that stands for a node's operation, if there is one: for a dense
// layer that is not the last one of the whole plane, for one of the image's channels in
// groups one of all channels.
func (l *lowerer) convolution(n *models.Node) models.Op {
	in := n.Inputs[0]
	switch op := n.Op.(type) {
	case *models.Dense:
		if shape := l.Shape(in); n != &l.Nodes[len(l.Nodes)-1] {
			return &models.Conv{Window: whole(shape), Groups: 1, InC: shape.C, OutC: op.Out, Weight: op.Weight, Bias: op.Bias}
		}
	case *models.Conv:
		if in == tensor.Input {
			return ungrouped(op)
		}
	}
	return n.Op
}

// classified tells whether the classifier alone reads a float tensor.
func (l *lowerer) classified(id tensor.ID) bool {
	readers := l.Topology().Consumers(id)
	return len(readers) == 1 && readers[0] == len(l.Nodes)-1
}

func (u *Unit) check() error {
	if l, ok := u.Op.(models.Linear); ok {
		return finite(l.Parameters())
	}
	return nil
}

func finite(p models.Parameters) error {
	if !models.Finite(p.Weight) || !models.Finite(p.Bias) {
		return errors.New("a weight or bias is NaN or beyond float32")
	}
	return nil
}

// Activations are the units whose outputs need a range of the table.
func Activations(units []Unit) (ranged []Unit) {
	for _, u := range units {
		if u.ranged() {
			ranged = append(ranged, u)
		}
	}
	return ranged
}

// Summed are the outputs that are sums of two tensors, and those that meet in them.
func Summed(units []Unit) map[tensor.ID]bool {
	summed := map[tensor.ID]bool{}
	for _, u := range units {
		if _, adds := u.Op.(models.Add); (adds || u.linear()) && len(u.Inputs) == 2 {
			summed[u.Output] = true
			for _, in := range u.Inputs {
				if in != tensor.Input && (adds || in == u.Inputs[1]) {
					summed[units[in.Node()].Output] = true
				}
			}
		}
	}
	return summed
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
