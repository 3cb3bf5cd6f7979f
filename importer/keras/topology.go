package keras

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// network is a model's topology: layers in the order of the file.
//
// Format: https://keras.io/api/models/model_saving_apis/model_config_serialization/
type network struct {
	name       string
	sequential bool
	layers     []*layer
	byName     map[string]*layer
	output     reference // of a functional model
	input      string    // layer
	shape      []any     // of a Sequential model without an input layer
}

// layer is a layer, a model within a model, or an operation on tensors.
type layer struct {
	name, class string
	path        []string // names of the models around it, and its own
	group       string   // of its variables in a .keras file
	config      *options
	uses        []use
	inner       *network // of a model
}

// use is one call of a layer.
type use struct {
	operands []any // references and constants
	keys     object
}

// constant is the last operand, where that is none of the tensors.
func (u use) constant() any {
	if len(u.operands) == 0 {
		return nil
	}
	last := u.operands[len(u.operands)-1]
	if _, tensor := last.(reference); tensor {
		return nil
	}
	return last
}

// reference names one of the tensors that a layer makes.
type reference struct {
	layer        string
	node, tensor int
}

// parser reads a topology.
type parser struct{ layers int }

// maxLayers bounds a topology; the largest known networks have some thousand.
const maxLayers = 1 << 14

// maxDepth bounds models within models.
const maxDepth = 32

// isModel tells the classes of networks.
func isModel(class string) bool {
	return class == "Functional" || class == "Model" || class == "Sequential"
}

// network parses a model: {"class_name": ..., "config": ...}.
func (p *parser) network(o object, path []string, group string) (*network, error) {
	if len(path) > maxDepth {
		return nil, fmt.Errorf("more than %d models within each other", maxDepth)
	}
	outer := &options{values: o}
	class := outer.text("class_name", "")
	if outer.err != nil {
		return nil, outer.err
	}
	if !isModel(class) {
		return nil, fmt.Errorf("the model is of class %q, expected Sequential or Functional: "+
			"build a model of your own class with Keras' functional API, or export it to ONNX with tf2onnx", class)
	}
	n := &network{sequential: class == "Sequential", byName: map[string]*layer{}}
	config := &options{values: object{}}
	var list []any
	if bare, ok := o["config"].([]any); ok && n.sequential { // before Keras 2.2.3
		list = bare
	} else {
		config.values = outer.sub("config")
		list = config.list("layers")
	}
	n.name = config.text("name", "model")
	if err := errors.Join(outer.err, config.err); err != nil {
		return nil, err
	}
	used := map[string]int{}
	for _, e := range list {
		l, err := p.layer(e, path, group, used)
		if err != nil {
			return nil, err
		}
		if n.byName[l.name] != nil {
			return nil, fmt.Errorf("layer %q (%s): the name is used twice", l.name, l.class)
		}
		n.byName[l.name] = l
		n.layers = append(n.layers, l)
	}
	if len(n.layers) == 0 {
		return nil, fmt.Errorf("model %q has no layers", n.name)
	}
	if n.sequential {
		n.shape = config.list("build_input_shape")
		return n, config.err
	}
	in, err := single(config, "input_layers")
	if err != nil {
		return nil, err
	}
	n.input = in.layer
	n.output, err = single(config, "output_layers")
	return n, err
}

// single is the one reference in a list, which Keras 3 writes without the list.
func single(o *options, key string) (reference, error) {
	list := o.list(key)
	if r, ok := parseReference(list); ok {
		return r, nil
	}
	if len(list) == 1 {
		if r, ok := parseReference(list[0]); ok {
			return r, nil
		}
	}
	return reference{}, fmt.Errorf("the model has %d %s, expected one", len(list), strings.ReplaceAll(key, "_", " "))
}

// parseReference reads [layer, node, tensor].
func parseReference(v any) (reference, bool) {
	list, _ := v.([]any)
	if len(list) < 3 {
		return reference{}, false
	}
	name, ok := list[0].(string)
	node, isNode := list[1].(float64)
	tensor, isTensor := list[2].(float64)
	return reference{name, int(node), int(tensor)}, ok && isNode && isTensor && node >= 0
}

