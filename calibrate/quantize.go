package calibrate

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"edgeclassify/int8"
	"edgeclassify/models"
)

// Quantize turns a folded float graph into an int8 network, given the range of
// every convolution's output. Weights get one scale per output channel, chosen
// by least squared error. Where the table has means, biases are corrected for
// the rounding of weights. Outputs of the layers that the table calls wide are
// int16, in steps up to 64 times finer. The result is valid in the sense of
// int8.Network.Validate and depends on the arguments alone.
func Quantize(g *models.Graph, table *RangeTable) (*int8.Network, error) {
	g, err := Equalize(g, table.Exponents)
	if err != nil {
		return nil, err
	}
	units, err := lower(g)
	if err != nil {
		return nil, err
	}
	return newRounder(g, units).quantize(table)
}

// quantize is Quantize with the weights as the rounder rounds them.
func (r *rounder) quantize(table *RangeTable) (*int8.Network, error) {
	fractions, err := r.fractions(table)
	if err != nil {
		return nil, err
	}
	for {
		n, fine, err := r.attempt(table, fractions)
		switch {
		case err != nil:
			return nil, err
		case len(fine) == 0:
			if err := n.Validate(); err != nil {
				return nil, fmt.Errorf("calibrate: %w", err)
			}
			return n, nil
		}
		if err := coarsen(fractions, fine); err != nil {
			return nil, err
		}
	}
}

// attempt also returns the units with int16 outputs whose steps are too fine.
func (r *rounder) attempt(table *RangeTable, fractions map[string]int) (n *int8.Network, fine []string, err error) {
	g := r.graph
	n = &int8.Network{
		Name:       g.Name,
		Input:      imageTensor(g),
		Preprocess: g.Preprocess,
		Classes:    slices.Clone(g.Classes),
	}
	q := quantizer{graph: g, table: table, rounder: r, fractions: fractions, tensors: map[string]activation{
		g.InputName: {Tensor: n.Input, scale: 1},
	}}
	for _, u := range r.units {
		l, err := q.layer(u)
		if err != nil {
			return nil, nil, fmt.Errorf("calibrate: layer %q: %w", u.name, err)
		}
		n.Layers = append(n.Layers, l)
	}
	return n, q.settle(n), nil
}

// imageTensor is the network's input: RGB pixels minus 128, padded with the
// mean pixel.
func imageTensor(g *models.Graph) int8.Tensor {
	zero := make([]int8.Value, 3)
	for c := range 3 {
		mean := math.Round(float64(g.Preprocess.Mean[c]))
		zero[g.Preprocess.Channel(c)] = int8.Value(max(-128, min(127, mean-128)))
	}
	return int8.Tensor{Shape: g.Input, Type: int8.Int8, Zero: zero}
}

// activation is a quantized tensor with its scale in full precision.
type activation struct {
	int8.Tensor
	scale float64
}

type quantizer struct {
	graph     *models.Graph
	table     *RangeTable
	rounder   *rounder
	fractions map[string]int        // of steps of int16 outputs, in bits, by unit
	tensors   map[string]activation // by unit
}

func (q *quantizer) layer(u unit) (int8.Layer, error) {
	in := q.tensors[u.inputs[0]]
	l := int8.Layer{Name: u.name}
	for _, name := range u.inputs {
		if name == q.graph.InputName {
			name = int8.InputName
		}
		l.Inputs = append(l.Inputs, name)
	}
	out := in // as pools leave it
	out.Shape = u.shape
	var err error
	switch op := u.op.(type) {
	case *models.Conv:
		l.Op, out, err = q.conv(u, op, in)
	case *models.MaxPool:
		l.Op = &int8.MaxPool{Window: op.Window}
	case *models.AveragePool:
		l.Op = &int8.AveragePool{Window: op.Window, CountPad: op.CountPad}
	case models.GlobalAveragePool:
		l.Op = int8.GlobalAveragePool{}
		out.Tensor = int8.Tensor{Shape: u.shape, Type: int8.Int16, Bound: int32(min(math.MaxInt16, in.SumBound()))}
		out.scale /= float64(in.Shape.H * in.Shape.W)
	case *models.Dense:
		l.Op, err = q.dense(u, op, in)
		out = activation{Tensor: int8.Tensor{Shape: u.shape, Type: int8.Int32}}
	}
	if err != nil {
		return l, err
	}
	out.Scale = float32(out.scale)
	l.Out = out.Tensor
	q.tensors[u.name] = out
	return l, nil
}

