package onnx

import (
	"cmp"
	"fmt"
	"slices"

	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// finish makes the graph of the nodes that the output needs.
func (imp *importing) finish(name string, out *view, metadata map[string]string) (*models.Imported, error) {
	imported := &models.Imported{}
	spec, err := imp.preprocess(imported, out.node, metadata)
	if err != nil {
		return nil, err
	}
	if err := imp.absorb(out.node); err != nil {
		return nil, err
	}
	b := models.NewBuilder(imp.image.name, imp.image.shape)
	nodes, _ := imp.live(out.node)
	for i, n := range nodes {
		op := n.op
		if abstract, ok := op.(internal); ok {
			if op, err = abstract.lower(&imp.constants, n.inputs[0].shape); err != nil {
				return nil, fmt.Errorf("node %q: %w", n.name, err)
			}
		}
		if _, ok := op.(models.Softmax); ok && i < len(nodes)-1 {
			return nil, fmt.Errorf("node %q: Softmax has a form here only at the end", n.name)
		}
		var inputs []string
		for _, in := range n.inputs {
			inputs = append(inputs, in.name)
		}
		if _, err := b.Add(n.name, op, inputs...); err != nil {
			return nil, fmt.Errorf("node %q: %w", n.name, err)
		}
	}
	classes := max(2, out.shape().C) // one logit tells two classes apart
	read := imp.classes(imported, classes, metadata)
	imported.Graph, err = b.Graph(name, spec, read)
	imported.Notes = imp.notes
	return imported, err
}

// absorb gives arithmetic with constants to the weights that make its input.
func (imp *importing) absorb(out *node) error {
	nodes, reads := imp.live(out)
	for _, n := range nodes {
		a, ok := n.op.(affine)
		if !ok || reads[n.inputs[0]] != 1 {
			continue
		}
		before := n.inputs[0]
		var err error
		switch op := before.op.(type) {
		case models.Linear:
			n.op, err = imp.scaleLinear(op, a)
		case *models.BatchNorm:
			n.op, err = imp.scaleNorm(op, a)
		default:
			continue
		}
		if err != nil {
			return fmt.Errorf("node %q: %w", n.name, err)
		}
		n.inputs, n.name, before.name = before.inputs, before.name, n.name
	}
	return nil
}

func (imp *importing) scaleLinear(op models.Linear, a affine) (models.Op, error) {
	p := op.Parameters()
	weight, bias := p.Weight, make([]float32, p.Out)
	if scale, same := uniform(a.scale); !same || scale != 1 {
		if err := imp.allow(len(p.Weight)); err != nil {
			return nil, err
		}
		weight = make([]float32, len(p.Weight))
		for i, w := range p.Weight {
			weight[i] = float32(float64(w) * at(a.scale, i*p.Out/len(p.Weight)))
		}
	}
	for o := range bias {
		b := at(a.shift, o)
		if p.Bias != nil {
			b += float64(float64(p.Bias[o]) * at(a.scale, o))
		}
		bias[o] = float32(b)
	}
	return op.WithParameters(weight, bias), nil
}

func (imp *importing) scaleNorm(op *models.BatchNorm, a affine) (models.Op, error) {
	if err := imp.allow(2 * len(op.Gamma)); err != nil {
		return nil, err
	}
	scaled := *op
	scaled.Gamma, scaled.Beta = slices.Clone(op.Gamma), slices.Clone(op.Beta)
	for i := range scaled.Gamma {
		scaled.Gamma[i] = float32(float64(op.Gamma[i]) * at(a.scale, i))
		scaled.Beta[i] = float32(float64(float64(op.Beta[i])*at(a.scale, i)) + at(a.shift, i))
	}
	return &scaled, nil
}

// preprocess is what the file says: metadata that export writes, or else
// arithmetic with constants on the picture, which it takes out of the network.
func (imp *importing) preprocess(imported *models.Imported, out *node, metadata map[string]string) (preprocess.Spec, error) {
	s := imp.image.shape
	size := preprocess.Size{H: s.H, W: s.W}
	if text, ok := metadata["preprocess"]; ok {
		spec, err := preprocess.Parse([]byte(text))
		if err == nil && spec.Channels() != s.C {
			err = fmt.Errorf("is for %d channels, the network takes %d", spec.Channels(), s.C)
		}
		if err != nil {
			return spec, fmt.Errorf("metadata preprocess: %w", err)
		}
		imported.PreprocessFrom = "metadata preprocess"
		if spec.Crop != size {
			spec = spec.Sized(size)
		}
		return spec, nil
	}
	spec := imp.usual().Sized(size)
	for range 2 { // arithmetic and an order of channels, either first
		reader := imp.reader(imp.image, out)
		if reader == nil || reader == out {
			break
		}
		switch op := reader.op.(type) {
		case affine:
			mean, std, ok := normalization(op, s.C)
			if !ok {
				return spec, nil
			}
			spec.Mean, spec.Std = mean, std
		case selection:
			if !slices.Equal(op.indices, []int{2, 1, 0}) {
				return spec, nil
			}
			spec.Order = preprocess.BGR
			slices.Reverse(spec.Mean[:])
			slices.Reverse(spec.Std[:])
		default:
			return spec, nil
		}
		imported.PreprocessFrom = cmp.Or(imported.PreprocessFrom, "node "+reader.name)
		imp.skip(reader)
	}
	return spec, nil
}

// skip gives the image to the nodes that read n.
func (imp *importing) skip(n *node) {
	for _, reader := range imp.nodes {
		for i, in := range reader.inputs {
			if in == n {
				reader.inputs[i] = imp.image
			}
		}
	}
}

// reader is the only node that reads n.
func (imp *importing) reader(n, out *node) *node {
	nodes, reads := imp.live(out)
	if reads[n] != 1 {
		return nil
	}
	i := slices.IndexFunc(nodes, func(r *node) bool { return slices.Contains(r.inputs, n) })
	if i < 0 {
		return nil
	}
	return nodes[i]
}

// usual is the preprocessing of most networks of the kind.
func (imp *importing) usual() preprocess.Spec {
	spec := preprocess.Torchvision()
	if imp.channelsLast {
		spec = preprocess.KerasTF()
	}
	if imp.image.shape.C == 1 {
		spec = preprocess.Unit()
		spec.Order = preprocess.Grey
	}
	return spec
}

// normalization is arithmetic as mean and standard deviation of pixels from 0 to
// 255: what is small is that of a picture from 0 to 1. What centres neither is no
// normalization of pixels, but of a picture that is normalized already, as
// torchvision's transform_input: it stays in the network.
func normalization(a affine, channels int) (mean, std [3]float32, ok bool) {
	unit := float64(255)
	var m, s [3]float64
	for c := range m {
		scale := at(a.scale, c%channels)
		m[c], s[c] = -at(a.shift, c%channels)/scale, 1/scale
		if !(m[c] <= 1 && s[c] <= 1) {
			unit = 1
		}
	}
	for c := range m {
		m[c], s[c] = m[c]*unit, s[c]*unit
		centred := m[c] > 10 && m[c] < 245 || m[c] == 0 && (unit != 1 || s[c] > 10)
		if !(s[c] > 0) || !centred {
			return mean, std, false
		}
		mean[c], std[c] = float32(m[c]), float32(s[c])
	}
	return mean, std, true
}
