package models

import (
	"errors"
	"math"
	"slices"
)

// Fold returns g with every BatchNorm that is the only consumer of a Conv
// folded into that Conv's weights and bias. The Conv keeps its name, takes the
// BatchNorm's place, and gives what the BatchNorm gave.
func (g *Graph) Fold() (*Graph, error) {
	folded := map[string]string{} // names of BatchNorms to their Convs
	return g.Rewrite(func(b *Builder, n Node, inputs []string) error {
		if _, norm := g.foldable(n); norm != nil {
			return nil // until the BatchNorm comes
		}
		if bn, ok := n.Op.(*BatchNorm); ok {
			if before := n.Inputs[0].Node(); before >= 0 {
				if conv, norm := g.foldable(g.Nodes[before]); norm == bn {
					op, err := foldInto(conv, bn)
					if err != nil {
						return err
					}
					folded[n.Name] = g.Nodes[before].Name
					n.Op, n.Name = op, g.Nodes[before].Name
					inputs = g.topology.Names(g.Nodes[before].Inputs)
				}
			}
		}
		for i, name := range inputs {
			if conv, ok := folded[name]; ok {
				inputs[i] = conv
			}
		}
		_, err := b.Add(n.Name, n.Op, inputs...)
		return err
	})
}

// foldable returns the Conv that a node is and the BatchNorm that alone consumes
// it; nil where there is none.
func (g *Graph) foldable(n Node) (*Conv, *BatchNorm) {
	conv, ok := n.Op.(*Conv)
	id, err := g.topology.ID(n.Name)
	if readers := g.topology.Consumers(id); ok && err == nil && len(readers) == 1 {
		bn, _ := g.Nodes[readers[0]].Op.(*BatchNorm)
		return conv, bn
	}
	return nil, nil
}

func foldInto(c *Conv, bn *BatchNorm) (*Conv, error) {
	scale, shift, err := bn.Affine()
	if err != nil {
		return nil, err
	}
	folded := *c
	folded.Weight = make([]float32, len(c.Weight))
	folded.Bias = make([]float32, c.OutC)
	perOutput := len(c.Weight) / c.OutC
	for i, w := range c.Weight {
		folded.Weight[i] = float32(float64(w) * scale[i/perOutput])
	}
	for o := range folded.Bias {
		b := shift[o]
		if c.Bias != nil {
			b += float64(float64(c.Bias[o]) * scale[o])
		}
		folded.Bias[o] = float32(b)
	}
	if !Finite(folded.Weight) || !Finite(folded.Bias) {
		return nil, errors.New("the convolution's weights are not finite after folding: the checkpoint is damaged")
	}
	return &folded, nil
}

// Finite tells whether none of the values is NaN or infinite.
func Finite(values []float32) bool {
	return !slices.ContainsFunc(values, func(v float32) bool {
		return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
	})
}
