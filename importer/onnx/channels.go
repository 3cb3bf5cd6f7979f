package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// selection takes channels; -1 is one of zeros.
type selection struct{ indices []int }

func (selection) Kind() string     { return "selection" }
func (selection) Digest(io.Writer) {}

func (s selection) Infer(in []tensor.Shape) (tensor.Shape, error) {
	return tensor.Shape{H: in[0].H, W: in[0].W, C: len(s.indices)}, nil
}

// lower is a convolution whose weights are 0 and 1 where there are zeros.
func (s selection) lower(cs *constants, in tensor.Shape) (models.Op, error) {
	if !slices.Contains(s.indices, -1) {
		return &models.Gather{Indices: s.indices}, nil
	}
	if err := cs.allow(in.C * len(s.indices)); err != nil {
		return nil, err
	}
	conv := &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: in.C, OutC: len(s.indices), Weight: make([]float32, in.C*len(s.indices))}
	for o, i := range s.indices {
		if i >= 0 {
			conv.Weight[o*in.C+i] = 1
		}
	}
	return conv, nil
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
	return []value{{view: &view{selected.node, slices.Delete(slices.Clone(selected.axes), a, a+1), selected.parts}}}, nil
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
	if x.parts != nil && len(x.axes[a]) == 1 && x.axes[a] >= "a" && len(indices) > 0 {
		return c.takePart(x, a, indices)
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

// takePart is take for a dimension that is a part of channels.
func (c *call) takePart(x *view, a int, indices []int) (*view, error) {
	part := int(x.axes[a][0] - 'a')
	if err := c.allow(x.shape().C / x.parts[part] * len(indices)); err != nil {
		return nil, err
	}
	inOrder := ""
	for i := range x.parts {
		inOrder += string(rune('a' + i))
	}
	selected, err := c.add(c.name, selection{x.channels(inOrder, map[int][]int{part: indices})}, x.node)
	if err != nil {
		return nil, err
	}
	out := &view{selected, x.axes, slices.Clone(x.parts)}
	if out.parts[part] = len(indices); len(indices) == 1 {
		out.parts = slices.Delete(out.parts, part, part+1)
		out.dropPart(part)
	}
	return c.whole(out)
}

// whole is x with its channels in the order in which a dimension has their parts, if one
// has all of them: a channel shuffle.
func (c *call) whole(x *view) (*view, error) {
	x.joinParts()
	indices, a := x.shuffled()
	if indices == nil {
		return x, nil
	}
	if err := c.allow(len(indices)); err != nil {
		return nil, err
	}
	shuffled, err := c.add(c.name, selection{indices}, x.node)
	if err != nil {
		return nil, err
	}
	return &view{node: shuffled, axes: a}, nil
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
			if x, err = c.take(x, a, counted(cut.start, cut.n, cut.step)); err != nil {
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
		part, err := c.take(x, a, counted(start, size, 1))
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
	return []value{{view: &view{node: n, axes: out.of(n.shape)}}}, nil
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
		if err := c.allow(4 * n.shape.C); err != nil {
			return nil, err
		}
		source, indices = part.inputs[0], append(indices, chosen.indices...)
		scales, shifts = append(scales, spread(scale, n.shape.C)...), append(shifts, spread(shift, n.shape.C)...)
	}
	whole, err := c.take(&view{node: source, axes: axes{"C"}}, 0, indices)
	if err != nil {
		return nil, err
	}
	return c.scaled(whole.node, scales, shifts)
}

// moreChannels puts channels of zeros before and behind those of x.
func (c *call) moreChannels(x *view, a, before, after int) (*view, error) {
	if err := c.allow(before); err != nil {
		return nil, err
	}
	if err := c.allow(after); err != nil {
		return nil, err
	}
	indices := slices.Repeat([]int{-1}, before+x.shape().C+after)
	for i := range x.shape().C {
		indices[before+i] = i
	}
	order := slices.Clone(x.axes)
	order[a] = "C"
	out, err := c.emitAs(order, selection{indices}, x.node)
	if err != nil {
		return nil, err
	}
	return out[0].view, nil
}
