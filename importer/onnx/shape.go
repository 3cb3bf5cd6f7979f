package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/onnxpb"
	"edgeclassify/models"
)

// newShape is what Reshape asks for, for a tensor of those dimensions.
func (c *call) newShape(from []int) ([]int, error) {
	asked, given, err := c.list("shape", 1)
	if err != nil || !given {
		return nil, errors.Join(err, missing(given, "shape"))
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

func convertIdentity(c *call) ([]value, error) { return views(c.x()) }

func convertCast(c *call) ([]value, error) {
	kind, known := elementTypes[onnxpb.TensorProto_DataType(c.integer("to", 0))]
	if !known || kind.integer != nil {
		return nil, errors.New("casts a tensor of the network to integers: want real numbers")
	}
	return convertIdentity(c)
}

func convertReshape(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	dims, err := c.newShape(x.dims())
	if err != nil {
		return nil, err
	}
	return views(x.reshape(dims))
}

func convertFlatten(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	dims, err := c.flat(x.dims())
	if err != nil {
		return nil, err
	}
	return views(x.reshape(dims))
}

func convertTranspose(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	order, err := c.order(len(x.axes))
	if err != nil {
		return nil, err
	}
	return []value{{view: x.arranged(order)}}, nil
}

func convertSqueeze(c *call) ([]value, error)   { return c.rearrange((*call).squeezed) }
func convertUnsqueeze(c *call) ([]value, error) { return c.rearrange((*call).unsqueezed) }

func (c *call) rearrange(f func(*call, []int) ([]int, error)) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	kept, err := f(c, x.dims())
	if err != nil {
		return nil, err
	}
	return []value{{view: x.arranged(kept)}}, nil
}

func convertShape(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	return []value{{constant: c.shapeOf(x.dims())}}, nil
}

func convertSize(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	return []value{{constant: integral(nil, int64(x.shape().Elements()))}}, nil
}

func convertExpand(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	k, err := c.fixed(1)
	if err != nil {
		return nil, err
	}
	dims := common(&constant{dims: x.dims()}, &constant{dims: k.integers()})
	if n, ok := weights.Elements(dims, maxElements); !ok || n != x.shape().Elements() {
		return nil, fmt.Errorf("repeats %v to %v: no form here", x.dims(), k.integers())
	}
	return []value{{view: x.broadcast(len(dims))}}, nil
}

// convertGather takes one channel out, or orders channels.
func convertGather(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	k, err := c.fixed(1)
	if err != nil {
		return nil, err
	}
	a, err := axis(c.integer("axis", 0), len(x.axes))
	if err != nil {
		return nil, err
	}
	if len(k.dims) > 1 {
		return nil, fmt.Errorf("takes indices of dimensions %v: want a list of channels", k.dims)
	}
	selected, err := c.take(x, a, k.integers())
	if err != nil || len(k.dims) == 1 {
		return views(selected, err)
	}
	return []value{{view: &view{selected.node, slices.Delete(slices.Clone(selected.axes), a, a+1)}}}, nil
}

// take selects places along a dimension.
func (c *call) take(x *view, a int, indices []int) (*view, error) {
	n := x.dims()[a]
	same := len(indices) == n
	for i := range indices {
		if indices[i] < 0 {
			indices[i] += n
		}
		if indices[i] < 0 || indices[i] >= n {
			return nil, fmt.Errorf("index %d is beyond %d", indices[i], n)
		}
		same = same && indices[i] == i
	}
	if same {
		return x, nil
	}
	if x.axes[a] != "C" || len(indices) == 0 {
		return nil, fmt.Errorf("takes parts of dimension %d of %v: only channels have a form here", a, x.dims())
	}
	selected, err := c.add(c.name, selection{indices}, x.node)
	if err != nil {
		return nil, err
	}
	return x.with(selected), nil
}

// convertSlice cuts borders, or takes channels or every so many pixels.
func convertSlice(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	cuts, err := c.cuts(x.dims())
	if err != nil {
		return nil, err
	}
	rows, columns := cut{0, 1, x.shape().H}, cut{0, 1, x.shape().W}
	for a, cut := range cuts {
		switch {
		case cut.n < 1:
			return nil, errors.New("leaves nothing")
		case x.axes[a] == "H" && cut.step > 0:
			rows = cut
		case x.axes[a] == "W" && cut.step > 0:
			columns = cut
		default:
			if err := c.allow(cut.n); err != nil {
				return nil, err
			}
			var indices []int
			for i := range cut.n {
				indices = append(indices, cut.start+i*cut.step)
			}
			if x, err = c.take(x, a, indices); err != nil {
				return nil, err
			}
		}
	}
	return c.crop(x, rows, columns)
}

// convertSplit parts channels.
func convertSplit(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	a, err := axis(c.integer("axis", 0), len(x.axes))
	if err != nil {
		return nil, err
	}
	sizes, given, err := c.list("split", 1)
	if err != nil {
		return nil, err
	}
	n, parts := x.dims()[a], len(c.proto.Output)
	for i := 0; i < parts && !given; i++ {
		each := (n + parts - 1) / parts
		sizes = append(sizes, max(0, min(each, n-i*each)))
	}
	var out []value
	start := 0
	for _, size := range sizes {
		if size < 1 || size > n-start {
			return nil, fmt.Errorf("cannot part %d values into %v", n, sizes)
		}
		if err := c.allow(size); err != nil {
			return nil, err
		}
		indices := make([]int, size)
		for i := range indices {
			indices[i] = start + i
		}
		part, err := c.take(x, a, indices)
		if err != nil {
			return nil, err
		}
		out, start = append(out, value{view: part}), start+size
	}
	return out, nil
}

// convertConcat puts channels behind each other.
func convertConcat(c *call) ([]value, error) {
	var nodes []*node
	var first *view
	for i, in := range c.in {
		if in.view == nil {
			return nil, fmt.Errorf("input %d is a constant, want tensors of the network", i)
		}
		first = cmp.Or(first, in.view)
		nodes = append(nodes, in.node)
	}
	a, err := axis(c.integer("axis", 1), len(first.axes))
	if err != nil {
		return nil, err
	}
	out := slices.Clone(first.axes)
	if out[a] == "" && slices.Contains(out, "C") || a == 0 && len(out) > 1 {
		return nil, fmt.Errorf("joins along dimension %d of %v: only channels have a form here", a, first.dims())
	}
	out[a] = "C"
	for _, in := range c.in {
		s := in.shape()
		if s.H != first.shape().H || s.W != first.shape().W || !in.is(out) {
			return nil, fmt.Errorf("joins %v and %v along dimension %d: only channels have a form here", first.dims(), in.dims(), a)
		}
	}
	if len(nodes) == 1 {
		return []value{{view: first}}, nil
	}
	n, err := c.join(nodes)
	if err != nil {
		return nil, err
	}
	return []value{{view: &view{n, out.of(n.shape)}}}, nil
}

// join is the tensor of the channels of nodes, one behind the other. Parts of one
// tensor, each with arithmetic of its own as torchvision's transform_input makes
// them, are that tensor with arithmetic.
func (c *call) join(nodes []*node) (*node, error) {
	var source *node
	var indices []int
	var scales, shifts []float64
	for _, n := range nodes {
		part, scale, shift := unscaled(n)
		chosen, ok := part.op.(selection)
		if !ok || source != nil && part.inputs[0] != source {
			return c.add(c.name, models.Concat{}, nodes...)
		}
		source, indices = part.inputs[0], append(indices, chosen.indices...)
		scales, shifts = append(scales, spread(scale, n.shape.C)...), append(shifts, spread(shift, n.shape.C)...)
	}
	whole, err := c.take(&view{source, axes{"C"}}, 0, indices)
	if err != nil {
		return nil, err
	}
	return c.scaled(whole.node, scales, shifts)
}