// convOutput is a convolution's output: type, scale and zero point from its
// range. An int16 one may reach as far as its type until settle finds its bound.
func (q *quantizer) convOutput(u unit) (activation, error) {
	r, ok := q.table.Ranges[u.name]
	if !ok {
		return activation{}, fmt.Errorf("the range table has no entry for it; was it made for another model?")
	}
	if u.relu {
		r.Min = 0
	}
	if err := r.check(); err != nil {
		return activation{}, err
	}
	scale, zero := r.params()
	if bits := q.fractions[u.name]; bits > 0 {
		out := int8.Tensor{Shape: u.shape, Type: int8.Int16, Bound: math.MaxInt16, NonNegative: u.relu}
		return activation{out, math.Ldexp(scale, -bits)}, nil
	}
	return activation{int8.Tensor{Shape: u.shape, Type: int8.Int8, Zero: []int8.Value{zero}}, scale}, nil
}

// addResidual sets how c adds the residual to its output. Where that is int8,
// the output's scale is moved to the nearest one that makes their ratio an integer.
func addResidual(c *int8.Conv, residual activation, out *activation) (err error) {
	ratio := residual.scale / out.scale
	if residual.Type == int8.Int16 {
		c.Residual, c.ResidualShift, err = int8.QuantizeResidual(ratio)
		return err
	}
	c.Residual = int32(max(1, min(math.MaxInt16, math.Round(int8.OneOut*ratio))))
	out.scale = int8.OneOut * residual.scale / float64(c.Residual)
	return nil
}

func (q *quantizer) conv(u unit, op *models.Conv, in activation) (c *int8.Conv, out activation, err error) {
	if out, err = q.convOutput(u); err != nil {
		return nil, out, err
	}
	weight, bias := q.rounder.exact(u)
	rounded, err := q.rounder.byTable(u, q.table)
	if err != nil {
		return nil, out, err
	}
	c = &int8.Conv{
		Window: op.Window, Groups: op.Groups, InC: op.InC, OutC: op.OutC,
		Weight: rounded.weight, Bias: make([]int32, op.OutC),
		Multiplier: make([]int32, op.OutC), Scale: make([]float32, op.OutC),
	}
	means, err := q.means(u, in)
	if err != nil {
		return nil, out, err
	}
	constant := 0.0 // what the zero points of residual and output add, in real units
	if len(u.inputs) == 2 {
		res := q.tensors[u.inputs[1]]
		if err := addResidual(c, res, &out); err != nil {
			return nil, out, err
		}
		constant -= res.scale * float64(res.ZeroAt(0))
	}
	constant += out.scale * float64(out.ZeroAt(0))
	depth, groupIn, groupOut := len(weight)/op.OutC, op.InC/op.Groups, op.OutC/op.Groups
	scales := slices.Clone(rounded.scales)
	// What the weights of a channel can make of inputs of 128.
	reach := make([]float64, op.OutC)
	for i, w := range weight {
		reach[i/depth] += 128 * math.Abs(float64(w))
	}
	// A channel of tiny weights must not push its bias out of int32, nor one of
	// many its sum where others need the shift, and a dead one needs some scale.
	for raised := true; raised; {
		raised = false
		c.Shift = int8.ShiftFor(slices.Max(scales) * in.scale / out.scale)
		for o, s := range scales {
			least := math.Ldexp(max(math.Abs(bias[o]+constant)/(1<<28)/in.scale, out.scale/(1<<20)/in.scale, reach[o]/(1<<30)), int(c.Shift))
			if s >= least {
				continue
			}
			if &c.Weight[0] == &rounded.weight[0] {
				c.Weight = slices.Clone(rounded.weight)
			}
			scales[o], raised = least, true
			roundWeights(c.Weight[o*depth:(o+1)*depth], weight[o*depth:(o+1)*depth], least)
		}
	}
	shifts, err := q.shifts(u)
	if err != nil {
		return nil, out, err
	}
	parallel(op.OutC, func(o int) {
		row := weight[o*depth : (o+1)*depth]
		bias[o] -= meanError(c.Weight[o*depth:(o+1)*depth], row, scales[o], means, o/groupOut*groupIn, groupIn)
		if shifts != nil {
			bias[o] += shifts[o]
		}
	})
	for o := range op.OutC {
		unit := scales[o] * in.scale
		c.Scale[o] = float32(scales[o])
		if c.Multiplier[o], err = int8.QuantizeMultiplier(unit/out.scale, c.Shift); err != nil {
			return nil, out, fmt.Errorf("channel %d: %w", o, err)
		}
		// The step of the accumulator that the rounded multiplier stands for.
		step := math.Ldexp(float64(c.Multiplier[o]), int(c.Shift)-37) * out.scale
		zeros := zeroSum(c.Weight[o*depth:(o+1)*depth], &in.Tensor, o/groupOut*groupIn, groupIn)
		c.Bias[o] = saturated(math.Round((bias[o]+constant)/step) - float64(zeros))
	}
	return c, out, nil
}

