package int8

import "fmt"

// Reference runs the network on an image of the input's shape, in HWC order, and
// returns the logits: the plain definition of every operation, slow and
// obvious. Visit, if not nil, sees every layer's output; its values may be kept.
func (n *Network) Reference(pixels []uint8, visit func(l *Layer, values []int32)) ([]int32, error) {
	if err := checkLen("the picture", len(pixels), n.Input.Shape.Elements()); err != nil {
		return nil, fmt.Errorf("int8: %w", err)
	}
	image := make([]int32, len(pixels))
	for i, p := range pixels {
		image[i] = int32(p) - 128
	}
	tensors := []operand{{&n.Input, image}}
	for i := range n.Layers {
		l := &n.Layers[i]
		in := make([]operand, len(l.Inputs))
		for k, id := range l.Inputs {
			in[k] = tensors[id]
		}
		out := l.Op.reference(in, &l.Out)
		if visit != nil {
			visit(l, out)
		}
		tensors = append(tensors, operand{&l.Out, out})
	}
	return tensors[len(n.Layers)].values, nil
}
