package onnx

import (
	"fmt"
	"math"

	"edgeclassify/internal/onnxpb"
	"edgeclassify/models"
)

// call is a node of the file that is being converted.
type call struct {
	*importing
	proto *onnxpb.NodeProto
	name  string
	in    []value // the zero value where an optional input is left out
}

// attribute finds an attribute, or nil.
func (c *call) attribute(name string) *onnxpb.AttributeProto {
	for _, a := range c.proto.Attribute {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

func (c *call) integer(name string, otherwise int) int {
	if a := c.attribute(name); a != nil {
		return clamp(a.GetI())
	}
	return otherwise
}

func (c *call) real(name string, otherwise float32) float32 {
	if a := c.attribute(name); a != nil {
		return a.GetF()
	}
	return otherwise
}

func (c *call) text(name, otherwise string) string {
	if a := c.attribute(name); a != nil {
		return string(a.GetS())
	}
	return otherwise
}

func (c *call) integers(name string) []int { return clamps(c.attribute(name).GetInts()) }

// far is beyond all sizes, and its sums do not overflow.
const far = math.MaxInt32

func clamp(v int64) int { return int(max(-far, min(far, v))) }

func clamps(values []int64) []int {
	var out []int
	for _, v := range values {
		out = append(out, clamp(v))
	}
	return out
}

// list is an attribute that became an input in a later operator set: integers,
// and whether they are given.
func (c *call) list(name string, input int) ([]int, bool, error) {
	if c.attribute(name) != nil {
		return c.integers(name), true, nil
	}
	if !c.has(input) {
		return nil, false, nil
	}
	k, err := c.fixed(input)
	if err != nil {
		return nil, false, err
	}
	return k.integers(), true, nil
}

// has tells whether an optional input is given.
func (c *call) has(input int) bool {
	return input < len(c.in) && (c.in[input].view != nil || c.in[input].constant != nil)
}

// fixed is an input that must be a constant.
func (c *call) fixed(input int) (*constant, error) {
	if !c.has(input) {
		return nil, fmt.Errorf("input %d is missing", input)
	}
	if c.in[input].constant == nil {
		return nil, fmt.Errorf("input %d is computed from the picture, want a constant", input)
	}
	k := c.in[input].constant
	return k, c.allow(k.len())
}

// scalar is an optional input of one number.
func (c *call) scalar(input int, otherwise float32) (float32, error) {
	if !c.has(input) {
		return otherwise, nil
	}
	k, err := c.fixed(input)
	if err != nil {
		return 0, err
	}
	if k.len() != 1 {
		return 0, fmt.Errorf("input %d has %d values, want one", input, k.len())
	}
	return k.real()[0], nil
}

// vector is an input of a number for each of so many channels.
func (c *call) vector(input, channels int) ([]float32, error) {
	k, err := c.fixed(input)
	if err != nil {
		return nil, err
	}
	if k.len() != channels {
		return nil, fmt.Errorf("input %d has %d values, want one for each of %d channels", input, k.len(), channels)
	}
	return k.real(), nil
}

// axis counts from the end where it is negative.
func axis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, fmt.Errorf("axis %d of %d dimensions does not exist", a, rank)
	}
	return (a + rank) % rank, nil
}

// emit adds a node that reads v and lies as v.
func (c *call) emit(op models.Op, v *view, others ...*node) ([]value, error) {
	return c.emitAs(v.axes, op, append([]*node{v.node}, others...)...)
}

// emitAs adds a node that lies in that order, which sizes of 1 do not tell.
func (c *call) emitAs(a axes, op models.Op, inputs ...*node) ([]value, error) {
	n, err := c.add(c.name, op, inputs...)
	if err != nil {
		return nil, err
	}
	return []value{{view: &view{node: n, axes: a.of(n.shape)}}}, nil
}

func views(v *view, err error) ([]value, error) { return []value{{view: v}}, err }

// picture is the first input, a tensor of the network.
func (c *call) x() (*view, error) {
	if len(c.in) == 0 || c.in[0].view == nil {
		return nil, fmt.Errorf("input 0 is a constant, want a tensor of the network")
	}
	return c.in[0].view, nil
}
