package onnx

import (
	"errors"
	"fmt"
	"slices"
)

// newShape is what Reshape asks for, for a tensor of those dimensions.
func (c *call) newShape(from []int) ([]int, error) {
	asked, given, err := c.list("shape", 1)
	if err != nil || !given {
		return nil, errors.Join(err, missing(given, "shape"))
	}
	if len(asked) > maxRank {
		return nil, fmt.Errorf("makes %d dimensions, want up to %d", len(asked), maxRank)
	}
	dims, known, open := slices.Clone(asked), 1, -1
	for i, d := range dims {
		switch {
		case d == 0 && c.integer("allowzero", 0) == 0:
			if i >= len(from) {
				return nil, fmt.Errorf("cannot give %v the dimensions %v", from, asked)
			}
			dims[i] = from[i]
		case d == -1 && open < 0:
			open = i
			continue
		case d < 0:
			return nil, fmt.Errorf("cannot give %v the dimensions %v", from, asked)
		case i == 0 && d == c.batch && c.batch > 1: // here it is 1
			dims[i] = 1
		}
		if known *= dims[i]; known > maxElements {
			return nil, fmt.Errorf("cannot give %v the dimensions %v", from, asked)
		}
	}
	if open >= 0 {
		n := 1
		for _, d := range from {
			n *= d
		}
		dims[open] = n / max(1, known)
	}
	return dims, nil
}

func missing(given bool, what string) error {
	if given {
		return nil
	}
	return fmt.Errorf("has no %s", what)
}

// flat are the two dimensions that Flatten leaves.
func (c *call) flat(from []int) ([]int, error) {
	a := c.integer("axis", 1)
	if a < 0 {
		a += len(from)
	}
	if a < 0 || a > len(from) {
		return nil, fmt.Errorf("axis %d of %d dimensions does not exist", a, len(from))
	}
	dims := []int{1, 1}
	for i, d := range from {
		if i < a {
			dims[0] *= d
		} else {
			dims[1] *= d
		}
	}
	return dims, nil
}

func (c *call) shapeOf(dims []int) *constant {
	bound := func(a int) int {
		if a < 0 {
			a += len(dims)
		}
		return max(0, min(len(dims), a))
	}
	start, end := bound(c.integer("start", 0)), bound(c.integer("end", len(dims)))
	out := integral([]int{max(0, end-start)})
	for i := start; i < end; i++ {
		out.ints = append(out.ints, int64(dims[i]))
	}
	return out
}

// squeezed are the dimensions that Squeeze leaves, by their place before it.
func (c *call) squeezed(dims []int) (kept []int, err error) {
	named, given, err := c.list("axes", 1)
	if err != nil {
		return nil, err
	}
	drop := make([]bool, len(dims))
	for i, d := range dims {
		drop[i] = !given && d == 1
	}
	for _, a := range named {
		if a, err = axis(a, len(dims)); err != nil {
			return nil, err
		}
		if drop[a] = true; dims[a] != 1 {
			return nil, fmt.Errorf("axis %d of %v is not 1", a, dims)
		}
	}
	for i := range dims {
		if !drop[i] {
			kept = append(kept, i)
		}
	}
	return kept, nil
}

// unsqueezed are the dimensions that Unsqueeze makes, by their place before it, -1
// for those that it adds.
func (c *call) unsqueezed(dims []int) ([]int, error) {
	named, given, err := c.list("axes", 1)
	if err != nil || !given {
		return nil, errors.Join(err, missing(given, "axes"))
	}
	if len(dims)+len(named) > maxRank {
		return nil, fmt.Errorf("makes %d dimensions, want up to %d", len(dims)+len(named), maxRank)
	}
	out := make([]int, len(dims)+len(named))
	for _, a := range named {
		if a, err = axis(a, len(out)); err != nil {
			return nil, err
		}
		out[a] = -1
	}
	next := 0
	for i := range out {
		if out[i] == 0 && next < len(dims) {
			out[i] = next
			next++
		} else {
			out[i] = -1
		}
	}
	return out, nil
}

// order is that of Transpose.
func (c *call) order(rank int) ([]int, error) {
	order := c.integers("perm")
	if order == nil {
		for d := rank - 1; d >= 0; d-- {
			order = append(order, d)
		}
	}
	sorted := slices.Sorted(slices.Values(order))
	for i, d := range sorted {
		if i != d {
			sorted = nil
		}
	}
	if len(sorted) != rank {
		return nil, fmt.Errorf("perm %v is no order of %d dimensions", order, rank)
	}
	return order, nil
}

// cut is a part of a dimension: n values from start on, every so many.
type cut struct{ start, step, n int }

// cuts are what Slice takes of each dimension.
func (c *call) cuts(dims []int) ([]cut, error) {
	var lists [4][]int // starts, ends, axes, steps
	for i, name := range []string{"starts", "ends", "axes", "steps"} {
		var err error
		if lists[i], _, err = c.list(name, i+1); err != nil {
			return nil, err
		}
	}
	starts, ends, along, steps := lists[0], lists[1], lists[2], lists[3]
	if along == nil {
		for i := range starts {
			along = append(along, i)
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(ends) != len(starts) || len(along) != len(starts) || len(steps) != len(starts) {
		return nil, errors.New("its starts, ends, axes and steps are not as many")
	}
	out := make([]cut, len(dims))
	for d, n := range dims {
		out[d] = cut{0, 1, n}
	}
	for i, a := range along {
		a, err := axis(a, len(dims))
		if err != nil {
			return nil, err
		}
		if steps[i] == 0 {
			return nil, errors.New("has a step of 0")
		}
		out[a] = slicing(dims[a], starts[i], ends[i], steps[i])
	}
	return out, nil
}

// slicing is start:end:step of n values, as in Python.
func slicing(n, start, end, step int) cut {
	low, high := 0, n
	if step < 0 {
		low, high = -1, n-1
	}
	bound := func(i int) int {
		if i < 0 {
			i += n
		}
		return max(low, min(high, i))
	}
	start, end = bound(start), bound(end)
	count := (end - start + step - 1) / step
	if step < 0 {
		count = (start - end - step - 1) / -step
	}
	return cut{start, step, max(0, count)}
}

// reduced are the dimensions that a reduction is over, and whether they stay as 1.
func (c *call) reduced(rank int) (dims []bool, keep bool, err error) {
	named, given, err := c.list("axes", 1)
	if err != nil {
		return nil, false, err
	}
	dims = make([]bool, rank)
	if !given && c.integer("noop_with_empty_axes", 0) == 0 {
		for d := range dims {
			dims[d] = true
		}
	}
	for _, a := range named {
		if a, err = axis(a, rank); err != nil {
			return nil, false, err
		}
		dims[a] = true
	}
	return dims, c.integer("keepdims", 1) != 0, nil
}
