package keras

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// affine is x*factor + summand, of one number each or of one per channel; nil: 1
// and 0.
type affine struct {
	name            string // of the last layer that it stands for
	factor, summand []float64
}

func (a affine) identity() bool {
	other := func(n float64) func(float64) bool { return func(v float64) bool { return v != n } }
	return !slices.ContainsFunc(a.factor, other(1)) && !slices.ContainsFunc(a.summand, other(0))
}

// at is the value of a list of one or more for a channel.
func at(list []float64, c int, or float64) float64 {
	switch len(list) {
	case 0:
		return or
	case 1:
		return list[0]
	}
	return list[c]
}

// then is a, then another.
func (a affine) then(name string, factor, summand []float64) affine {
	n := max(len(a.factor), len(a.summand), len(factor), len(summand), 1)
	out := affine{name: name, factor: make([]float64, n), summand: make([]float64, n)}
	for c := range n {
		f := at(factor, c, 1)
		out.factor[c] = at(a.factor, c, 1) * f
		out.summand[c] = float64(at(a.summand, c, 0)*f) + at(summand, c, 0)
	}
	return out
}

// batchNorm is the operation for n channels.
func (a affine) batchNorm(b *builder, n int) *models.BatchNorm {
	list := func(v []float64, or float64) []float32 {
		if len(v) < 2 {
			return b.filled(n, float32(at(v, 0, or)))
		}
		out := make([]float32, n)
		for c := range out {
			out[c] = float32(v[c])
		}
		return out
	}
	return &models.BatchNorm{Gamma: list(a.factor, 1), Beta: list(a.summand, 0), Mean: b.filled(n, 0), Variance: b.filled(n, 1)}
}

// scale multiplies and adds numbers, one each or one per channel.
func (o *operation) scale(x value, factor, summand []float64) (value, error) {
	for _, v := range [][]float64{factor, summand} {
		if len(v) > 1 && len(v) != x.shape.C {
			return value{}, fmt.Errorf("%d numbers for %d channels", len(v), x.shape.C)
		}
		for _, f := range v {
			if !(f > -1e30 && f < 1e30) {
				return value{}, fmt.Errorf("%v is no finite number", f)
			}
		}
	}
	if x.pad != (padding{}) { // the zeros are changed too
		var err error
		if x, err = o.settle(x, 0); err != nil {
			return value{}, err
		}
	}
	x.scaled = x.scaled.then(o.path(), factor, summand)
	x.nonNegative = false
	if x.isPicture() {
		x.picture = x.picture.with(o.layer)
	}
	return x, nil
}

func rescaling(o *operation, in []value) (value, error) {
	factor, summand := o.config.numbers("scale"), o.config.numbers("offset")
	return o.scale(in[0], factor, summand)
}

// normalization is (x - mean) / sqrt(variance), of numbers in the layer's
// configuration or among the weights.
func normalization(o *operation, in []value) (value, error) {
	x := in[0]
	const epsilon = 1e-7
	if o.config.boolean("invert", false) {
		return value{}, errors.New("invert is not supported")
	}
	mean, variance := o.config.numbers("mean"), o.config.numbers("variance")
	if mean == nil {
		n := x.shape.C
		if axis := o.config.values["axis"]; axis == nil || isEmpty(axis) {
			n = 1
		}
		v, err := o.tensors([]variable{{names: []string{"mean"}, shape: []int{n}}, {names: []string{"variance"}, shape: []int{n}}})
		if err != nil && n == 1 {
			v, err = o.tensors([]variable{{names: []string{"mean"}}, {names: []string{"variance"}}})
		}
		if err != nil {
			return value{}, err
		}
		mean, variance = widen(v[0]), widen(v[1])
	}
	if len(mean) != len(variance) {
		return value{}, fmt.Errorf("%d means and %d variances", len(mean), len(variance))
	}
	factor, summand := make([]float64, len(mean)), make([]float64, len(mean))
	for c, v := range variance {
		if !(v >= 0) {
			return value{}, fmt.Errorf("variance of channel %d is %v", c, v)
		}
		factor[c] = 1 / max(math.Sqrt(v), epsilon)
		summand[c] = -mean[c] * factor[c]
	}
	return o.scale(x, factor, summand)
}

