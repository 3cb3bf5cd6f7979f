package calibrate

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/models"
)

// Fold returns g with every BatchNorm that is the only consumer of a Conv
// folded into that Conv's weights and bias. The Conv keeps its name, and its
// output is now what the BatchNorm's was. g itself is not modified.
func Fold(g *models.Graph) (*models.Graph, error) {
	if _, err := g.Shapes(); err != nil {
		return nil, fmt.Errorf("calibrate: fold: %w", err)
	}
	uses := map[string]int{}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			uses[name]++
		}
	}
	f := folder{replaced: map[string]string{}}
	for _, n := range g.Nodes {
		sole := uses[n.Inputs[0]] == 1
		n.Inputs = f.current(n.Inputs)
		if err := f.add(n, sole); err != nil {
			return nil, fmt.Errorf("calibrate: fold: node %q: %w", n.Name, err)
		}
	}
	folded := *g
	folded.Nodes = f.nodes
	return &folded, nil
}

type folder struct {
	nodes    []models.Node
	replaced map[string]string // names of folded BatchNorms to their Convs
}

func (f *folder) current(names []string) []string {
	names = slices.Clone(names)
	for i, name := range names {
		if conv, ok := f.replaced[name]; ok {
			names[i] = conv
		}
	}
	return names
}

// add appends n; sole says that n alone consumes its first input. A Conv that
// takes up n moves to n's place, so that the last node remains the output.
func (f *folder) add(n models.Node, sole bool) error {
	if bn, ok := n.Op.(*models.BatchNorm); ok && sole {
		i := slices.IndexFunc(f.nodes, func(m models.Node) bool { return m.Name == n.Inputs[0] })
		if i >= 0 {
			if conv, ok := f.nodes[i].Op.(*models.Conv); ok {
				folded, err := foldInto(conv, bn)
				if err != nil {
					return err
				}
				f.replaced[n.Name] = f.nodes[i].Name
				n = models.Node{Name: f.nodes[i].Name, Inputs: f.nodes[i].Inputs, Op: folded}
				f.nodes = slices.Delete(f.nodes, i, i+1)
			}
		}
	}
	f.nodes = append(f.nodes, n)
	return nil
}

func foldInto(c *models.Conv, bn *models.BatchNorm) (*models.Conv, error) {
	scale, shift, err := affine(bn)
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
	if !allFinite(folded.Weight) || !allFinite(folded.Bias) {
		return nil, errors.New("the convolution's weights are not finite after folding: the checkpoint is damaged")
	}
	return &folded, nil
}

// affine returns b as y = scale * x + shift, per channel.
func affine(b *models.BatchNorm) (scale, shift []float64, err error) {
	scale, shift = make([]float64, len(b.Gamma)), make([]float64, len(b.Gamma))
	for c := range scale {
		v := float64(b.Variance[c]) + float64(b.Epsilon)
		if !(v > 0) {
			return nil, nil, fmt.Errorf("channel %d: variance %v + epsilon %v is not positive", c, b.Variance[c], b.Epsilon)
		}
		scale[c] = float64(b.Gamma[c]) / math.Sqrt(v)
		shift[c] = float64(b.Beta[c]) - float64(float64(b.Mean[c])*scale[c])
		if s := scale[c] + shift[c]; math.IsNaN(s) || math.IsInf(s, 0) {
			return nil, nil, fmt.Errorf("channel %d: gamma %v, beta %v and mean %v must be finite", c, b.Gamma[c], b.Beta[c], b.Mean[c])
		}
	}
	return scale, shift, nil
}

func allFinite(values []float32) bool {
	return !slices.ContainsFunc(values, func(v float32) bool {
		return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0)
	})
}
