package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"edgeclassify/importer/weights"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// kerasModel is the topology of a functional Keras 2 model as JSON.
//
// Format: https://keras.io/api/models/model_saving_apis/model_config_serialization/
type kerasModel struct {
	Class  string `json:"class_name"`
	Config struct {
		Name    string       `json:"name"`
		Layers  []kerasLayer `json:"layers"`
		Inputs  [][]any      `json:"input_layers"`
		Outputs [][]any      `json:"output_layers"`
	} `json:"config"`
}

type kerasLayer struct {
	Name    string          `json:"name"`
	Class   string          `json:"class_name"`
	Config  json.RawMessage `json:"config"`
	Inbound [][][]any       `json:"inbound_nodes"` // per use of the layer, per input: name, node, tensor, arguments
}

// kerasConfig is the union of the options that change what a layer computes.
type kerasConfig struct {
	Activation    string          `json:"activation"`
	Axis          json.RawMessage `json:"axis"` // a number or a list of one
	BatchShape    []*int          `json:"batch_input_shape"`
	Center        *bool           `json:"center"`
	DataFormat    string          `json:"data_format"`
	Depth         *int            `json:"depth_multiplier"`
	Dilation      []int           `json:"dilation_rate"`
	Epsilon       float32         `json:"epsilon"`
	Filters       int             `json:"filters"`
	Groups        *int            `json:"groups"`
	Kernel        []int           `json:"kernel_size"`
	MaxValue      *float64        `json:"max_value"`
	NegativeSlope float64         `json:"negative_slope"`
	Padding       json.RawMessage `json:"padding"` // "valid", "same" or [[top, bottom], [left, right]]
	PoolSize      []int           `json:"pool_size"`
	Scale         *bool           `json:"scale"`
	Strides       []int           `json:"strides"`
	Threshold     float64         `json:"threshold"`
	Units         int             `json:"units"`
	UseBias       *bool           `json:"use_bias"`
}

// maxSide bounds pictures, kernels, strides and paddings, in pixels, so that
// the arithmetic on them never overflows.
const maxSide = 1 << 13

// padding is the zero padding that a ZeroPadding2D layer leaves to the layer
// that follows it.
type padding struct{ top, bottom, left, right int }

// value is the output of a Keras layer while the graph is built.
type value struct {
	node        string // of the graph
	shape       tensor.Shape
	pad         padding // not yet part of shape
	nonNegative bool    // no element is below zero
}

// kerasBuilder turns layers into nodes.
type kerasBuilder struct {
	graph   *models.Builder // nil before the input layer
	input   tensor.Shape
	last    string // node
	weights weights.Tensors
	values  map[string]value // by layer
}

// graph builds the network with the given weights.
func (m kerasModel) graph(tensors weights.Tensors) (*models.Graph, error) {
	c := m.Config
	if m.Class != "Model" && m.Class != "Functional" {
		return nil, fmt.Errorf("the topology's class is %q, expected a functional Keras model (Model or Functional)", m.Class)
	}
	if len(c.Inputs) != 1 || len(c.Outputs) != 1 {
		return nil, fmt.Errorf("the model has %d inputs and %d outputs, expected one of each", len(c.Inputs), len(c.Outputs))
	}
	b := kerasBuilder{weights: tensors, values: map[string]value{}}
	for _, l := range c.Layers {
		if err := b.layer(l); err != nil {
			return nil, fmt.Errorf("layer %q (%s): %w", l.Name, l.Class, err)
		}
	}
	return b.finish(c.Name, c.Outputs[0])
}

func (b *kerasBuilder) finish(name string, output []any) (*models.Graph, error) {
	out, err := b.value(output)
	if err != nil {
		return nil, fmt.Errorf("output: %w", err)
	}
	if b.last == "" || out.node != b.last || out.pad != (padding{}) {
		return nil, fmt.Errorf("output layer %v is not the last operation", output[0])
	}
	if b.input.C != 3 || b.input.H != b.input.W {
		return nil, fmt.Errorf("input is %v, expected a square picture of 3 channels", b.input)
	}
	if out.shape.H != 1 || out.shape.W != 1 {
		return nil, fmt.Errorf("output is %v, expected one value per class", out.shape)
	}
	p := preprocess.Caffe().Sized(preprocess.Size{H: b.input.H, W: b.input.W})
	return b.graph.Graph(name, p, labels.Default(out.shape.Elements()))
}