func isEmpty(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) == 0
}

// curves are the activations that are not linear by pieces, by Keras' names.
var curves = map[string]models.Activation{
	"sigmoid":      {Function: models.Sigmoid},
	"hard_swish":   {Function: models.HardSwish},
	"hard_silu":    {Function: models.HardSwish},
	"swish":        {Function: models.Swish, Alpha: 1},
	"silu":         {Function: models.Swish, Alpha: 1},
	"gelu":         {Function: models.GELU},
	"elu":          {Function: models.ELU, Alpha: 1},
	"selu":         {Function: models.ELU, Alpha: 1.67326324}, // times a factor
	"leaky_relu":   {Function: models.LeakyReLU, Alpha: 0.2},
	"tanh":         {Function: models.Tanh},
	"softplus":     {Function: models.Softplus},
	"mish":         {Function: models.Mish},
	"hard_sigmoid": {Function: models.HardSigmoid, Alpha: 1.0 / 6, Beta: 0.5},
}

// activate adds an activation of Keras' name behind x; none for linear.
func (o *operation) activate(name, function string, x value) (value, error) {
	if function == "" || function == "linear" {
		return x, nil
	}
	x, err := o.settle(x, 0)
	if err != nil {
		return value{}, err
	}
	switch function {
	case "relu":
		return o.node(name, models.ReLU{}, true, x)
	case "relu6":
		return o.node(name, models.Clip{Max: 6}, true, x)
	case "softmax":
		return o.node(name, models.Softmax{}, true, x)
	}
	a, ok := curves[function]
	if !ok {
		return value{}, fmt.Errorf("activation %q is not supported: use relu, relu6, silu, gelu, sigmoid or another of Keras' usual ones", function)
	}
	if function == "selu" {
		y, err := o.node(name, a, false, x)
		if err != nil {
			return value{}, err
		}
		return o.scale(y, []float64{1.05070098}, nil)
	}
	if function == "hard_sigmoid" && o.keras < 3 {
		a.Alpha = 0.2
	}
	return o.node(name, a, a.Function == models.Sigmoid || a.Function == models.HardSigmoid, x)
}

// function is the name of an activation, which Keras 3 may write as an object.
func (o *operation) function(key string) string {
	switch v := o.config.values[key].(type) {
	case object:
		inner := &options{values: v}
		name, _ := v["config"].(string) // a function
		if name == "" {
			name = snakeCase(inner.text("class_name", ""))
		}
		if name == "re_lu" {
			config, _ := v["config"].(object)
			if most, _ := config["max_value"].(float64); most == 6 {
				return "relu6"
			} else if most == 0 {
				return "relu"
			}
		}
		return name
	default:
		name := o.config.text(key, "")
		if i := strings.LastIndexByte(name, '.'); i >= 0 { // "keras.activations.relu"
			name = name[i+1:]
		}
		return name
	}
}

func activation(o *operation, in []value) (value, error) {
	return o.activate(o.path(), o.function("activation"), in[0])
}

// named is the layer or operation of an activation.
func named(function string) convert {
	return func(o *operation, in []value) (value, error) { return o.activate(o.path(), function, in[0]) }
}

