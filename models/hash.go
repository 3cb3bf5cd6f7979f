package models

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
)

// Hash is the SHA-256, in hex, over the network's topology, geometry and
// weights: what quantization depends on, whatever file it came from.
func (g *Graph) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %v %v\n", g.InputName, g.Input, g.Preprocess)
	for _, n := range g.Nodes {
		fmt.Fprintf(h, "%q %s %q", n.Name, n.Op.Kind(), n.Inputs)
		switch op := n.Op.(type) {
		case *Conv:
			fmt.Fprintf(h, " %v %d %d %d\n", op.Window, op.Groups, op.InC, op.OutC)
			hashFloats(h, op.Weight, op.Bias)
		case *BatchNorm:
			fmt.Fprintf(h, " %v\n", op.Epsilon)
			hashFloats(h, op.Gamma, op.Beta, op.Mean, op.Variance)
		case *MaxPool:
			fmt.Fprintf(h, " %v\n", op.Window)
		case *AveragePool:
			fmt.Fprintf(h, " %v %v\n", op.Window, op.CountPad)
		case *Dense:
			fmt.Fprintf(h, " %d %d\n", op.In, op.Out)
			hashFloats(h, op.Weight, op.Bias)
		default:
			fmt.Fprintln(h)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashFloats hashes the lengths and bits of tensors.
func hashFloats(h hash.Hash, tensors ...[]float32) {
	buf := make([]byte, 0, 1<<16)
	for _, t := range tensors {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(len(t)))
		for _, v := range t {
			if buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v)); len(buf) > 1<<16-8 {
				h.Write(buf)
				buf = buf[:0]
			}
		}
		h.Write(buf)
		buf = buf[:0]
	}
}

// Logits returns the graph without its final softmax, if it has one: its
// output is then the logits.
func (g *Graph) Logits() *Graph {
	last := len(g.Nodes) - 1
	if last < 1 {
		return g
	}
	if _, ok := g.Nodes[last].Op.(Softmax); !ok {
		return g
	}
	cut := *g
	cut.Nodes = g.Nodes[:last:last]
	return &cut
}
