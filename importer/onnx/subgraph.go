package onnx

import (
	"errors"
	"fmt"

	"edgeclassify/internal/onnxpb"
)

// convertIf takes the branch that a constant chooses, as exporters leave it around
// questions about shapes.
func convertIf(c *call) ([]value, error) {
	k, err := c.fixed(0)
	if err != nil || k.len() != 1 {
		return nil, errors.New("its condition depends on the picture: export without it")
	}
	name := "else_branch"
	if k.at(0) != 0 {
		name = "then_branch"
	}
	branch := c.attribute(name).GetG()
	if branch == nil {
		return nil, fmt.Errorf("has no %s", name)
	}
	c.declare(branch.Initializer)
	c.run(branch.Node)
	var out []value
	for _, info := range branch.Output {
		v, err := c.value(info.GetName())
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// maxDepth is how deep functions may be within functions.
const maxDepth = 32

// inline converts the nodes of a function of the file, as some exporters write one
// for each module.
func (c *call) inline(f *onnxpb.FunctionProto) ([]value, error) {
	if c.depth == maxDepth {
		return nil, fmt.Errorf("functions within functions, more than %d: export without them", maxDepth)
	}
	outside := c.values
	defer func() { c.values, c.depth = outside, c.depth-1 }()
	c.depth++
	c.values = map[string]value{}
	for i, name := range f.Input {
		if i < len(c.in) {
			c.values[name] = c.in[i]
		}
	}
	for _, n := range f.Node {
		c.run([]*onnxpb.NodeProto{c.bind(n, f)})
	}
	var out []value
	for _, name := range f.Output {
		v, err := c.value(name)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// bind is a node of a function with the attributes that the call gives.
func (c *call) bind(n *onnxpb.NodeProto, f *onnxpb.FunctionProto) *onnxpb.NodeProto {
	name := c.name + "." + n.GetName()
	if len(n.Output) > 0 && n.GetName() == "" {
		name = c.name + "." + n.Output[0]
	}
	bound := &onnxpb.NodeProto{Name: &name, OpType: n.OpType, Domain: n.Domain, Input: n.Input, Output: n.Output}
	given := &call{proto: &onnxpb.NodeProto{Attribute: append(c.proto.Attribute[:len(c.proto.Attribute):len(c.proto.Attribute)], f.AttributeProto...)}}
	for _, a := range n.Attribute {
		if ref := a.GetRefAttrName(); ref != "" {
			from := given.attribute(ref)
			if from == nil {
				continue
			}
			a = &onnxpb.AttributeProto{Name: a.Name, Type: from.Type, F: from.F, I: from.I, S: from.S, T: from.T, G: from.G,
				Floats: from.Floats, Ints: from.Ints, Strings: from.Strings}
		}
		bound.Attribute = append(bound.Attribute, a)
	}
	return bound
}
