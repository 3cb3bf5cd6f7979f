package keras

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"edgeclassify/importer/weights"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// maxSide bounds pictures, kernels, strides and paddings, in pixels, so that
// the arithmetic on them never overflows; maxChannels bounds channels.
const (
	maxSide     = 1 << 13
	maxChannels = 1 << 16
)

// padding is the zero padding that a ZeroPadding2D layer leaves to the layer
// that follows it.
type padding struct{ top, bottom, left, right int }

// value is the output of a Keras layer while the graph is built: a tensor of the
// graph or the picture, and what is to be done to it first.
type value struct {
	node        string // of the graph; empty for the picture
	picture     picture
	shape       tensor.Shape // without pad; height and width 0 where the file leaves them open
	flat        bool         // of two dimensions: batch and values
	scaled      affine
	pad         padding
	padName     string // of the layer
	nonNegative bool   // no element is below zero
}

func (v value) isPicture() bool { return v.node == "" }

// builder turns layers into nodes.
type builder struct {
	options  models.ImportOptions
	weights  *weights.File
	names    namer
	keras    int // major version
	graph    *models.Builder
	input    string // name of the picture
	start    *value // the picture as the first node sees it
	last     string // node
	taken    map[string]int
	constant map[float32][]float32
}

// scope is the evaluation of one network.
type scope struct {
	*builder
	*network
	input  *value // of a network within another
	values map[call]value
	busy   map[call]bool
}

// call is one use of a layer.
type call struct {
	layer string
	use   int
}

// topology builds the network of a file.
func (b *builder) topology(config object) (*models.Imported, error) {
	n, err := new(parser).network(config, nil, "")
	if err != nil {
		return nil, err
	}
	b.taken, b.constant = map[string]int{}, map[float32][]float32{}
	out, err := b.evaluate(n, nil)
	if err != nil {
		return nil, err
	}
	return b.finish(n, out)
}

// evaluate adds the nodes of a network in the file's order of layers.
func (b *builder) evaluate(n *network, input *value) (value, error) {
	s := &scope{builder: b, network: n, input: input, values: map[call]value{}, busy: map[call]bool{}}
	if n.sequential {
		return s.chain()
	}
	for _, l := range n.layers {
		for i := range max(1, len(l.uses)) {
			if _, err := s.value(call{l.name, i}); err != nil {
				return value{}, err
			}
		}
	}
	out, err := s.resolve(n.output)
	if err != nil {
		return value{}, fmt.Errorf("output: %w", err)
	}
	return out, nil
}

// chain evaluates a Sequential model.
func (s *scope) chain() (x value, err error) {
	first := s.layers[0]
	for i, l := range s.layers {
		var in []value
		switch {
		case l.class == "InputLayer" && i > 0:
			err = errors.New("a second input")
		case l.class == "InputLayer":
		case i > 0:
			in = []value{x}
		case s.input != nil:
			in = []value{*s.input}
		default:
			shape := first.config.list("batch_input_shape")
			if shape == nil {
				shape = s.shape
			}
			if first.inner != nil { // knows its input itself
				break
			}
			if x, err = s.picture(first.name+"_input", shape); err == nil {
				in = []value{x}
			}
		}
		if err == nil {
			x, err = s.layer(l, use{}, in)
		}
		if err != nil {
			return value{}, fmt.Errorf("layer %q (%s): %w", strings.Join(l.path, "/"), l.class, err)
		}
	}
	return x, nil
}

// value evaluates one use of a layer, once.
func (s *scope) value(c call) (value, error) {
	if v, ok := s.values[c]; ok {
		return v, nil
	}
	l := s.byName[c.layer]
	if s.busy[c] {
		return value{}, fmt.Errorf("layer %q depends on itself", c.layer)
	}
	s.busy[c] = true
	v, err := s.use(l, c.use)
	if err != nil {
		var inner *layerError
		if !errors.As(err, &inner) {
			err = &layerError{l, err}
		}
		return value{}, err
	}
	s.values[c] = v
	return v, nil
}

// layerError names the layer that an error belongs to.
type layerError struct {
	*layer
	err error
}

func (e *layerError) Error() string {
	return fmt.Sprintf("layer %q (%s): %v", strings.Join(e.path, "/"), e.class, e.err)
}

func (e *layerError) Unwrap() error { return e.err }

