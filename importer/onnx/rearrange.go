package onnx

import (
	"errors"
	"fmt"

	"edgeclassify/internal/onnxpb"
)

// Operators that move no value: they change how the file sees a tensor.

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
	return c.reshape(x, dims)
}

func (c *call) reshape(x *view, dims []int) ([]value, error) {
	v, err := x.reshape(dims)
	if err != nil {
		return nil, err
	}
	return views(c.whole(v))
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
	return c.reshape(x, dims)
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
	if n, ok := elements(dims); !ok || n != x.shape().Elements() {
		return nil, fmt.Errorf("repeats %v to %v: no form here", x.dims(), k.integers())
	}
	return []value{{view: x.broadcast(len(dims))}}, nil
}
