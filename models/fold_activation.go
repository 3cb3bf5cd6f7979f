package models

import "edgeclassify/tensor"

// mergeClips makes one of two clips, and a ReLU of a clip that is one.
func mergeClips(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	outer, ok := limits(n)
	if !ok {
		return nil, nil
	}
	if inner, ok := limits(f.only(n.Inputs[0])); ok {
		if both := (Clip{max(outer.Min, inner.Min), min(outer.Max, inner.Max)}); both.Min < both.Max {
			return one(n.Name, both, f.producer(n.Inputs[0]).Inputs...), nil
		}
	}
	if _, clip := n.Op.(Clip); clip && outer == relu {
		return one(n.Name, ReLU{}, n.Inputs...), nil
	}
	return nil, nil
}

// limits are those of a ReLU or Clip.
func limits(n *Node) (Clip, bool) {
	if _, ok := as[ReLU](n); ok {
		return relu, true
	}
	return as[Clip](n)
}

// gateBySigmoid makes Swish and HardSwish of x * Sigmoid(x) and x * HardSigmoid(x).
func gateBySigmoid(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	if _, ok := n.Op.(Mul); !ok {
		return nil, nil
	}
	for i, x := range n.Inputs {
		gate := f.only(n.Inputs[1-i])
		if a, ok := as[Activation](gate); ok && gate.Inputs[0] == x {
			if gated, ok := a.gated(); ok {
				return one(n.Name, gated, x), nil
			}
		}
	}
	return nil, nil
}

// gated is x * a(x), if that has a name.
func (a Activation) gated() (Activation, bool) {
	if a.Function == Sigmoid {
		return Activation{Function: Swish, Alpha: 1}, true
	}
	return Activation{Function: HardSwish}, a == Activation{Function: HardSigmoid, Alpha: 1.0 / 6, Beta: 0.5}
}

// dropIdentity leaves out what changes nothing.
func dropIdentity(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	if id != f.Output() && f.identity(n) {
		return &rewriting{inputs: n.Inputs}, nil
	}
	return nil, nil
}

func (f *folder) identity(n *Node) bool {
	pixel := tensor.Square(1, 1, 0)
	switch op := n.Op.(type) {
	case Pad:
		return op == Pad{}
	case ReLU:
		return f.atLeastZero(n.Inputs[0])
	case Clip:
		return op == Unlimited()
	case *AveragePool:
		return op.Window == pixel
	case *MaxPool:
		return op.Window == pixel
	case *Gather:
		return op.ordered(f.Shape(n.Inputs[0]).C)
	case GlobalAveragePool:
		return f.Shape(n.Inputs[0]) == n.Shape
	}
	return false
}