// means are those of the unit's input; nil for the image, whose mean is near
// zero after preprocessing, and where the table has none. They reach no farther
// than the values that the input can have, which keeps biases in int32.
func (q *quantizer) means(u unit, in activation) (Means, error) {
	name := u.inputs[0]
	if q.table.Means == nil || name == q.graph.InputName {
		return nil, nil
	}
	means := slices.Clone(q.table.Means[name])
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
func (q *quantizer) shifts(u unit) (Means, error) {
	shifts := q.table.Shifts[u.name]
	if shifts != nil && len(shifts) != u.shape.C {
		return nil, fmt.Errorf("the range table has %d shifts of its biases, want %d, one for each output channel", len(shifts), u.shape.C)
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
func meanError(rounded []int8.Value, row []float32, scale float64, means Means, first, n int) float64 {
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

// zeroSum is what the input's zero points add to the accumulator of an output
// channel with these weights, which reads n input channels from first on.
func zeroSum(weight []int8.Value, in *int8.Tensor, first, n int) int {
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

func (q *quantizer) dense(u unit, op *models.Dense, in activation) (*int8.Dense, error) {
	means, err := q.means(u, in)
	if err != nil {
		return nil, err
	}
	d := &int8.Dense{
		In: op.In, Out: op.Out, Weight: make([]int8.Value, len(op.Weight)),
		Bias: make([]int32, op.Out), Scale: make([]float32, op.Out),
	}
	weight, bias := q.rounder.exact(u)
	rounded, err := q.rounder.byTable(u, q.table)
	if err != nil {
		return nil, err
	}
	shifts, err := q.shifts(u)
	if err != nil {
		return nil, err
	}
	parallel(op.Out, func(o int) {
		row, dst := weight[o*op.In:(o+1)*op.In], d.Weight[o*op.In:(o+1)*op.In]
		copy(dst, rounded.weight[o*op.In:])
		s := rounded.scales[o]
		if least := max(math.Abs(bias[o])/in.scale/(1<<28), math.SmallestNonzeroFloat32/in.scale*(1<<24)); s < least {
			s = least
			roundWeights(dst, row, s)
		}
		for int8.AbsSum(dst)*int64(in.Bound) > 1<<30 {
			s *= 1.0625 // coarser weights, until no picture can overflow the sum
			roundWeights(dst, row, s)
		}
		d.Scale[o] = float32(s * in.scale)
		bias[o] -= meanError(dst, row, s, means, 0, in.Shape.C)
		if shifts != nil {
			bias[o] += shifts[o]
		}
		d.Bias[o] = saturated(math.Round(bias[o] / (s * in.scale)))
	})
	return d, nil
}

// parallel calls do for 0 to n-1 from several goroutines. Each call writes
// results of its own only, so that the outcome does not depend on their number.
func parallel(n int, do func(i int)) {
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
