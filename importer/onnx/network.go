package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"edgeclassify/internal/onnxpb"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// What a tensor may measure, so that arithmetic on it never overflows.
const (
	maxSide     = 1 << 13
	maxElements = math.MaxInt32
	maxRank     = 16 // dimensions in the file
)

// importing is a file that becomes a network.
type importing struct {
	constants
	opset        int
	batch        int  // of the file, 0 where it is open
	channelsLast bool // of the picture
	functions    map[string]*onnxpb.FunctionProto
	depth        int // of functions within functions
	values       map[string]value
	image        *node
	nodes        []*node // in topological order
	names        map[string]bool
	renamed      int // the number of the next name that is made up
	notes        []string
}

// node is an operation of the network.
type node struct {
	name   string
	op     models.Op // nil for the image
	inputs []*node
	shape  tensor.Shape
}

// value is what a name in the file stands for.
type value struct {
	*view                        // a tensor of the network,
	constant *constant           // or a constant,
	stored   *onnxpb.TensorProto // or one that is not decoded yet,
	err      error               // or the reason why it is none
}

// value finds a name. Constants are decoded.
func (imp *importing) value(name string) (value, error) {
	v, ok := imp.values[name]
	if !ok {
		return v, fmt.Errorf("input %q does not exist before it", name)
	}
	if v.stored != nil {
		c, err := imp.decode(v.stored)
		if err != nil {
			err = fmt.Errorf("weights %q: %w", name, err)
		}
		v = value{constant: c, err: err}
		imp.values[name] = v
	}
	return v, v.err
}

// run converts nodes. One that fails leaves its error as the value of its outputs:
// the network may not need them.
func (imp *importing) run(nodes []*onnxpb.NodeProto) {
	for _, n := range nodes {
		outputs, err := imp.convert(n)
		for i, name := range n.Output {
			v := value{err: err}
			if err == nil && i < len(outputs) {
				v = outputs[i]
			} else if err == nil {
				v.err = fmt.Errorf("node %q (%s): output %d has no form here", n.GetName(), n.GetOpType(), i)
			}
			if name != "" {
				imp.values[name] = v
			}
		}
	}
}

// convert converts a node. Errors of its inputs are passed on as they are.
func (imp *importing) convert(n *onnxpb.NodeProto) ([]value, error) {
	c := &call{importing: imp, proto: n, name: layerName(n)}
	named := func(err error) error { return fmt.Errorf("node %q (%s): %w", c.name, n.GetOpType(), err) }
	foldable := true
	for _, name := range n.Input {
		var v value
		if name != "" {
			var err error
			if v, err = imp.value(name); v.err != nil {
				return nil, v.err
			} else if err != nil {
				return nil, named(err)
			}
			foldable = foldable && v.constant != nil
		}
		c.in = append(c.in, v)
	}
	outputs, err := c.convert(foldable)
	if err != nil {
		return nil, named(err)
	}
	return outputs, nil
}

// layerName is what the trainer calls the layer, as its weights tell it, or else the
// file.
func layerName(n *onnxpb.NodeProto) string {
	if len(n.Input) > 1 {
		if name, ok := strings.CutSuffix(n.Input[1], ".weight"); ok {
			return name
		}
	}
	if n.GetName() == "" && len(n.Output) > 0 {
		return n.Output[0]
	}
	return n.GetName()
}

func (c *call) convert(foldable bool) ([]value, error) {
	op := c.proto.GetOpType()
	if err := c.allow(1 + len(c.in) + len(c.proto.Output)); err != nil {
		return nil, err
	}
	if f := c.functions[c.proto.GetDomain()+"."+op]; f != nil {
		return c.inline(f)
	}
	if op == "If" {
		return convertIf(c)
	}
	if !standard(c.proto.GetDomain()) {
		return nil, fmt.Errorf("operators of domain %q are not ONNX's own: export without them", c.proto.GetDomain())
	}
	if fold, ok := folds[op]; foldable && ok {
		k, err := fold(c)
		return []value{{constant: k}}, err
	}
	convert, ok := operators[op]
	if !ok {
		return nil, errors.New(wayOut(op))
	}
	if len(c.in) == 0 || c.in[0].view == nil && !(len(c.in) > 1 && c.in[1].view != nil) {
		return nil, errors.New("its input is not computed from the picture: want a tensor of the network")
	}
	for _, in := range c.in {
		if in.view != nil && in.parts != nil && !slices.Contains(splittable, op) {
			return nil, fmt.Errorf("computes with channels in parts, %v: want them joined first", in.dims())
		}
	}
	return convert(c)
}

// add appends a node.
func (imp *importing) add(name string, op models.Op, inputs ...*node) (*node, error) {
	shapes := make([]tensor.Shape, len(inputs))
	for i, in := range inputs {
		shapes[i] = in.shape
	}
	s, err := op.Infer(shapes)
	if err != nil {
		return nil, err
	}
	if s.C > maxElements/maxSide || max(s.H, s.W) > maxSide || s.C > maxElements/(s.H*s.W) {
		return nil, fmt.Errorf("its output %v is too large", s)
	}
	n := &node{name: imp.unique(name), op: op, inputs: inputs, shape: s}
	imp.nodes = append(imp.nodes, n)
	return n, nil
}

// maxName is the length of a name, in bytes.
const maxName = 200

// unique is name, or one like it where it is taken or none.
func (imp *importing) unique(name string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, name[:min(len(name), maxName)])
	for ; clean == "" || imp.names[clean]; imp.renamed++ {
		clean = fmt.Sprintf("%s_%d", strings.TrimRight(clean, "_0123456789"), imp.renamed)
	}
	imp.names[clean] = true
	return clean
}

// live are the nodes that the output needs, and how often each is read.
func (imp *importing) live(out *node) (nodes []*node, reads map[*node]int) {
	reads = map[*node]int{out: 1}
	for i := len(imp.nodes) - 1; i >= 0; i-- {
		if n := imp.nodes[i]; reads[n] > 0 {
			for _, in := range n.inputs {
				reads[in]++
			}
		}
	}
	for _, n := range imp.nodes {
		if reads[n] > 0 {
			nodes = append(nodes, n)
		}
	}
	return nodes, reads
}
