package keras

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"edgeclassify/importer/weights"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// operation is one use of a layer.
type operation struct {
	*builder
	*layer
	use use
}

// path is the layer's name with those of the models around it: the name of its
// node.
func (o *operation) path() string { return strings.Join(o.layer.path, "/") }

// convert adds the nodes of a layer.
type convert func(o *operation, in []value) (value, error)

// kind is what is known of a class of layers.
type kind struct {
	convert
	takes   pending
	several bool // inputs
}

// kinds are the classes of layers and of Keras 3's operations on tensors.
var kinds = map[string]kind{
	"Conv2D":          {convert: conv, takes: takesPad},
	"DepthwiseConv2D": {convert: depthwise, takes: takesPad},
	"SeparableConv2D": {convert: separable, takes: takesPad},
	"Dense":           {convert: dense},

	"MaxPooling2D":           {convert: maxPool, takes: takesPad},
	"AveragePooling2D":       {convert: averagePool, takes: takesPad},
	"GlobalAveragePooling2D": {convert: globalAveragePool},
	"GlobalMaxPooling2D":     {convert: globalMaxPool},
	"ZeroPadding2D":          {convert: zeroPadding, takes: takesPad | takesScale},

	"BatchNormalization": {convert: batchNorm},
	"Activation":         {convert: activation},
	"ReLU":               {convert: relu, takes: takesScale},
	"Relu":               {convert: named("relu")},
	"Relu6":              {convert: relu6, takes: takesScale},
	"LeakyReLU":          {convert: leakyReLU},
	"PReLU":              {convert: pReLU},
	"ELU":                {convert: elu},
	"Softmax":            {convert: named("softmax")},
	"Sigmoid":            {convert: named("sigmoid")},
	"Silu":               {convert: named("silu")},
	"HardSigmoid":        {convert: named("hard_sigmoid")},
	"HardSilu":           {convert: named("hard_silu")},
	"Elu":                {convert: elu},
	"Selu":               {convert: named("selu")},
	"Gelu":               {convert: gelu},
	"LeakyRelu":          {convert: leakyReLU},
	"Softplus":           {convert: named("softplus")},
	"Tanh":               {convert: named("tanh")},

	"Add":         {convert: combine("add"), takes: takesScale, several: true},
	"Subtract":    {convert: combine("subtract"), takes: takesScale, several: true},
	"Multiply":    {convert: combine("multiply"), takes: takesScale, several: true},
	"Divide":      {convert: combine("divide"), takes: takesScale, several: true},
	"TrueDivide":  {convert: combine("divide"), takes: takesScale, several: true},
	"Concatenate": {convert: concatenate, several: true},

	"Flatten": {convert: flatten},
	"Reshape": {convert: reshape},

	"Rescaling":       {convert: rescaling, takes: takesScale},
	"Normalization":   {convert: normalization, takes: takesScale},
	"Resizing":        {convert: resizing, takes: takesScale},
	"CenterCrop":      {convert: centerCrop, takes: takesScale},
	"TFOpLambda":      {convert: lambda, takes: takesScale, several: true},
	"SlicingOpLambda": {convert: lambda, takes: takesScale, several: true},
	"GetItem":         {convert: getItem, takes: takesScale},
	"Stack":           {convert: stack, takes: takesScale, several: true},

	// Layers that only training knows, besides those of random pictures.
	"Dropout":                unchanged,
	"FixedDropout":           unchanged,
	"SpatialDropout2D":       unchanged,
	"AlphaDropout":           unchanged,
	"GaussianDropout":        unchanged,
	"GaussianNoise":          unchanged,
	"ActivityRegularization": unchanged,
	"RandAugment":            unchanged,
	"AugMix":                 unchanged,
	"MixUp":                  unchanged,
	"CutMix":                 unchanged,
	"Identity":               unchanged,
}

// kindOf is the kind of a class, if it is supported.
func kindOf(class string) (kind, bool) {
	if k, ok := kinds[class]; ok {
		return k, true
	}
	return unchanged, strings.HasPrefix(class, "Random") && class != "RandomCrop"
}

var unchanged = kind{convert: identity, takes: takesPad | takesScale}

// variable is a trained tensor of a layer.
type variable struct {
	names []string // by which it is known
	shape []int
}