// layer adds the nodes of one layer.
func (b *kerasBuilder) layer(l kerasLayer) error {
	if _, taken := b.values[l.Name]; taken {
		return errors.New("the name is used twice")
	}
	var c kerasConfig
	if err := json.Unmarshal(l.Config, &c); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if c.DataFormat != "" && c.DataFormat != "channels_last" {
		return fmt.Errorf("data_format is %q, only channels_last is supported", c.DataFormat)
	}
	for _, d := range c.Dilation {
		if d != 1 {
			return fmt.Errorf("dilation_rate is %v, only 1 is supported", c.Dilation)
		}
	}
	if l.Class == "InputLayer" {
		return b.inputLayer(l.Name, c)
	}
	in, err := b.inputs(l)
	if err != nil {
		return err
	}
	out, err := b.convert(l, c, in)
	if err != nil {
		return err
	}
	b.values[l.Name] = out
	return nil
}

func (b *kerasBuilder) inputLayer(name string, c kerasConfig) error {
	if b.graph != nil {
		return errors.New("the model has a second input")
	}
	s := c.BatchShape
	if len(s) != 4 || s[1] == nil || s[2] == nil || s[3] == nil {
		return errors.New("batch_input_shape must be [null, height, width, channels] with fixed numbers")
	}
	if min(*s[1], *s[2], *s[3]) < 1 || max(*s[1], *s[2], *s[3]) > maxSide {
		return fmt.Errorf("batch_input_shape [null, %d, %d, %d]: want numbers from 1 to %d", *s[1], *s[2], *s[3], maxSide)
	}
	b.input = tensor.Shape{H: *s[1], W: *s[2], C: *s[3]}
	b.graph = models.NewBuilder(name, b.input)
	b.values[name] = value{node: name, shape: b.input}
	return nil
}

// inputs returns the values that a layer reads.
func (b *kerasBuilder) inputs(l kerasLayer) ([]value, error) {
	if len(l.Inbound) != 1 {
		return nil, fmt.Errorf("is used %d times, expected once", len(l.Inbound))
	}
	want := 1
	if l.Class == "Add" {
		want = 2
	}
	if len(l.Inbound[0]) != want {
		return nil, fmt.Errorf("has %d inputs, expected %d", len(l.Inbound[0]), want)
	}
	in := make([]value, want)
	for i, ref := range l.Inbound[0] {
		v, err := b.value(ref)
		if err != nil {
			return nil, err
		}
		in[i] = v
	}
	return in, nil
}

// value resolves a reference [layer, node index, tensor index, ...].
func (b *kerasBuilder) value(ref []any) (value, error) {
	if len(ref) < 3 || ref[1] != 0.0 || ref[2] != 0.0 {
		return value{}, fmt.Errorf("input %v: expected the first output of a layer that is used once", ref)
	}
	name, _ := ref[0].(string)
	v, ok := b.values[name]
	if !ok {
		return value{}, fmt.Errorf("input %v does not exist before it", ref[0])
	}
	return v, nil
}

// convert adds the nodes of a layer that has inputs.
func (b *kerasBuilder) convert(l kerasLayer, c kerasConfig, in []value) (value, error) {
	x := in[0]
	switch l.Class {
	case "Conv2D":
		return b.conv(l.Name, c, x)
	case "DepthwiseConv2D":
		return b.depthwise(l.Name, c, x)
	case "MaxPooling2D":
		return b.maxPool(l.Name, c, x)
	case "AveragePooling2D":
		return b.avgPool(l.Name, c, x)
	case "ZeroPadding2D":
		return zeroPadding(c, x)
	}
	for _, v := range in {
		if v.pad != (padding{}) {
			return value{}, errors.New("follows ZeroPadding2D: only convolutions and pooling can take its padding in")
		}
	}
	switch l.Class {
	case "BatchNormalization":
		return b.batchNorm(l.Name, c, x)
	case "Activation":
		return b.activation(l.Name, c.Activation, x)
	case "ReLU":
		return b.relu(l.Name, c, x)
	case "Softmax":
		return b.activation(l.Name, "softmax", x)
	case "GlobalAveragePooling2D":
		return b.add(l.Name, models.GlobalAveragePool{}, x.nonNegative, x)
	case "Add":
		return b.add(l.Name, models.Add{}, x.nonNegative && in[1].nonNegative, in...)
	case "Dense":
		return b.dense(l.Name, c, x)
	case "Dropout", "SpatialDropout2D":
		return x, nil
	case "Flatten", "Reshape":
		if x.shape.H != 1 || x.shape.W != 1 {
			return value{}, fmt.Errorf("input is %v, supported only where height and width are 1", x.shape)
		}
		return x, nil
	}
	return value{}, errors.New("layers of this class are not supported")
}

// add appends a node.
func (b *kerasBuilder) add(name string, op models.Op, nonNegative bool, in ...value) (value, error) {
	names := make([]string, len(in))
	for i, v := range in {
		names[i] = v.node
	}
	shape, err := b.graph.Add(name, op, names...)
	if err != nil {
		return value{}, err
	}
	b.last = name
	return value{node: name, shape: shape, nonNegative: nonNegative}, nil
}

