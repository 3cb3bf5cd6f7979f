package models

import "edgeclassify/tensor"

// poolWhole makes an average over all of a plane a global one.
func poolWhole(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	p, ok := n.Op.(*AveragePool)
	if in := f.Shape(n.Inputs[0]); !ok || padded(p.Window) || p.KH != in.H || p.KW != in.W {
		return nil, nil
	}
	return one(n.Name, GlobalAveragePool{}, n.Inputs...), nil
}

// logits tells whether a tensor is that before the final softmax or sigmoid.
func (f *folder) logits(id tensor.ID) bool { return id == f.Logits().Output() }

// poolBeforeHead takes the average before a final 1x1 convolution, not behind it.
func poolBeforeHead(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	if _, ok := n.Op.(GlobalAveragePool); !ok || !f.logits(id) {
		return nil, nil
	}
	before := f.only(n.Inputs[0])
	if c, ok := as[*Conv](before); !ok || c.Window != tensor.Square(1, 1, 0) {
		return nil, nil
	}
	return &rewriting{chain: []link{{n.Name, n.Op}, {before.Name, before.Op}}, inputs: before.Inputs}, nil
}

// headFromConv makes a convolution at the end that gives one pixel a dense layer.
func headFromConv(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	c, ok := n.Op.(*Conv)
	if !ok || !f.logits(id) || c.Groups > 1 || n.Shape.H*n.Shape.W != 1 {
		return nil, nil
	}
	in := f.Shape(n.Inputs[0])
	d := &Dense{In: in.Elements(), Out: c.OutC, Weight: make([]float32, c.OutC*in.Elements()), Bias: c.Bias}
	stepH, stepW := c.Steps()
	for tap := range c.OutC * c.KH * c.KW {
		o, y, x := tap/(c.KH*c.KW), tap/c.KW%c.KH*stepH-c.Top, tap%c.KW*stepW-c.Left
		if y >= 0 && y < in.H && x >= 0 && x < in.W {
			copy(d.Weight[o*d.In+(y*in.W+x)*in.C:], c.Weight[tap*in.C:][:in.C])
		}
	}
	return one(n.Name, d, n.Inputs...), nil
}

// maxHead bounds the dense layer that appendHead makes, in classes.
const maxHead = 4096

// appendHead puts a dense layer that changes nothing behind a network which ends in
// something else.
func appendHead(f *folder, id tensor.ID) (*rewriting, error) {
	n := f.producer(id)
	if _, ok := n.Op.(*Dense); ok || !f.logits(id) || n.Shape.H*n.Shape.W != 1 || n.Shape.C > maxHead {
		return nil, nil
	}
	name := "logits"
	for _, err := f.topology.ID(name); err == nil; _, err = f.topology.ID(name) {
		name += "'"
	}
	d := &Dense{In: n.Shape.C, Out: n.Shape.C, Weight: make([]float32, n.Shape.C*n.Shape.C)}
	for c := range n.Shape.C {
		d.Weight[c*n.Shape.C+c] = 1
	}
	return &rewriting{chain: []link{{n.Name, n.Op}, {name, d}}, inputs: n.Inputs}, nil
}
