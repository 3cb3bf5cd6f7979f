package onnx

import (
	"errors"
	"fmt"
	"slices"

	"edgeclassify/importer/weights"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func convertGemm(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	w, err := c.matrix(1, c.integer("transB", 0) != 0)
	if err != nil {
		return nil, err
	}
	if c.integer("transA", 0) != 0 || len(x.axes) != 2 || x.axes[0] != "" {
		return nil, fmt.Errorf("reads a tensor of dimensions %v, want one row", x.dims())
	}
	out, err := c.dense(x, w)
	if err != nil {
		return nil, err
	}
	scale, shift := []float64{float64(c.real("alpha", 1))}, []float64{0}
	if c.has(2) {
		bias, err := c.fixed(2)
		if err != nil {
			return nil, err
		}
		if shift, err = c.perChannel(out, bias); err != nil {
			return nil, err
		}
		for i := range shift {
			shift[i] *= float64(c.real("beta", 1))
		}
	}
	n, err := c.scaled(out.node, scale, shift)
	if err != nil {
		return nil, err
	}
	return []value{{view: out.with(n)}}, nil
}

func convertMatMul(c *call) ([]value, error) {
	x, err := c.x()
	if err != nil {
		return nil, err
	}
	w, err := c.matrix(1, false)
	if err != nil {
		return nil, err
	}
	return views(c.dense(x, w))
}

// matrix is a constant of two dimensions, those of the output first.
func (c *call) matrix(input int, transposed bool) (*constant, error) {
	k, err := c.fixed(input)
	if err != nil {
		return nil, err
	}
	if len(k.dims) != 2 {
		return nil, fmt.Errorf("its weights have dimensions %v, want two", k.dims)
	}
	if transposed {
		return k, nil
	}
	if err := c.allow(k.len()); err != nil {
		return nil, err
	}
	return &constant{dims: []int{k.dims[1], k.dims[0]}, floats: weights.Transpose(k.real(), k.dims[0], k.dims[1])}, nil
}

// dense multiplies the last dimension of x by w: a fully connected layer, or a
// convolution where it is the channels of a plane.
func (c *call) dense(x *view, w *constant) (*view, error) {
	if len(x.axes) == 0 {
		return nil, errors.New("reads a number, want a row")
	}
	last := len(x.axes) - 1
	out, in := w.dims[0], w.dims[1]
	if n := x.size(x.axes[last]); n != in || out < 1 {
		return nil, fmt.Errorf("reads rows of %d values, the weights expect %d", n, in)
	}
	var op models.Op = &models.Dense{In: in, Out: out, Weight: w.real()}
	plane := slices.ContainsFunc(x.axes[:last], func(letters string) bool { return letters != "" })
	switch {
	case plane && x.axes[last] != "C":
		return nil, fmt.Errorf("multiplies dimension %d of %v, want the channels or all values", last, x.dims())
	case plane:
		op = &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: in, OutC: out, Weight: w.real()}
	default:
		if order := x.hwc(x.axes[last]); order != nil {
			if err := c.allow(w.len()); err != nil {
				return nil, err
			}
			op = &models.Dense{In: in, Out: out, Weight: reorder(w.real(), order)}
		}
	}
	n, err := c.add(c.name, op, x.node)
	if err != nil {
		return nil, err
	}
	a := slices.Clone(x.axes)
	a[last] = "C"
	return &view{node: n, axes: a.of(n.shape)}, nil
}

// reorder puts the columns of rows into their places.
func reorder(rows []float32, places []int) []float32 {
	out := make([]float32, 0, len(rows))
	for row := range slices.Chunk(rows, len(places)) {
		ordered := make([]float32, len(places))
		for i, at := range places {
			ordered[at] = row[i]
		}
		out = append(out, ordered...)
	}
	return out
}