// tensors returns the values of a layer's variables, which are all that it has up
// to the last of them.
func (o *operation) tensors(vars []variable) ([][]float32, error) {
	if len(o.uses) > 1 {
		return nil, fmt.Errorf("is used %d times: weights that layers share are not supported", len(o.uses))
	}
	out := make([][]float32, len(vars))
	for i, v := range vars {
		name, err := o.names.find(o.layer, i, v.names)
		if err == nil {
			out[i], err = o.weights.Tensor(name, v.shape)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// linear returns a kernel and a bias, nil for a layer without one; Keras' default
// is to have one.
func (o *operation) linear(bias int, kernels ...variable) (kernel [][]float32, b []float32, err error) {
	if !o.config.boolean("use_bias", true) {
		kernel, err = o.tensors(kernels)
		return kernel, nil, err
	}
	kernel, err = o.tensors(append(kernels, variable{[]string{"bias"}, []int{bias}}))
	if err != nil {
		return nil, nil, err
	}
	return kernel[:len(kernels)], kernel[len(kernels)], nil
}

// activated adds a layer's own operation and its fused activation.
func (o *operation) activated(op models.Op, x value) (value, error) {
	y, err := o.node(o.path(), op, false, x)
	if err != nil {
		return value{}, err
	}
	function := o.function("activation")
	return o.activate(o.path()+"/"+function, function, y)
}

func conv(o *operation, in []value) (value, error) {
	x := in[0]
	groups, filters := o.config.integer("groups", 1, 1, maxChannels), o.config.integer("filters", 0, 1, maxChannels)
	w, x, err := o.window("kernel_size", [2]int{1, 1}, x)
	if err != nil {
		return value{}, err
	}
	if x.shape.C%groups != 0 || filters%groups != 0 {
		return value{}, fmt.Errorf("%d filters in %d groups do not fit an input of %d channels", filters, groups, x.shape.C)
	}
	inC := x.shape.C / groups
	kernel, bias, err := o.linear(filters, variable{[]string{"kernel"}, []int{w.KH, w.KW, inC, filters}})
	if err != nil {
		return value{}, err
	}
	weight := weights.FromHWIO(kernel[0], filters, w.KH, w.KW, inC)
	if w == tensor.Square(1, 1, 0) && groups == 1 && x.shape.H*x.shape.W == 1 && !x.isPicture() {
		return o.activated(&models.Dense{In: inC, Out: filters, Weight: weight, Bias: bias}, x)
	}
	return o.activated(&models.Conv{Window: w, Groups: groups, InC: x.shape.C, OutC: filters, Weight: weight, Bias: bias}, x)
}

// depthwise is a convolution with one group per input channel. Keras stores
// its kernel as [h][w][in][multiplier]; output channels are numbered in the
// order of the last two.
func depthwise(o *operation, in []value) (value, error) {
	x := in[0]
	multiplier := o.config.integer("depth_multiplier", 1, 1, maxChannels)
	w, x, err := o.window("kernel_size", [2]int{1, 1}, x)
	if err != nil {
		return value{}, err
	}
	outC := x.shape.C * multiplier
	kernel, bias, err := o.linear(outC, depthwiseKernel(w, x.shape.C, multiplier))
	if err != nil {
		return value{}, err
	}
	op := &models.Conv{Window: w, Groups: x.shape.C, InC: x.shape.C, OutC: outC,
		Weight: weights.FromHWIO(kernel[0], outC, w.KH, w.KW, 1), Bias: bias}
	return o.activated(op, x)
}

// depthwiseKernel has another name in Keras 3.
func depthwiseKernel(w tensor.Window, channels, multiplier int) variable {
	return variable{[]string{"depthwise_kernel", "kernel"}, []int{w.KH, w.KW, channels, multiplier}}
}

// separable is a depthwise convolution without bias and a pointwise one.
func separable(o *operation, in []value) (value, error) {
	x := in[0]
	multiplier, filters := o.config.integer("depth_multiplier", 1, 1, maxChannels), o.config.integer("filters", 0, 1, maxChannels)
	w, x, err := o.window("kernel_size", [2]int{1, 1}, x)
	if err != nil {
		return value{}, err
	}
	n := x.shape.C * multiplier
	kernels, bias, err := o.linear(filters, depthwiseKernel(w, x.shape.C, multiplier),
		variable{[]string{"pointwise_kernel"}, []int{1, 1, n, filters}})
	if err != nil {
		return value{}, err
	}
	y, err := o.node(o.path()+"/depthwise", &models.Conv{Window: w, Groups: x.shape.C, InC: x.shape.C, OutC: n,
		Weight: weights.FromHWIO(kernels[0], n, w.KH, w.KW, 1)}, false, x)
	if err != nil {
		return value{}, err
	}
	return o.activated(&models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: n, OutC: filters,
		Weight: weights.FromHWIO(kernels[1], filters, 1, 1, n), Bias: bias}, y)
}

// dense goes over all values of a flattened tensor, and over the channels of each
// pixel of another.
func dense(o *operation, in []value) (value, error) {
	x := in[0]
	units, n := o.config.integer("units", 0, 1, maxChannels), x.shape.C
	if x.flat {
		n = x.shape.Elements()
	}
	if err := o.config.err; err != nil {
		return value{}, err
	}
	kernel, bias, err := o.linear(units, variable{[]string{"kernel"}, []int{n, units}})
	if err != nil {
		return value{}, err
	}
	weight := weights.Transpose(kernel[0], n, units)
	if !x.flat && x.shape.H*x.shape.W > 1 {
		return o.activated(&models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: n, OutC: units, Weight: weight, Bias: bias}, x)
	}
	return o.activated(&models.Dense{In: n, Out: units, Weight: weight, Bias: bias}, x)
}

func batchNorm(o *operation, in []value) (value, error) {
	x := in[0]
	if axis, ok := number(o.config.values["axis"]); ok && axis != -1 && axis != 3 && !(x.flat && axis == 1) {
		return value{}, fmt.Errorf("axis is %v, only the channels (3 or -1) are supported", axis)
	}
	if x.flat && x.shape.H*x.shape.W > 1 {
		return value{}, fmt.Errorf("of a flattened %v is not supported: put it before Flatten", x.shape)
	}
	n := x.shape.C
	op := &models.BatchNorm{Epsilon: float32(o.config.number("epsilon", 1e-3)),
		Gamma: o.filled(n, 1), Beta: o.filled(n, 0)}
	if !(op.Epsilon > 0) {
		return value{}, fmt.Errorf("epsilon is %v, expected a positive number", op.Epsilon)
	}
	var vars []variable
	var dst []*[]float32
	want := func(name string, to *[]float32) {
		vars = append(vars, variable{[]string{name}, []int{n}})
		dst = append(dst, to)
	}
	if o.config.boolean("scale", true) {
		want("gamma", &op.Gamma)
	}
	if o.config.boolean("center", true) {
		want("beta", &op.Beta)
	}
	want("moving_mean", &op.Mean)
	want("moving_variance", &op.Variance)
	found, err := o.tensors(vars)
	if err != nil {
		return value{}, err
	}
	for i, v := range found {
		*dst[i] = v
	}
	return o.node(o.path(), op, false, x)
}

// pool is the window of a pooling layer over x. Padding before it stays a node where
// the pool cannot take it in.
func (o *operation) pool(x value, takesPadding bool) (w tensor.Window, y value, err error) {
	if x.pad != (padding{}) && !takesPadding {
		if x, err = o.padNode(x); err != nil {
			return w, x, err
		}
	}
	return o.window("pool_size", [2]int{2, 2}, x)
}

// maxPool takes zero padding in only where zeros cannot win against the
// smallest possible input: the graph's own padding never wins.
func maxPool(o *operation, in []value) (value, error) {
	w, x, err := o.pool(in[0], in[0].nonNegative)
	if err != nil {
		return value{}, err
	}
	return o.node(o.path(), &models.MaxPool{Window: w}, x.nonNegative, x)
}

// averagePool counts the zeros of a ZeroPadding2D layer, but not those of its own
// padding "same".
func averagePool(o *operation, in []value) (value, error) {
	w, x, err := o.pool(in[0], o.config.text("padding", "valid") == "valid")
	if err != nil {
		return value{}, err
	}
	return o.node(o.path(), &models.AveragePool{Window: w, CountPad: x.pad != (padding{})}, x.nonNegative, x)
}

func globalAveragePool(o *operation, in []value) (value, error) {
	x := in[0]
	if x.flat {
		return value{}, errors.New("reads a flattened tensor")
	}
	y, err := o.node(o.path(), models.GlobalAveragePool{}, x.nonNegative, x)
	y.flat = !o.config.boolean("keepdims", false)
	return y, err
}

func globalMaxPool(o *operation, in []value) (value, error) {
	x := in[0]
	if x.flat {
		return value{}, errors.New("reads a flattened tensor")
	}
	op := &models.MaxPool{Window: tensor.Window{KH: x.shape.H, KW: x.shape.W, StrideH: 1, StrideW: 1}}
	y, err := o.node(o.path(), op, x.nonNegative, x)
	y.flat = !o.config.boolean("keepdims", false)
	return y, err
}

// zeroPadding takes [[top, bottom], [left, right]], [height, width] or one number.
func zeroPadding(o *operation, in []value) (value, error) {
	x, err := in[0], error(nil)
	sides, ok := paddings(o.config.values["padding"])
	if !ok {
		o.config.fail("padding", fmt.Sprintf("[[top, bottom], [left, right]] of whole numbers up to %d", maxSide))
		return value{}, o.config.err
	}
	if x.isPicture() && x.shape.H == 0 {
		if x, err = o.settle(x, takesPad); err != nil {
			return value{}, err
		}
	}
	x.pad = padding{x.pad.top + sides[0], x.pad.bottom + sides[1], x.pad.left + sides[2], x.pad.right + sides[3]}
	x.padName = o.path()
	if max(x.pad.top, x.pad.bottom, x.pad.left, x.pad.right) > maxSide {
		return value{}, fmt.Errorf("paddings together are more than %d pixels", maxSide)
	}
	return x, nil
}

// paddings are top, bottom, left and right.
func paddings(v any) (sides [4]int, ok bool) {
	two := func(v any) []any {
		list, ok := v.([]any)
		if !ok {
			return []any{v, v}
		}
		return list
	}
	for i, axis := range two(v) {
		for j, side := range two(axis) {
			n, ok := side.(float64)
			if !ok || i > 1 || j > 1 || n < 0 || n > maxSide || n != math.Trunc(n) {
				return sides, false
			}
			sides[2*i+j] = int(n)
		}
	}
	return sides, len(two(v)) == 2
}

// window is the geometry of a convolution or pooling over x, its padding and
// that of a ZeroPadding2D before it together. A padding that no window takes
// becomes a node.
func (o *operation) window(size string, usual [2]int, x value) (tensor.Window, value, error) {
	if x.flat {
		return tensor.Window{}, x, errors.New("reads a flattened tensor")
	}
	kernel := o.config.pair(size, usual)
	if size == "kernel_size" && !o.config.has(size) {
		o.config.fail(size, "two numbers")
	}
	stride := [2]int{1, 1}
	if size == "pool_size" {
		stride = kernel
	}
	stride = o.config.pair("strides", stride)
	dilation := o.config.pair("dilation_rate", [2]int{1, 1})
	pad := o.config.text("padding", "valid")
	if err := o.config.err; err != nil {
		return tensor.Window{}, x, err
	}
	if pad != "valid" && pad != "same" {
		return tensor.Window{}, x, fmt.Errorf(`padding is %q, expected "valid" or "same"`, pad)
	}
	w := tensor.Window{KH: kernel[0], KW: kernel[1], StrideH: stride[0], StrideW: stride[1]}
	if dilation != [2]int{1, 1} {
		w.DilationH, w.DilationW = dilation[0], dilation[1]
	}
	merged := padded(w, pad, x)
	if _, _, err := merged.Infer(x.shape.H, x.shape.W); err == nil || x.pad == (padding{}) {
		return merged, x, nil // Infer's error is the node's
	}
	x, err := o.padNode(x)
	return padded(w, pad, x), x, err
}

// padded is w with the padding that is pending and its own.
func padded(w tensor.Window, pad string, x value) tensor.Window {
	w.Top, w.Bottom, w.Left, w.Right = x.pad.top, x.pad.bottom, x.pad.left, x.pad.right
	if pad == "same" {
		h, wd := w.Reach()
		before, after := same(x.shape.H+w.Top+w.Bottom, h, w.StrideH)
		w.Top, w.Bottom = w.Top+before, w.Bottom+after
		before, after = same(x.shape.W+w.Left+w.Right, wd, w.StrideW)
		w.Left, w.Right = w.Left+before, w.Right+after
	}
	return w
}

// same is TensorFlow's padding "same" along one axis: the output has
// ceil(n / stride) elements, and an odd pixel of padding goes behind.
func same(n, kernel, stride int) (before, after int) {
	out := (n + stride - 1) / stride
	total := max((out-1)*stride+kernel-n, 0)
	return total / 2, total - total/2
}

func flatten(_ *operation, in []value) (value, error) {
	x := in[0]
	x.flat = true
	return x, nil
}

// reshape keeps the order of values, so that only what a layer behind it goes over
// may change.
func reshape(o *operation, in []value) (value, error) {
	x := in[0]
	shape := o.config.numbers("target_shape")
	n, elements := 1.0, float64(x.shape.Elements())
	for _, d := range shape {
		if d != -1 {
			n *= d
		}
	}
	open := -1
	for i, d := range shape {
		if d == -1 {
			shape[i], open = elements/n, i
		}
	}
	if open >= 0 {
		n *= shape[open]
	}
	switch {
	case n != elements:
	case len(shape) == 1:
		x.flat = true
		return x, nil
	case len(shape) == 3 && x.shape.H*x.shape.W == 1 && shape[2] == float64(x.shape.C),
		len(shape) == 3 && !x.flat && shape[0] == float64(x.shape.H) && shape[1] == float64(x.shape.W):
		x.flat = false
		return x, nil
	}
	return value{}, fmt.Errorf("from %v to %v is not supported: only to a vector, or to 1x1 and channels", x.shape, shape)
}