func (s *scope) use(l *layer, i int) (value, error) {
	if l.class == "InputLayer" {
		return s.layer(l, use{}, nil)
	}
	if len(l.uses) == 0 {
		return value{}, errors.New("has no input")
	}
	var in []value
	for _, o := range l.uses[i].operands {
		if r, ok := o.(reference); ok {
			v, err := s.resolve(r)
			if err != nil {
				return value{}, err
			}
			in = append(in, v)
		}
	}
	if len(in) == 0 {
		return value{}, errors.New("has no input")
	}
	return s.layer(l, l.uses[i], in)
}

// resolve finds what a reference is to. Keras counts the uses of a model that has
// an input layer from 1.
func (s *scope) resolve(r reference) (value, error) {
	l := s.byName[r.layer]
	if l == nil {
		return value{}, fmt.Errorf("input %q does not exist", r.layer)
	}
	n := r.node
	if l.inner != nil && n == len(l.uses) {
		n--
	}
	if r.tensor != 0 || n < 0 || n >= max(1, len(l.uses)) {
		return value{}, fmt.Errorf("input %q: the layer has no output %d of use %d", r.layer, r.tensor, r.node)
	}
	return s.value(call{r.layer, n})
}

// layer adds the nodes of one use of a layer.
func (s *scope) layer(l *layer, u use, in []value) (value, error) {
	if l.class == "InputLayer" {
		return s.inputLayer(l)
	}
	if l.inner != nil {
		if len(l.uses) > 1 {
			return value{}, fmt.Errorf("is used %d times, expected once", len(l.uses))
		}
		var x *value
		if len(in) > 0 {
			x = &in[0]
		}
		if len(in) > 1 {
			return value{}, fmt.Errorf("has %d inputs, expected one", len(in))
		}
		return s.evaluate(l.inner, x)
	}
	if f := l.config.text("data_format", ""); f != "" && f != "channels_last" {
		return value{}, fmt.Errorf("data_format is %q, only channels_last is supported", f)
	}
	k, ok := kindOf(l.class)
	if !ok {
		return value{}, unsupported(l.class)
	}
	if len(in) > 1 && !k.several {
		return value{}, fmt.Errorf("has %d inputs, expected one", len(in))
	}
	var err error
	for i := range in {
		if in[i], err = s.settle(in[i], k.takes); err != nil {
			return value{}, err
		}
	}
	out, err := k.convert(&operation{s.builder, l, u}, in)
	if l.config.err != nil {
		err = l.config.err
	}
	return out, err
}

// unsupported is the error for a class of layers.
func unsupported(class string) error {
	way := "replace it by layers of Keras' own, or export the model to ONNX with tf2onnx"
	switch class {
	case "Lambda":
		way = "its code is not in the file: replace it by layers (Rescaling, Activation, ...)"
	case "Merge", "Convolution2D":
		way = "it is of Keras 1: load the model with Keras 2 and save it again"
	}
	return fmt.Errorf("layers of this class are not supported: %s", way)
}

func (s *scope) inputLayer(l *layer) (value, error) {
	shape := l.config.list("batch_shape")
	if shape == nil {
		shape = l.config.list("batch_input_shape")
	}
	if err := l.config.err; err != nil {
		return value{}, err
	}
	if s.input == nil {
		if !s.sequential && l.name != s.network.input {
			return value{}, errors.New("the model has a second input")
		}
		return s.picture(l.name, shape)
	}
	x := *s.input
	if h, w, _, err := pictureShape(shape); err == nil && x.isPicture() && x.shape.H == 0 {
		x.shape.H, x.shape.W = h, w
	}
	return x, nil
}

// pictureShape reads [batch, height, width, channels]; height and width are 0 where
// the file leaves them open.
func pictureShape(shape []any) (h, w, c int, err error) {
	wrong := fmt.Errorf("the input's shape is %v, expected [batch, height, width, channels] with numbers up to %d and 3 channels, or 1", shape, maxSide)
	if len(shape) != 4 {
		return 0, 0, 0, wrong
	}
	var n [3]int
	for i := range n {
		v, isNumber := shape[i+1].(float64)
		n[i] = int(v)
		if open := shape[i+1] == nil && i < 2; !open && (!isNumber || v != float64(n[i]) || n[i] < 1 || n[i] > maxSide) {
			return 0, 0, 0, wrong
		}
	}
	if n[2] != 3 && n[2] != 1 {
		return 0, 0, 0, wrong
	}
	if n[0] == 0 || n[1] == 0 {
		n[0], n[1] = 0, 0
	}
	return n[0], n[1], n[2], nil
}

