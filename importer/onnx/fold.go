package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/internal/onnxpb"
)

// folds compute what depends on constants alone, by operator.
var folds = map[string]func(*call) (*constant, error){
	"Constant": foldConstant, "ConstantOfShape": foldConstantOfShape, "Identity": foldIdentity, "Dropout": foldIdentity,
	"Cast": foldCast, "Reshape": foldReshape, "Flatten": foldFlatten, "Shape": foldShape, "Size": foldSize, "Squeeze": foldSqueeze, "Unsqueeze": foldUnsqueeze,
	"Transpose": foldTranspose, "Gather": foldGather, "Slice": foldSlice, "Concat": foldConcat, "Expand": foldExpand,
	"Clip": foldClip, "Range": foldRange, "Where": foldWhere,
	"Not":     foldUnary(func(v float64) float64 { return truth(v == 0) }),
	"Neg":     foldUnary(func(v float64) float64 { return -v }),
	"Abs":     foldUnary(math.Abs),
	"Sqrt":    foldUnary(math.Sqrt),
	"Exp":     foldUnary(math.Exp),
	"Floor":   foldUnary(math.Floor),
	"Ceil":    foldUnary(math.Ceil),
	"Round":   foldUnary(math.RoundToEven),
	"Add":     foldBinary(func(a, b float64) float64 { return a + b }),
	"Sub":     foldBinary(func(a, b float64) float64 { return a - b }),
	"Mul":     foldBinary(func(a, b float64) float64 { return a * b }),
	"Div":     foldBinary(func(a, b float64) float64 { return a / b }),
	"Mod":     foldBinary(func(a, b float64) float64 { return a - math.Floor(a/b)*b }),
	"Pow":     foldBinary(math.Pow),
	"Min":     foldBinary(math.Min),
	"Max":     foldBinary(math.Max),
	"Equal":   foldBinary(func(a, b float64) float64 { return truth(a == b) }),
	"Less":    foldBinary(func(a, b float64) float64 { return truth(a < b) }),
	"Greater": foldBinary(func(a, b float64) float64 { return truth(a > b) }),
	"And":     foldBinary(func(a, b float64) float64 { return truth(a != 0 && b != 0) }),
	"Or":      foldBinary(func(a, b float64) float64 { return truth(a != 0 || b != 0) }),

	"ReduceMean": foldReduce(func(sum, n float64) float64 { return sum / n }),
	"ReduceSum":  foldReduce(func(sum, _ float64) float64 { return sum }),
}

// truthful are the operators whose result is a truth value.
var truthful = map[string]bool{"Not": true, "Equal": true, "Less": true, "Greater": true, "And": true, "Or": true}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func foldConstant(c *call) (*constant, error) {
	for _, a := range c.proto.Attribute {
		switch a.GetName() {
		case "value":
			if a.T == nil {
				return nil, errors.New("has no value")
			}
			return c.decode(a.T)
		case "value_int":
			return integral(nil, a.GetI()), nil
		case "value_ints":
			return integral([]int{len(a.Ints)}, a.Ints...), nil
		case "value_float":
			return &constant{floats: []float32{a.GetF()}}, nil
		case "value_floats":
			return &constant{dims: []int{len(a.Floats)}, floats: a.Floats}, nil
		}
	}
	return nil, errors.New("is neither of numbers nor dense: export again without it")
}

func foldConstantOfShape(c *call) (*constant, error) {
	dims, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	one := &constant{floats: []float32{0}}
	if a := c.attribute("value"); a != nil && a.T != nil {
		if one, err = c.decode(a.T); err != nil {
			return nil, err
		}
	}
	return c.pick(one, dims.integers(), func([]int) int { return 0 })
}

func foldIdentity(c *call) (*constant, error) { return c.fixed(0) }

func foldCast(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	to := onnxpb.TensorProto_DataType(c.integer("to", 0))
	kind, known := elementTypes[to]
	switch {
	case !known:
		return nil, fmt.Errorf("cannot cast to %v", to)
	case kind.integer == nil:
		return &constant{dims: k.dims, floats: k.real()}, nil
	}
	out := &constant{dims: k.dims, ints: make([]int64, k.len())}
	for i, v := range k.real() {
		switch {
		case k.ints != nil:
			out.ints[i] = k.ints[i]
		case to != onnxpb.TensorProto_BOOL:
			out.ints[i] = int64(max(-far, min(far, v)))
		}
		if to == onnxpb.TensorProto_BOOL {
			out.ints[i] = int64(truth(v != 0))
		}
	}
	return out, nil
}

func foldReshape(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	dims, err := c.newShape(k.dims)
	if err != nil {
		return nil, err
	}
	return k.reshaped(dims)
}

func foldFlatten(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	dims, err := c.flat(k.dims)
	if err != nil {
		return nil, err
	}
	return k.reshaped(dims)
}