func (p *parser) layer(v any, path []string, group string, used map[string]int) (*layer, error) {
	if p.layers++; p.layers > maxLayers {
		return nil, fmt.Errorf("the model has more than %d layers", maxLayers)
	}
	values, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("layer %d is no object", p.layers)
	}
	outer := &options{values: values}
	l := &layer{class: outer.text("class_name", "?"), config: &options{values: outer.sub("config")}}
	if _, bare := values["config"].([]any); bare {
		outer.err, l.config.values = nil, object{}
	}
	l.name = outer.text("name", l.config.text("name", ""))
	if err := errors.Join(outer.err, l.config.err); err != nil {
		return nil, fmt.Errorf("layer %q (%s): %w", l.name, l.class, err)
	}
	if l.name == "" {
		return nil, fmt.Errorf("layer %d (%s) has no name", p.layers, l.class)
	}
	if _, registered, ok := strings.Cut(l.class, ">"); ok { // package>class
		l.class = registered
	}
	l.path = append(slices.Clone(path), l.name)
	if module := outer.text("module", ""); !strings.Contains(module, ".ops") {
		l.group = group + "/layers/" + unique(snakeCase(l.class), used)
	}
	err := outer.err
	if isModel(l.class) && err == nil {
		l.inner, err = p.network(values, l.path, l.group)
	}
	if err == nil {
		err = l.parseUses(outer.list("inbound_nodes"))
	}
	if err = errors.Join(err, outer.err); err != nil {
		return nil, fmt.Errorf("layer %q (%s): %w", l.name, l.class, err)
	}
	return l, nil
}

// unique is a name with a number behind it from its second use on.
func unique(name string, used map[string]int) string {
	n, taken := used[name]
	used[name] = n + 1
	if taken {
		return fmt.Sprintf("%s_%d", name, n)
	}
	return name
}

// snakeCase is how Keras turns a class into a name.
func snakeCase(class string) string {
	class = regexp.MustCompile(`\W+`).ReplaceAllString(class, "")
	class = regexp.MustCompile(`(.)([A-Z][a-z]+)`).ReplaceAllString(class, "${1}_$2")
	class = regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(class, "${1}_$2")
	return strings.ToLower(class)
}

// parseUses reads inbound_nodes: of Keras 3 {"args", "kwargs"}; of Keras 2 a list of
// [layer, node, tensor, keys] or, for operations on tensors, one such.
func (l *layer) parseUses(nodes []any) error {
	for _, n := range nodes {
		var u use
		if o, ok := n.(object); ok {
			u.keys, _ = o["kwargs"].(object)
			u.add(o["args"])
			for _, key := range []string{"inputs", "x", "x1", "x2", "y"} {
				u.add(u.keys[key])
			}
			l.uses = append(l.uses, u)
			continue
		}
		list, ok := n.([]any)
		if !ok {
			return errors.New(`"inbound_nodes" is not as Keras writes it`)
		}
		if len(list) > 0 {
			if _, one := list[0].(string); one {
				list = []any{list}
			}
		}
		for _, e := range list {
			call, _ := e.([]any)
			r, ok := parseReference(e)
			switch {
			case ok:
				u.operands = append(u.operands, r)
			case len(call) >= 3 && call[0] == "_CONSTANT_VALUE":
				u.operands = append(u.operands, call[2])
			default:
				return errors.New(`"inbound_nodes" has an input that is not [layer, node, tensor]`)
			}
			if len(call) > 3 {
				keys, _ := call[3].(object)
				u.keys = keys
				for _, key := range []string{"x", "y"} {
					u.add(keys[key])
				}
			}
		}
		l.uses = append(l.uses, u)
	}
	return nil
}

// add appends what is given to a layer: tensors, lists of them, constants.
func (u *use) add(v any) {
	if r, ok := parseReference(v); ok { // Keras 2
		u.operands = append(u.operands, r)
		return
	}
	switch v := v.(type) {
	case nil:
	case []any:
		if _, ok := numbers(v); ok && len(v) > 0 {
			u.operands = append(u.operands, v)
			return
		}
		for _, e := range v {
			u.add(e)
		}
	case object:
		if v["class_name"] == "__keras_tensor__" {
			config, _ := v["config"].(object)
			if r, ok := parseReference(config["keras_history"]); ok {
				u.operands = append(u.operands, r)
				return
			}
		}
		u.operands = append(u.operands, v)
	default:
		u.operands = append(u.operands, v)
	}
}
