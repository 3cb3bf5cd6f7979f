package calibrate

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
)

// mostFractionBits are the bits by which steps of int16 are finer than those of
// int8: its codes then reach about twice as far.
const mostFractionBits = 6

// fractions are the fraction bits of each unit that is to have an int16 output.
func (r *rounder) fractions(table *RangeTable) (map[string]int, error) {
	fractions := map[string]int{}
	for _, name := range table.Wide {
		at := slices.IndexFunc(r.units, func(u unit) bool { return u.name == name })
		if at < 0 {
			return nil, fmt.Errorf("calibrate: layer %q of the range table is to have an int16 output, but the network has no such layer", name)
		}
		if _, conv := r.units[at].op.(*models.Conv); !conv {
			return nil, fmt.Errorf("calibrate: layer %q (%s) of the range table is to have an int16 output, which only convolutions can", name, r.units[at].op.Kind())
		}
		fractions[name] = mostFractionBits
	}
	return fractions, nil
}

// OverflowError says that a layer cannot have an int16 output.
type OverflowError struct{ Layer string }

func (e *OverflowError) Error() string {
	return fmt.Sprintf("calibrate: layer %q cannot have an int16 output: in steps finer than those of int8, sums that make it or read it would overflow", e.Layer)
}

// coarsen takes a fraction bit from each of these units.
func coarsen(fractions map[string]int, units []string) error {
	for _, name := range units {
		if fractions[name]--; fractions[name] == 0 {
			return &OverflowError{name}
		}
	}
	return nil
}

// settle gives the int16 activations of n the largest bounds with which no sum
// leaves its type. It returns the units whose steps are too fine for that: what
// overflows lies within their ranges.
func (q *quantizer) settle(n *int8.Network) (fine []string) {
	if len(q.fractions) == 0 {
		return nil
	}
	origins := map[string]string{} // by tensor: the unit whose int16 output it is or pools
	bounds := map[string]int32{}   // by unit
	for i := range n.Layers {
		l := &n.Layers[i]
		source := origins[l.Inputs[0]]
		switch l.Op.(type) {
		case *int8.Conv:
			if l.Out.Type == int8.Int16 {
				origins[l.Name], bounds[l.Name] = l.Name, math.MaxInt16
			}
		case *int8.MaxPool, *int8.AveragePool:
			origins[l.Name] = source
		}
		bound, shifted := q.inputBound(l)
		culprit := source
		if shifted && bounds[l.Name] > 0 {
			culprit = l.Name
		}
		if bound < q.needed(source) && culprit != "" && !slices.Contains(fine, culprit) {
			fine = append(fine, culprit)
		}
		bounds[source] = min(bounds[source], bound)
	}
	q.setBounds(n, origins, bounds)
	return fine
}

// setBounds also sets those of sums.
func (q *quantizer) setBounds(n *int8.Network, origins map[string]string, bounds map[string]int32) {
	for i := range n.Layers {
		l := &n.Layers[i]
		if origin := origins[l.Name]; origin != "" {
			l.Out.Bound = bounds[origin]
			continue
		}
		origin := origins[l.Inputs[0]]
		if _, sum := l.Op.(int8.GlobalAveragePool); sum && origin != "" {
			in := q.tensors[l.Inputs[0]].Tensor
			in.Bound = bounds[origin]
			l.Out.Bound = int32(in.SumBound())
		}
	}
}

// inputBound is the largest magnitude of inputs with which no intermediate of a
// layer leaves its type, and whether coarser steps of its output would allow more.
func (q *quantizer) inputBound(l *int8.Layer) (bound int32, shifted bool) {
	bound = math.MaxInt16
	switch op := l.Op.(type) {
	case *int8.Conv:
		depth := len(op.Weight) / op.OutC
		for o, m := range op.Multiplier {
			// Requantized values below 2^29 leave room for any residual: a greater
			// multiplier is as if the accumulator were shifted farther.
			shift := int(op.Shift) + max(0, bits.Len32(uint32(m))-29)
			b := int8.BoundFor(int8.AbsSum(op.Weight[o*depth:(o+1)*depth]), op.Bias[o], uint8(shift))
			if b < bound {
				bound, shifted = b, shift > 0
			}
		}
	case int8.GlobalAveragePool:
		in := q.tensors[l.Inputs[0]].Shape
		bound /= int32(in.H * in.W)
	}
	return bound, shifted
}

// needed is the largest magnitude of the codes in the range of a unit with an
// int16 output; no name stands for an int8 tensor.
func (q *quantizer) needed(unit string) int32 {
	if unit == "" {
		return -math.MinInt8
	}
	t, r := q.tensors[unit], q.table.Ranges[unit]
	reach := r.Max
	if !t.NonNegative {
		reach = max(reach, -r.Min)
	}
	return int32(math.Ceil(reach / t.scale))
}
