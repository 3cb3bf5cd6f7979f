// Package quantize makes an int8 network of a float one, given what is known of its
// activations:
//
//   - Lower finds what becomes one integer layer: a Unit.
//   - A RangeTable holds the range of every output that needs one and the means of
//     what weights multiply, and what else a search may have found.
//   - Network rounds the weights, one scale per output channel, and computes
//     multipliers and corrected biases.
//
// The scheme is that of Jacob et al., "Quantization and Training of Neural Networks
// for Efficient Integer-Arithmetic-Only Inference" (CVPR 2018), with weights per
// channel as in Krishnamoorthi, "Quantizing deep convolutional networks for
// efficient inference" (arXiv:1806.08342).
package quantize

import (
	"fmt"
	"sync"

	"edgeclassify/int8"
	"edgeclassify/models"
)

// Network turns a folded float graph into an int8 network, given the range of
// every output that needs one. Weights get one scale per output channel, chosen
// by least squared error. Where the table has means, biases are corrected for
// the rounding of weights. Outputs of the layers that are to be int16 have steps
// up to 64 times finer. The result depends on the arguments alone.
func Network(g *models.Graph, t *RangeTable) (*int8.Network, error) {
	q, err := New(g, t.Equalization)
	if err != nil {
		return nil, err
	}
	return q.Network(t)
}

// Quantizer makes networks of one graph by different tables, one at a time. It rounds
// weights to nearest once; networks with equal layers share these.
type Quantizer struct {
	graph   *models.Graph
	units   []Unit
	nearest []func() *rounded // by unit, of those with weights
	made    [][]made          // by unit, the last one first
}

// New takes a folded graph and the equalization of the tables to come.
func New(g *models.Graph, e Equalization) (*Quantizer, error) {
	g, err := Equalize(g, e)
	if err != nil {
		return nil, err
	}
	units, err := Lower(g)
	if err != nil {
		return nil, err
	}
	q := &Quantizer{graph: g, units: units, made: make([][]made, len(units))}
	for i := range units {
		q.nearest = append(q.nearest, sync.OnceValue(func() *rounded { return roundToNearest(q.exact(i)) }))
	}
	return q, nil
}

// Graph is the equalized graph.
func (q *Quantizer) Graph() *models.Graph { return q.graph }

// Units are those of the graph: unit i becomes layer i.
func (q *Quantizer) Units() []Unit { return q.units }

// Network is the network by a table.
func (q *Quantizer) Network(t *RangeTable) (*int8.Network, error) {
	fractions, err := q.fractions(t)
	if err != nil {
		return nil, err
	}
	for {
		layers, fine, err := q.attempt(t, fractions)
		if err != nil {
			return nil, err
		}
		if len(fine) == 0 {
			n, err := int8.NewNetwork(q.graph.Name, ImageTensor(q.graph), layers)
			if err != nil {
				return nil, fmt.Errorf("calibrate: %w", err)
			}
			return n, nil
		}
		if err := q.coarsen(fractions, fine); err != nil {
			return nil, err
		}
	}
}

// activation is a quantized tensor with its scale in full precision.
type activation struct {
	int8.Tensor
	scale float64
}

// attempt is a network in the making.
type attempt struct {
	*Quantizer
	table     *RangeTable
	fractions []int        // of steps of int16 outputs, in bits, by unit; 0 for others
	tensors   []activation // of the network
}

// attempt also returns the units with int16 outputs whose steps are too fine.
func (q *Quantizer) attempt(t *RangeTable, fractions []int) (layers []int8.Layer, fine []int, err error) {
	a := attempt{q, t, fractions, []activation{{Tensor: ImageTensor(q.graph), scale: 1}}}
	for i := range q.units {
		u := &q.units[i]
		op, out, err := a.layer(i)
		if err != nil {
			return nil, nil, fmt.Errorf("calibrate: layer %q: %w", u.Name, err)
		}
		out.Scale = float32(out.scale)
		layers = append(layers, int8.Layer{Name: u.Name, Inputs: u.Inputs, Op: op, Out: out.Tensor})
		a.tensors = append(a.tensors, out)
	}
	return layers, a.settle(layers), nil
}

// Parallel calls do for 0 to n-1 from several goroutines. Each call writes
// results of its own only, so that the outcome does not depend on their number.
func Parallel(n int, do func(i int)) {
	const workers = 8
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	wg.Wait()
}