// relu is max(x, 0), limited and sloped as its options say. Behind x + b, a limit
// makes a hard sigmoid, as MobileNetV3 writes it: min(max(a*x + b, 0), m) is
// m * HardSigmoid(x) with a/m and b/m.
func relu(o *operation, in []value) (value, error) {
	x := in[0]
	slope := o.config.number("negative_slope", o.config.number("alpha", 0))
	limit := o.config.number("max_value", 0)
	if o.config.number("threshold", 0) != 0 || limit < 0 || limit > 0 && slope != 0 {
		return value{}, errors.New("threshold, and max_value with negative_slope, are not supported")
	}
	shifted := len(x.scaled.summand) == 1 && x.scaled.summand[0] != 0
	if shifted && limit > 0 && !x.isPicture() && x.pad == (padding{}) {
		a := models.Activation{Function: models.HardSigmoid,
			Alpha: float32(at(x.scaled.factor, 0, 1) / limit), Beta: float32(x.scaled.summand[0] / limit)}
		x.scaled = affine{}
		y, err := o.node(o.path(), a, true, x)
		if err != nil {
			return value{}, err
		}
		return o.scale(y, []float64{limit}, nil)
	}
	x, err := o.settle(x, 0)
	switch {
	case err != nil:
		return value{}, err
	case slope != 0:
		return o.node(o.path(), models.Activation{Function: models.LeakyReLU, Alpha: float32(slope)}, false, x)
	case limit != 0:
		return o.node(o.path(), models.Clip{Max: float32(limit)}, true, x)
	}
	return o.node(o.path(), models.ReLU{}, true, x)
}

func relu6(o *operation, in []value) (value, error) {
	o.config.values = object{"max_value": 6.0}
	return relu(o, in)
}

// pReLU has a slope for each channel.
func pReLU(o *operation, in []value) (value, error) {
	x := in[0]
	dims := []int{x.shape.H, x.shape.W, x.shape.C}
	for _, axis := range o.config.numbers("shared_axes") {
		if axis >= 1 && axis <= 3 {
			dims[int(axis)-1] = 1
		}
	}
	if dims[0]*dims[1] > 1 {
		return value{}, errors.New("has another slope for each pixel: only one for each channel is supported (shared_axes=[1, 2])")
	}
	if x.flat {
		dims = dims[2:]
	}
	alpha, err := o.tensors([]variable{{[]string{"alpha"}, dims}})
	if err != nil {
		return value{}, err
	}
	op := &models.ChannelActivation{Activation: models.Activation{Function: models.LeakyReLU}, Slopes: make([]float32, x.shape.C)}
	for c := range op.Slopes {
		op.Slopes[c] = alpha[0][c%len(alpha[0])]
	}
	return o.node(o.path(), op, false, x)
}

// gelu is that of keras.ops, which approximates unless told otherwise.
func gelu(o *operation, in []value) (value, error) {
	f := models.GELUTanh
	if !o.config.boolean("approximate", true) {
		f = models.GELU
	}
	return o.node(o.path(), models.Activation{Function: f}, false, in[0])
}

func leakyReLU(o *operation, in []value) (value, error) {
	slope := o.config.number("negative_slope", o.config.number("alpha", 0.3))
	return o.node(o.path(), models.Activation{Function: models.LeakyReLU, Alpha: float32(slope)}, false, in[0])
}

func elu(o *operation, in []value) (value, error) {
	return o.node(o.path(), models.Activation{Function: models.ELU, Alpha: float32(o.config.number("alpha", 1))}, false, in[0])
}

// arithmetic is an operation of two operands, one of which may be constant.
func (o *operation) arithmetic(function string, in []value) (value, error) {
	if len(in) == 2 {
		return o.both(function, in)
	}
	if len(in) != 1 || len(o.use.operands) != 2 {
		return value{}, fmt.Errorf("has %d inputs and %d constants, expected two together", len(in), len(o.use.operands)-len(in))
	}
	_, behind := o.use.operands[0].(reference) // x - c, or c - x
	constant := o.use.operands[0]
	if behind {
		constant = o.use.operands[1]
	}
	c, ok := numbers(constant)
	if !ok {
		return value{}, errors.New("one operand is neither a tensor nor numbers")
	}
	one := []float64{1}
	each := func(f func(float64) float64) []float64 {
		out := make([]float64, len(c))
		for i, v := range c {
			out[i] = f(v)
		}
		return out
	}
	switch {
	case function == "add":
		return o.scale(in[0], one, c)
	case function == "multiply":
		return o.scale(in[0], c, nil)
	case function == "subtract" && behind:
		return o.scale(in[0], one, each(func(v float64) float64 { return -v }))
	case function == "subtract":
		return o.scale(in[0], []float64{-1}, c)
	case function == "divide" && behind:
		return o.scale(in[0], each(func(v float64) float64 { return 1 / v }), nil)
	}
	return value{}, fmt.Errorf("%s of a constant by a tensor is not supported", function)
}