func foldShape(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	return c.shapeOf(k.dims), nil
}

func foldSize(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	return integral(nil, int64(k.len())), nil
}

func foldSqueeze(c *call) (*constant, error)   { return c.foldDims((*call).squeezed) }
func foldUnsqueeze(c *call) (*constant, error) { return c.foldDims((*call).unsqueezed) }

func (c *call) foldDims(f func(*call, []int) ([]int, error)) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	kept, err := f(c, k.dims)
	if err != nil {
		return nil, err
	}
	dims := make([]int, len(kept))
	for i, from := range kept {
		dims[i] = 1
		if from >= 0 {
			dims[i] = k.dims[from]
		}
	}
	return k.reshaped(dims)
}

func foldTranspose(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	order, err := c.order(len(k.dims))
	if err != nil {
		return nil, err
	}
	step, dims, from := make([]int, len(order)), make([]int, len(order)), strides(k.dims)
	for i, d := range order {
		step[i], dims[i] = from[d], k.dims[d]
	}
	return c.pick(k, dims, func(place []int) int { return dot(place, step) })
}

func foldGather(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	indices, err := c.fixed(1)
	if err != nil {
		return nil, err
	}
	a, err := axis(c.integer("axis", 0), len(k.dims))
	if err != nil {
		return nil, err
	}
	at, from, to := indices.integers(), strides(k.dims), strides(indices.dims)
	dims := slices.Concat(k.dims[:a], indices.dims, k.dims[a+1:])
	for _, i := range at {
		if i < -k.dims[a] || i >= k.dims[a] {
			return nil, fmt.Errorf("index %d is beyond %v", i, k.dims)
		}
	}
	return c.pick(k, dims, func(place []int) int {
		rest := len(indices.dims) + a
		i := at[dot(place[a:rest], to)]
		return dot(place[:a], from) + (i+k.dims[a])%k.dims[a]*from[a] + dot(place[rest:], from[a+1:])
	})
}

func foldSlice(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	cuts, err := c.cuts(k.dims)
	if err != nil {
		return nil, err
	}
	step, dims, start, from := make([]int, len(cuts)), make([]int, len(cuts)), 0, strides(k.dims)
	for d, cut := range cuts {
		start += cut.start * from[d]
		step[d], dims[d] = cut.step*from[d], cut.n
	}
	return c.pick(k, dims, func(place []int) int { return start + dot(place, step) })
}

func foldConcat(c *call) (*constant, error) {
	first, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	a, err := axis(c.integer("axis", 0), len(first.dims))
	if err != nil {
		return nil, err
	}
	// The values in front of and behind each other along the first dimensions.
	out := &constant{dims: slices.Clone(first.dims)}
	out.dims[a] = 0
	total := 0
	for i := range c.in {
		k, err := c.fixed(i)
		if err != nil {
			return nil, err
		}
		if len(k.dims) != len(out.dims) || !slices.Equal(k.dims[:a], first.dims[:a]) || !slices.Equal(k.dims[a+1:], first.dims[a+1:]) ||
			(k.ints == nil) != (first.ints == nil) {
			return nil, fmt.Errorf("cannot join %v and %v", first.dims, k.dims)
		}
		out.dims[a] += k.dims[a]
		total += k.len()
	}
	if err := c.allow(total); err != nil {
		return nil, err
	}
	if first.ints != nil {
		out.ints = make([]int64, 0, total)
	}
	rows := 1
	for _, d := range first.dims[:a] {
		rows *= d
	}
	for r := range rows {
		for _, v := range c.in {
			n := v.constant.len() / rows
			if first.ints != nil {
				out.ints = append(out.ints, v.constant.ints[r*n:(r+1)*n]...)
			} else {
				out.floats = append(out.floats, v.constant.floats[r*n:(r+1)*n]...)
			}
		}
	}
	return out, nil
}

func foldExpand(c *call) (*constant, error) {
	k, err := c.fixed(0)
	if err != nil {
		return nil, err
	}
	dims, err := c.fixed(1)
	if err != nil {
		return nil, err
	}
	return c.expand(k, common(k, &constant{dims: dims.integers()}))
}

func foldRange(c *call) (*constant, error) {
	var v [3]int
	for i := range v {
		k, err := c.fixed(i)
		if err != nil {
			return nil, err
		}
		if k.len() != 1 {
			return nil, errors.New("want three numbers")
		}
		v[i] = k.integers()[0]
	}
	if v[2] == 0 {
		return nil, errors.New("steps of 0 have no end")
	}
	n := max(0, int(math.Ceil(float64(v[1]-v[0])/float64(v[2]))))
	if err := c.allow(n); err != nil {
		return nil, err
	}
	out := integral([]int{n})
	for i := range n {
		out.ints = append(out.ints, int64(v[0]+i*v[2]))
	}
	return out, nil
}