func (b *kerasBuilder) activation(name, kind string, x value) (value, error) {
	switch kind {
	case "", "linear":
		return x, nil
	case "relu":
		return b.add(name, models.ReLU{}, true, x)
	case "softmax":
		return b.add(name, models.Softmax{}, true, x)
	}
	return value{}, fmt.Errorf("activation %q is not supported, only linear, relu and softmax are", kind)
}

func (b *kerasBuilder) relu(name string, c kerasConfig, x value) (value, error) {
	if c.MaxValue != nil || c.NegativeSlope != 0 || c.Threshold != 0 {
		return value{}, errors.New("max_value, negative_slope and threshold are not supported")
	}
	return b.activation(name, "relu", x)
}

// withActivation adds a layer's own operation and its fused activation.
func (b *kerasBuilder) withActivation(name string, op models.Op, activation string, x value) (value, error) {
	y, err := b.add(name, op, false, x)
	if err != nil {
		return value{}, err
	}
	return b.activation(name+"/"+activation, activation, y)
}

func (b *kerasBuilder) conv(name string, c kerasConfig, x value) (value, error) {
	groups := 1
	if c.Groups != nil {
		groups = *c.Groups
	}
	if c.Filters < 1 || groups < 1 || x.shape.C%groups != 0 {
		return value{}, fmt.Errorf("%d filters in %d groups do not fit an input of %d channels", c.Filters, groups, x.shape.C)
	}
	w, err := window(c, c.Kernel, x)
	if err != nil {
		return value{}, err
	}
	inC := x.shape.C / groups
	kernel, err := b.weights.Tensor(name+"/kernel", []int{w.KH, w.KW, inC, c.Filters})
	if err != nil {
		return value{}, err
	}
	op := &models.Conv{Window: w, Groups: groups, InC: x.shape.C, OutC: c.Filters, Weight: weights.FromHWIO(kernel, c.Filters, w.KH, w.KW, inC)}
	if op.Bias, err = b.bias(name, c, c.Filters); err != nil {
		return value{}, err
	}
	return b.withActivation(name, op, c.Activation, x)
}

// depthwise is a convolution with one group per input channel. Keras stores
// its kernel as [h][w][in][multiplier]; output channels are numbered in the
// order of the last two.
func (b *kerasBuilder) depthwise(name string, c kerasConfig, x value) (value, error) {
	multiplier := 1
	if c.Depth != nil {
		multiplier = *c.Depth
	}
	if multiplier < 1 || multiplier > math.MaxInt32/x.shape.C {
		return value{}, fmt.Errorf("depth_multiplier is %d, which is not possible", multiplier)
	}
	w, err := window(c, c.Kernel, x)
	if err != nil {
		return value{}, err
	}
	kernel, err := b.weights.Tensor(name+"/depthwise_kernel", []int{w.KH, w.KW, x.shape.C, multiplier})
	if err != nil {
		return value{}, err
	}
	outC := x.shape.C * multiplier
	op := &models.Conv{Window: w, Groups: x.shape.C, InC: x.shape.C, OutC: outC, Weight: weights.FromHWIO(kernel, outC, w.KH, w.KW, 1)}
	if op.Bias, err = b.bias(name, c, outC); err != nil {
		return value{}, err
	}
	return b.withActivation(name, op, c.Activation, x)
}

func (b *kerasBuilder) dense(name string, c kerasConfig, x value) (value, error) {
	if x.shape.H != 1 || x.shape.W != 1 || c.Units < 1 {
		return value{}, fmt.Errorf("%d units over an input of %v: supported only where height and width are 1", c.Units, x.shape)
	}
	kernel, err := b.weights.Tensor(name+"/kernel", []int{x.shape.C, c.Units})
	if err != nil {
		return value{}, err
	}
	op := &models.Dense{In: x.shape.C, Out: c.Units, Weight: weights.Transpose(kernel, x.shape.C, c.Units)}
	if op.Bias, err = b.bias(name, c, c.Units); err != nil {
		return value{}, err
	}
	return b.withActivation(name, op, c.Activation, x)
}

// bias returns nil for a layer without one; Keras' default is to have one.
func (b *kerasBuilder) bias(name string, c kerasConfig, n int) ([]float32, error) {
	if c.UseBias != nil && !*c.UseBias {
		return nil, nil
	}
	return b.weights.Tensor(name+"/bias", []int{n})
}