// picture begins the network.
func (b *builder) picture(name string, shape []any) (value, error) {
	if b.input != "" {
		return value{}, errors.New("the model has a second input")
	}
	h, w, c, err := pictureShape(shape)
	if err != nil {
		return value{}, err
	}
	if size := b.options.Input; size != (preprocess.Size{}) {
		h, w = size.H, size.W
	}
	b.input = name
	unique(name, b.taken)
	return value{shape: tensor.Shape{H: h, W: w, C: c}}, nil
}

// pending is what a layer can take over from those before it.
type pending int

const (
	takesPad   pending = 1 << iota // zero padding
	takesScale                     // factors and summands; pictures of open size
)

// maxConstants bounds the numbers that whole tensors are scaled by.
const maxConstants = 64

// settle adds the nodes for what is to be done to a value that the layer behind it
// does not take over.
func (b *builder) settle(x value, takes pending) (value, error) {
	const usual = 224
	if x.isPicture() && takes&takesScale == 0 && x.shape.H == 0 {
		x.shape.H, x.shape.W = usual, usual
	}
	padded := x.pad != (padding{})
	var err error
	if !x.isPicture() && !x.scaled.identity() && (takes&takesScale == 0 || padded && takes&takesPad == 0) {
		pad, name := x.pad, x.padName
		x.pad = padding{}
		if len(b.constant) > maxConstants {
			return value{}, fmt.Errorf("the model scales tensors by more than %d numbers", maxConstants)
		}
		if x, err = b.node(x.scaled.name, x.scaled.batchNorm(b, x.shape.C), false, x); err != nil {
			return value{}, err
		}
		x.pad, x.padName = pad, name
	}
	if padded && takes&takesPad == 0 {
		return b.padNode(x)
	}
	return x, nil
}

// padNode adds a node for the padding that is pending.
func (b *builder) padNode(x value) (value, error) {
	p := models.Pad{Top: x.pad.top, Bottom: x.pad.bottom, Left: x.pad.left, Right: x.pad.right}
	x.pad = padding{}
	return b.node(x.padName, p, x.nonNegative, x)
}

// node adds an operation on values that are settled but for the padding that the
// operation takes over.
func (b *builder) node(name string, op models.Op, nonNegative bool, in ...value) (value, error) {
	names := make([]string, len(in))
	for i, v := range in {
		names[i] = v.node
		if v.isPicture() {
			if err := b.begin(v); err != nil {
				return value{}, err
			}
			names[i] = b.input
		}
	}
	name = unique(name, b.taken)
	shape, err := b.graph.Add(name, op, names...)
	if err != nil {
		return value{}, err
	}
	if max(shape.H, shape.W) > 4*maxSide || shape.C > maxChannels {
		return value{}, fmt.Errorf("output %v is too large", shape)
	}
	b.last = name
	return value{node: name, shape: shape, nonNegative: nonNegative, flat: in[0].flat}, nil
}

// begin makes the graph with the picture as its first reader sees it.
func (b *builder) begin(v value) error {
	if v.picture.channel != 0 {
		return errors.New("reads one channel of the picture, expected all")
	}
	v.pad, v.padName = padding{}, ""
	if b.start == nil {
		b.start, b.graph = &v, models.NewBuilder(b.input, v.shape)
		return nil
	}
	if !v.sameAs(*b.start) {
		return errors.New("the picture is scaled in two ways: scale it once")
	}
	return nil
}

func (v value) sameAs(w value) bool {
	return v.shape == w.shape && v.picture.same(w.picture) &&
		slices.Equal(v.scaled.factor, w.scaled.factor) && slices.Equal(v.scaled.summand, w.scaled.summand)
}

func (b *builder) finish(n *network, out value) (*models.Imported, error) {
	out, err := b.settle(out, 0)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	if b.last == "" || out.node != b.last {
		return nil, errors.New("the output is not that of the last operation")
	}
	if out.shape.H != 1 || out.shape.W != 1 {
		return nil, fmt.Errorf("output is %v, expected one value per class: the model is no classifier "+
			"(GlobalAveragePooling2D and Dense layers are missing, as with include_top=False)", out.shape)
	}
	imported := new(models.Imported)
	spec, err := b.preprocess(n, imported)
	if err != nil {
		return nil, err
	}
	g, err := b.graph.Graph(n.name, spec, nil)
	if err != nil {
		return nil, err
	}
	imported.Graph = g.With(spec, labels.Default(g.Activation.Classes(out.shape.C)), g.Activation)
	return imported, nil
}

// filled is n times v, which nobody may change.
func (b *builder) filled(n int, v float32) []float32 {
	s := b.constant[v]
	for len(s) < n {
		s = append(s, v)
	}
	b.constant[v] = s
	return s[:n:n]
}
