package quantize

import (
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// linear is a unit with weights on its way to an integer layer.
type linear struct {
	geometry
	weight  []float32  // [outputs][depth]
	bias    []float64  // [outputs], in real units
	rounded *rounded   // weight rounded by the table
	means   PerChannel // of the input; nil where biases are not corrected
	shifts  PerChannel // of the biases; nil where there are none
}

// geometry is which weights and which channels of the input an output channel has.
type geometry struct{ depth, groupIn, groupOut int }

// first is the first input channel that output o reads.
func (g geometry) first(o int) int { return o / g.groupOut * g.groupIn }

// row is the weights of output o.
func row[T any](g geometry, weight []T, o int) []T { return weight[o*g.depth : (o+1)*g.depth] }

// linear makes one of unit i, which has weights.
func (a *attempt) linear(i int, in activation) (l *linear, err error) {
	l = &linear{geometry: a.geometry(i)}
	l.weight, l.bias = a.exact(i)
	if l.rounded, err = a.byTable(i, a.table); err != nil {
		return nil, err
	}
	if l.means, err = a.means(i, in); err != nil {
		return nil, err
	}
	l.shifts, err = a.shifts(i)
	return l, err
}

func (q *Quantizer) geometry(i int) geometry {
	u, channels := &q.units[i], q.graph.Input().C
	if in := u.Inputs[0]; in != tensor.Input {
		channels = q.units[in.Node()].Shape.C
	}
	p := u.Op.(models.Linear).Parameters()
	return geometry{len(p.Weight) / p.Out, channels / p.Groups, p.Out / p.Groups}
}

// correct moves the bias of output o, given its row of integer weights, by what
// their rounding adds on average, and as the table wants it.
func (l *linear) correct(o int, integers []int8.Value, scale float64) {
	l.bias[o] -= meanError(integers, row(l.geometry, l.weight, o), scale, l.means, l.first(o), l.groupIn)
	if l.shifts != nil {
		l.bias[o] += l.shifts[o]
	}
}

// inputName is the unit whose output another one reads first; that of the image has no
// name.
func (q *Quantizer) inputName(u *Unit) string {
	if u.Inputs[0] == tensor.Input {
		return ""
	}
	return q.units[u.Inputs[0].Node()].Name
}

// means are those of the unit's input; nil for the image, whose mean is near
// zero after preprocessing, and where the table has none. They reach no farther
// than the values that the input can have, which keeps biases in int32.
func (a *attempt) means(i int, in activation) (PerChannel, error) {
	u := &a.units[i]
	if a.table.Means == nil || u.Inputs[0] == tensor.Input {
		return nil, nil
	}
	name := a.inputName(u)
	means := slices.Clone(a.table.Means[name])
	if len(means) != in.Shape.C {
		return nil, fmt.Errorf("the range table has %d means of its input %q, want %d, one for each channel", len(means), name, in.Shape.C)
	}
	reach := in.scale * max(255, float64(in.Bound))
	for c, m := range means {
		means[c] = max(-reach, min(reach, m))
	}
	return means, nil
}

// shifts are those of a unit's biases, nil where the table has none.
func (a *attempt) shifts(i int) (PerChannel, error) {
	u := &a.units[i]
	shifts := a.table.Shifts[u.Name]
	if shifts != nil && len(shifts) != u.Shape.C {
		return nil, fmt.Errorf("the range table has %d shifts of its biases, want %d, one for each output channel", len(shifts), u.Shape.C)
	}
	return shifts, nil
}

// saturated is an integer as an int32, or the extreme, with which no layer is
// valid.
func saturated(v float64) int32 { return int32(max(-math.MaxInt32, min(math.MaxInt32, v))) }

// meanError is what rounding a row of weights adds to its output on average:
// the sum of (rounded - exact) * mean of the input. To subtract it from the bias
// is the bias correction of Nagel et al., "Data-Free Quantization Through Weight
// Equalization and Bias Correction" (ICCV 2019), section 4.2, with means that
// were measured. Padding counts as the mean. The row reads n input channels
// from first on.
func meanError(rounded []int8.Value, row []float32, scale float64, means PerChannel, first, n int) float64 {
	sum := 0.0
	if means == nil {
		return sum
	}
	means = means[first : first+n]
	for ; len(row) > 0; row, rounded = row[n:], rounded[n:] {
		for c, mean := range means {
			d := float64(float64(rounded[c])*scale) - float64(row[c])
			sum += float64(d * mean)
		}
	}
	return sum
}

// ZeroSum is what the input's zero points add to the accumulator of an output
// channel with these weights, which reads n input channels from first on.
func ZeroSum(weight []int8.Value, in *int8.Tensor, first, n int) int {
	sum := 0
	for ; len(weight) > 0; weight = weight[n:] {
		if len(in.Zero) > 1 {
			for c, w := range weight[:n] {
				sum += int(w) * int(in.Zero[first+c])
			}
			continue
		}
		plain := 0
		for _, w := range weight[:n] {
			plain += int(w)
		}
		sum += plain * int(in.ZeroAt(0))
	}
	return sum
}

// BiasShifts undo what the mean errors of its inputs, in real units by channel, do
// to the outputs of unit i on average, before a ReLU. Those of a residual come
// second.
func (q *Quantizer) BiasShifts(i int, errors [][]float64) PerChannel {
	weight, bias := q.exact(i)
	g, shifts := q.geometry(i), make(PerChannel, len(bias))
	Parallel(len(shifts), func(o int) {
		for k, w := range row(g, weight, o) {
			shifts[o] -= float64(float64(w) * errors[0][g.first(o)+k%g.groupIn])
		}
		if len(errors) > 1 {
			shifts[o] -= errors[1][o]
		}
	})
	return shifts
}