func (b *kerasBuilder) batchNorm(name string, c kerasConfig, x value) (value, error) {
	if !channelAxis(c.Axis) {
		return value{}, fmt.Errorf("axis is %s, only the channels (3 or -1) are supported", c.Axis)
	}
	if !(c.Epsilon > 0) {
		return value{}, fmt.Errorf("epsilon is %v, expected a positive number", c.Epsilon)
	}
	n := x.shape.C
	op := &models.BatchNorm{Epsilon: c.Epsilon}
	for _, p := range []struct {
		name    string
		enabled *bool
		without float32 // the value of a switched-off parameter
		dst     *[]float32
	}{
		{"gamma", c.Scale, 1, &op.Gamma},
		{"beta", c.Center, 0, &op.Beta},
		{"moving_mean", nil, 0, &op.Mean},
		{"moving_variance", nil, 0, &op.Variance},
	} {
		var err error
		if p.enabled != nil && !*p.enabled {
			*p.dst = filled(n, p.without)
		} else if *p.dst, err = b.weights.Tensor(name+"/"+p.name, []int{n}); err != nil {
			return value{}, err
		}
	}
	return b.add(name, op, false, x)
}

// channelAxis is whether axis, a number or a list of one, is the last of NHWC.
func channelAxis(axis json.RawMessage) bool {
	var list []int
	if json.Unmarshal(axis, &list) != nil {
		list = make([]int, 1)
		if json.Unmarshal(axis, &list[0]) != nil {
			return false
		}
	}
	return len(list) == 1 && (list[0] == 3 || list[0] == -1)
}

func filled(n int, v float32) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = v
	}
	return s
}

// maxPool takes zero padding in only where zeros cannot win against the
// smallest possible input: the graph's own padding never wins.
func (b *kerasBuilder) maxPool(name string, c kerasConfig, x value) (value, error) {
	if x.pad != (padding{}) && !x.nonNegative {
		return value{}, errors.New("follows ZeroPadding2D, whose zeros would win over negative inputs: supported only behind a ReLU")
	}
	w, err := window(c, c.PoolSize, x)
	if err != nil {
		return value{}, err
	}
	return b.add(name, &models.MaxPool{Window: w}, x.nonNegative, x)
}

// avgPool counts the zeros of a ZeroPadding2D layer, but not those of its own
// padding "same".
func (b *kerasBuilder) avgPool(name string, c kerasConfig, x value) (value, error) {
	w, err := window(c, c.PoolSize, x)
	if err != nil {
		return value{}, err
	}
	padded := x.pad != (padding{})
	if padded && string(c.Padding) != `"valid"` {
		return value{}, errors.New(`follows ZeroPadding2D with padding "same" of its own, which is not supported`)
	}
	return b.add(name, &models.AveragePool{Window: w, CountPad: padded}, x.nonNegative, x)
}

func zeroPadding(c kerasConfig, x value) (value, error) {
	var p [2][2]int
	if err := json.Unmarshal(c.Padding, &p); err != nil {
		return value{}, fmt.Errorf("padding is %s, expected [[top, bottom], [left, right]]", c.Padding)
	}
	for _, side := range []int{p[0][0], p[0][1], p[1][0], p[1][1]} {
		if side < 0 || side > maxSide {
			return value{}, fmt.Errorf("padding is %s, which is not possible", c.Padding)
		}
	}
	x.pad.top += p[0][0]
	x.pad.bottom += p[0][1]
	x.pad.left += p[1][0]
	x.pad.right += p[1][1]
	return x, nil
}

// window is the geometry of a convolution or pooling over x, its padding and
// that of a ZeroPadding2D before it together.
func window(c kerasConfig, kernel []int, x value) (tensor.Window, error) {
	strides := c.Strides
	if strides == nil {
		strides = []int{1, 1}
	}
	if len(kernel) != 2 || len(strides) != 2 || min(kernel[0], kernel[1], strides[0], strides[1]) < 1 ||
		max(kernel[0], kernel[1], strides[0], strides[1]) > maxSide {
		return tensor.Window{}, fmt.Errorf("kernel %v with strides %v, expected two numbers each from 1 to %d", kernel, strides, maxSide)
	}
	w := tensor.Window{KH: kernel[0], KW: kernel[1], StrideH: strides[0], StrideW: strides[1],
		Top: x.pad.top, Bottom: x.pad.bottom, Left: x.pad.left, Right: x.pad.right}
	switch string(c.Padding) {
	case `"valid"`:
	case `"same"`:
		before, after := same(x.shape.H+w.Top+w.Bottom, w.KH, w.StrideH)
		w.Top, w.Bottom = w.Top+before, w.Bottom+after
		before, after = same(x.shape.W+w.Left+w.Right, w.KW, w.StrideW)
		w.Left, w.Right = w.Left+before, w.Right+after
	default:
		return tensor.Window{}, fmt.Errorf(`padding is %s, expected "valid" or "same"`, c.Padding)
	}
	return w, nil
}

// same is TensorFlow's padding "same" along one axis: the output has
// ceil(n / stride) elements, and an odd pixel of padding goes behind.
func same(n, kernel, stride int) (before, after int) {
	out := (n + stride - 1) / stride
	total := max((out-1)*stride+kernel-n, 0)
	return total / 2, total - total/2
}
