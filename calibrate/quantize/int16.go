package quantize

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// mostFractionBits are the bits by which steps of int16 are finer than those of
// int8: its codes then reach about twice as far.
const mostFractionBits = 6

// fractions are the fraction bits of each unit: 0 but for int16 outputs.
func (q *Quantizer) fractions(t *RangeTable) ([]int, error) {
	fractions := make([]int, len(q.units))
	for _, name := range t.Int16 {
		i := slices.IndexFunc(q.units, func(u Unit) bool { return u.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("calibrate: layer %q of the range table is to have an int16 output, but the network has no such layer", name)
		}
		if u := &q.units[i]; !u.int16 {
			return nil, fmt.Errorf("calibrate: layer %q (%s) of the range table is to have an int16 output, which only convolutions and adds can that no table, product or concatenation reads", name, u.Op.Kind())
		}
		fractions[i] = mostFractionBits
	}
	return fractions, nil
}

// OverflowError says that a layer cannot have an int16 output.
type OverflowError struct{ Layer string }

func (e *OverflowError) Error() string {
	return fmt.Sprintf("calibrate: layer %q cannot have an int16 output: in steps finer than those of int8, sums that make it or read it would overflow", e.Layer)
}

// coarsen takes a fraction bit from each of these units.
func (q *Quantizer) coarsen(fractions, units []int) error {
	for _, i := range units {
		if fractions[i]--; fractions[i] == 0 {
			return &OverflowError{q.units[i].Name}
		}
	}
	return nil
}

// settle gives the int16 activations among the layers' outputs the largest bounds
// with which no sum leaves its type. It returns the units whose steps are too fine
// for that: what overflows lies within their ranges.
func (a *attempt) settle(layers []int8.Layer) (fine []int) {
	if len(a.table.Int16) == 0 {
		return nil
	}
	origins := make([]tensor.ID, len(a.tensors)) // the int16 output that a tensor is or pools; the image for none
	bounds := make([]int32, len(a.tensors))      // of int16 outputs
	for i := range layers {
		l, id := &layers[i], tensor.Output(i)
		source := origins[l.Inputs[0]]
		switch op := a.units[i].operation(); {
		case a.fractions[i] > 0:
			origins[id], bounds[id] = id, a.tensors[id].Bound
		case op.keeps:
			origins[id] = source
		}
		bound, shifted := a.inputBound(l)
		culprit := source
		if shifted && origins[id] == id {
			culprit = id
		}
		if bound < a.needed(source) && culprit != tensor.Input && !slices.Contains(fine, culprit.Node()) {
			fine = append(fine, culprit.Node())
		}
		bounds[source] = min(bounds[source], bound)
	}
	a.setBounds(layers, origins, bounds)
	return fine
}

// setBounds also sets those of sums.
func (a *attempt) setBounds(layers []int8.Layer, origins []tensor.ID, bounds []int32) {
	for i := range layers {
		l := &layers[i]
		if origin := origins[tensor.Output(i)]; origin != tensor.Input {
			l.Out.Bound = bounds[origin]
			continue
		}
		origin := origins[l.Inputs[0]]
		if _, out := l.Op.Content(); out == int8.Sums && origin != tensor.Input {
			in := a.tensors[l.Inputs[0]].Tensor
			in.Bound = bounds[origin]
			l.Out.Bound = int32(in.SumBound())
		}
	}
}

// inputBound is the largest magnitude of inputs with which no intermediate of a
// layer leaves its type, and whether coarser steps of its output would allow more.
func (a *attempt) inputBound(l *int8.Layer) (bound int32, shifted bool) {
	bound = math.MaxInt16
	p := l.Op.Parameters()
	for o, m := range p.Multiplier {
		// Requantized values below 2^29 leave room for any residual: a greater
		// multiplier is as if the accumulator were shifted farther.
		shift := int(p.Shift) + max(0, bits.Len32(uint32(m))-29)
		if b := int8.BoundFor(int8.AbsSum(p.Row(o)), p.Bias[o], uint8(shift)); b < bound {
			bound, shifted = b, shift > 0
		}
	}
	if _, out := l.Op.Content(); out == int8.Sums {
		in := a.tensors[l.Inputs[0]].Shape
		bound /= int32(in.H * in.W)
	}
	return bound, shifted
}

// needed is the largest magnitude of the codes in the range of an int16 output;
// the image stands for an int8 tensor.
func (a *attempt) needed(id tensor.ID) int32 {
	if id == tensor.Input {
		return -math.MinInt8
	}
	t := a.tensors[id]
	r, _ := a.rangeOf(&a.units[id.Node()]) // which has made the tensor
	return min(t.Bound, int32(math.Ceil(max(r.Max, -r.Min)/t.scale)))
}

// settleInt16 finds the units whose output may be int16: all that reads it can be so,
// and its limits are an int16 tensor's.
func settleInt16(units []Unit) {
	narrow := make([]bool, len(units)+1) // tensors that have to stay int8
	for i, u := range slices.Backward(units) {
		op := u.operation()
		out := tensor.Output(i)
		units[i].int16 = op.makes16 && !narrow[out] && (u.Clip.Min == 0 || u.Clip.Min == -u.Clip.Max)
		for _, in := range u.Inputs {
			narrow[in] = narrow[in] || !op.reads16 || op.keeps && narrow[out]
		}
	}
}