// both is a sum or a product of tensors. A product's second factor may be one of
// each channel.
func (o *operation) both(function string, in []value) (x value, err error) {
	for i := range in {
		if in[i], err = o.settle(in[i], 0); err != nil {
			return value{}, err
		}
	}
	switch function {
	case "add":
		x = in[0]
		for i, y := range in[1:] {
			name := o.path()
			if i < len(in)-2 { // the last sum carries the name
				name = fmt.Sprintf("%s/%d", name, i+1)
			}
			if x, err = o.node(name, models.Add{}, x.nonNegative && y.nonNegative, x, y); err != nil {
				return value{}, err
			}
		}
		return x, nil
	case "multiply":
		a, b := in[0], in[1]
		if len(in) != 2 {
			return value{}, fmt.Errorf("multiplies %d tensors, expected two", len(in))
		}
		if a.shape.H*a.shape.W == 1 && b.shape.H*b.shape.W > 1 {
			a, b = b, a
		}
		return o.node(o.path(), models.Mul{}, a.nonNegative && b.nonNegative, a, b)
	}
	return value{}, fmt.Errorf("%s of two tensors is not supported", function)
}

// combine is the layer or operation of a function of two or more operands.
func combine(function string) convert {
	return func(o *operation, in []value) (value, error) {
		if len(in) > 2 {
			return o.both(function, in)
		}
		return o.arithmetic(function, in)
	}
}

// lambda is an operation that TensorFlow noted by the name of its function.
func lambda(o *operation, in []value) (value, error) {
	function := o.config.text("function", "")
	names := map[string]convert{
		"__operators__.add": combine("add"), "math.add": combine("add"),
		"math.subtract": combine("subtract"), "__operators__.sub": combine("subtract"),
		"math.multiply": combine("multiply"), "__operators__.mul": combine("multiply"),
		"math.truediv": combine("divide"), "math.divide": combine("divide"), "__operators__.truediv": combine("divide"),
		"nn.bias_add": biasAdd, "nn.relu": named("relu"), "nn.relu6": relu6, "nn.silu": named("silu"), "nn.swish": named("silu"),
		"math.sigmoid": named("sigmoid"), "nn.softmax": named("softmax"), "identity": identity, "cast": identity,
		"__operators__.getitem": getItem,
	}
	c, ok := names[function]
	if !ok {
		return value{}, fmt.Errorf("function %q is not supported: replace it by layers of Keras' own, or export the model to ONNX with tf2onnx", function)
	}
	return c(o, in)
}

// biasAdd adds numbers per channel.
func biasAdd(o *operation, in []value) (value, error) {
	bias, ok := numbers(o.use.keys["bias"])
	if !ok || len(bias) == 0 {
		return value{}, errors.New("the bias is no list of numbers")
	}
	return o.scale(in[0], nil, bias)
}

func identity(_ *operation, in []value) (value, error) { return in[0], nil }

// concatenate puts channels behind each other.
func concatenate(o *operation, in []value) (value, error) {
	last := 3
	if in[0].flat {
		last = 1
	}
	axis := o.config.number("axis", -1)
	if key, ok := o.use.keys["axis"].(float64); ok {
		axis = key
	}
	if axis != -1 && axis != float64(last) {
		return value{}, fmt.Errorf("axis is %v, only the channels (%d or -1) are supported", axis, last)
	}
	if len(in) == 1 {
		return in[0], nil
	}
	nonNegative, flat := true, tensor.Shape{}
	for _, v := range in {
		nonNegative = nonNegative && v.nonNegative
		if v.flat && v.shape.H*v.shape.W > 1 {
			flat = v.shape
		}
	}
	if flat != (tensor.Shape{}) {
		return value{}, fmt.Errorf("of a flattened %v is not supported", flat)
	}
	return o.node(o.path(), models.Concat{}, nonNegative, in...)
}

func widen(list []float32) []float64 {
	wide := make([]float64, len(list))
	for i, v := range list {
		wide[i] = float64(v)
	}
	return wide
}