func foldWhere(c *call) (*constant, error) {
	var ks []*constant
	for i := range 3 {
		k, err := c.fixed(i)
		if err != nil {
			return nil, err
		}
		ks = append(ks, k)
	}
	dims := common(ks...)
	for i := range ks {
		var err error
		if ks[i], err = c.expand(ks[i], dims); err != nil {
			return nil, err
		}
	}
	where, yes, no := ks[0].real(), ks[1], ks[2]
	if (yes.ints == nil) != (no.ints == nil) {
		return nil, errors.New("its choices are of different types")
	}
	both := &constant{dims: []int{2 * yes.len()}, ints: slices.Concat(no.ints, yes.ints), floats: slices.Concat(no.floats, yes.floats)}
	i := -1
	return c.pick(both, dims, func([]int) int {
		i++
		return i + int(truth(where[i] != 0))*yes.len()
	})
}

func foldClip(c *call) (*constant, error) {
	low, high, err := c.limits()
	if err != nil {
		return nil, err
	}
	return foldUnary(func(v float64) float64 { return max(float64(low), min(float64(high), v)) })(c)
}

// foldUnary applies f to each value.
func foldUnary(f func(float64) float64) func(*call) (*constant, error) {
	return func(c *call) (*constant, error) {
		k, err := c.fixed(0)
		if err != nil {
			return nil, err
		}
		return c.compute(k.dims, k.ints != nil, func(i int) float64 {
			if k.ints != nil {
				return f(float64(k.ints[i]))
			}
			return f(float64(k.floats[i]))
		})
	}
}

// foldBinary applies f to the values of two constants, or more one by one.
// Integers stay below 2^53 where they are sizes; a quotient of them is cut.
func foldBinary(f func(a, b float64) float64) func(*call) (*constant, error) {
	return func(c *call) (*constant, error) {
		out, err := c.fixed(0)
		for i := 1; i < len(c.in) && err == nil; i++ {
			var b, a *constant
			if b, err = c.fixed(i); err != nil {
				break
			}
			dims := common(out, b)
			if a, err = c.expand(out, dims); err != nil {
				break
			}
			if b, err = c.expand(b, dims); err != nil {
				break
			}
			out, err = c.compute(dims, a.ints != nil && b.ints != nil, func(i int) float64 { return f(a.at(i), b.at(i)) })
		}
		return out, err
	}
}

func (k *constant) at(i int) float64 {
	if k.ints != nil {
		return float64(k.ints[i])
	}
	return float64(k.floats[i])
}

// compute makes a constant of the values that f gives; integers if integer says so
// or they are truth values.
func (c *call) compute(dims []int, integer bool, f func(i int) float64) (*constant, error) {
	n := 1
	for _, d := range dims {
		n *= d
	}
	if err := c.allow(n); err != nil {
		return nil, err
	}
	out := &constant{dims: dims}
	if integer || truthful[c.proto.GetOpType()] {
		out.ints = make([]int64, n)
		for i := range n {
			v := f(i)
			if math.IsNaN(v) || math.Abs(v) > 1<<53 {
				return nil, errors.New("its result is no integer of a size")
			}
			out.ints[i] = int64(v)
		}
		return out, nil
	}
	out.floats = make([]float32, n)
	for i := range n {
		out.floats[i] = float32(f(i))
	}
	return out, nil
}

// foldReduce sums over dimensions and finishes with their number.
func foldReduce(finish func(sum, n float64) float64) func(*call) (*constant, error) {
	return func(c *call) (*constant, error) {
		k, err := c.fixed(0)
		if err != nil {
			return nil, err
		}
		reduced, keep, err := c.reduced(len(k.dims))
		if err != nil {
			return nil, err
		}
		var kept []int // the result's dimensions
		step, n, total := make([]int, len(k.dims)), 1, 1
		for d, size := range k.dims {
			if reduced[d] && keep {
				kept = append(kept, 1)
			} else if !reduced[d] {
				kept = append(kept, size)
			}
			if reduced[d] {
				n *= size
			} else {
				total *= size
			}
		}
		for d, stride := len(k.dims)-1, 1; d >= 0; d-- {
			if !reduced[d] {
				step[d] = stride
				stride *= k.dims[d]
			}
		}
		sums := make([]float64, total)
		place := make([]int, len(k.dims))
		for i := range k.len() {
			sums[dot(place, step)] += k.at(i)
			for d := len(place) - 1; d >= 0; d-- {
				if place[d]++; place[d] < k.dims[d] {
					break
				}
				place[d] = 0
			}
		}
		return c.compute(kept, k.ints != nil, func(i int) float64 { return finish(sums[i], float64(n)) })
	}
}
