package keras

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// sees makes the input of another shape.
func (s *sketch) sees(shape ...any) *sketch {
	s.layers[0]["config"] = object{"batch_input_shape": append([]any{nil}, shape...)}
	return s
}

func (s *sketch) imported(t testing.TB, o models.ImportOptions) *models.Imported {
	t.Helper()
	m, err := Import(s.save(t), o)
	require.NoError(t, err)
	return m
}

func TestInputSizes(t *testing.T) {
	for _, c := range []struct {
		shape []any
		given preprocess.Size
		want  tensor.Shape
	}{
		{[]any{8, 12, 3}, preprocess.Size{}, tensor.Shape{H: 8, W: 12, C: 3}},
		{[]any{nil, nil, 3}, preprocess.Size{}, tensor.Shape{H: 224, W: 224, C: 3}},
		{[]any{nil, nil, 3}, preprocess.Size{H: 20, W: 10}, tensor.Shape{H: 20, W: 10, C: 3}},
		{[]any{8, 8, 3}, preprocess.Size{H: 20, W: 10}, tensor.Shape{H: 20, W: 10, C: 3}},
		{[]any{8, 12, 1}, preprocess.Size{}, tensor.Shape{H: 8, W: 12, C: 1}},
	} {
		channels := c.want.C
		m := newSketch().sees(c.shape...).then("relu", "ReLU", object{}).head(channels).imported(t, models.ImportOptions{Input: c.given})
		require.Equal(t, c.want, m.Input())
		require.Equal(t, c.want, m.Preprocess.Input())
		require.Equal(t, channels == 1, m.Preprocess.Order == preprocess.Grey)
		require.NoError(t, m.Preprocess.Validate())
	}
}

// Layers before the first operation are preprocessing.
func TestPreprocessingLayers(t *testing.T) {
	plain := func(s preprocess.Spec) preprocess.Spec { return s.Sized(preprocess.Square(8)) }
	scaled := func(mean, std [3]float32) preprocess.Spec {
		s := plain(preprocess.Raw())
		s.Mean, s.Std = mean, std
		return s
	}
	with := func(s preprocess.Spec, change func(*preprocess.Spec)) preprocess.Spec { change(&s); return s }
	half := [3]float32{127.5, 127.5, 127.5}
	constant := func(s *sketch, function string, y any) *sketch {
		name := fmt.Sprintf("%s_%d", strings.ReplaceAll(function, ".", "_"), len(s.layers))
		last := s.layers[len(s.layers)-1]["name"]
		s.layers = append(s.layers, object{"name": name, "class_name": "TFOpLambda", "config": object{"function": function},
			"inbound_nodes": []any{[]any{last, 0, 0, object{"y": y, "name": nil}}}})
		return s
	}
	reversed := newSketch()
	reversed.layers = append(reversed.layers, object{"name": "bgr", "class_name": "SlicingOpLambda", "config": object{"function": "__operators__.getitem"},
		"inbound_nodes": []any{[]any{"image", 0, 0, object{"slice_spec": []any{object{"class_name": "__ellipsis__"}, object{"start": nil, "stop": nil, "step": -1}}}}}},
		object{"name": "bias", "class_name": "TFOpLambda", "config": object{"function": "nn.bias_add"},
			"inbound_nodes": []any{[]any{"bgr", 0, 0, object{"bias": []any{-103.939, -116.779, -123.68}}}}})
	// Keras 3 takes channel by channel, and writes constants as tensors.
	stacked := newSketch()
	tensor := func(layer string) object {
		return object{"class_name": "__keras_tensor__", "config": object{"keras_history": []any{layer, 0, 0}}}
	}
	operation := func(class, name string, args ...any) {
		stacked.layers = append(stacked.layers, object{"name": name, "class_name": class, "module": "keras.src.ops.numpy", "config": object{"name": name},
			"inbound_nodes": []any{object{"args": args, "kwargs": object{}}}})
	}
	var channels []any
	for i, name := range []string{"b", "g", "r"} {
		operation("GetItem", name, tensor("image"), []any{object{"class_name": "__ellipsis__", "config": object{}}, 2 - i})
		channels = append(channels, tensor(name))
	}
	operation("Stack", "bgr", channels)
	operation("Add", "bias", tensor("bgr"), object{"class_name": "__tensor__", "config": object{"value": []any{[]any{-103.939, -116.779, -123.68}}}})
	for name, c := range map[string]struct {
		sketch *sketch
		want   preprocess.Spec
		from   string
	}{
		"-1..1": {newSketch().then("r", "Rescaling", object{"scale": 1 / 127.5, "offset": -1}), scaled(half, half), "layer r"},
		"0..1 by channels": {newSketch().then("r", "Rescaling", object{"scale": []any{1 / 255.0, 1 / 255.0, 0.01}}),
			scaled([3]float32{}, [3]float32{255, 255, 100}), "layer r"},
		"mean and variance": {newSketch().then("n", "Normalization", object{"axis": []int{-1}, "mean": []any{1, 2, 3}, "variance": []any{4, 9, 16}}),
			scaled([3]float32{1, 2, 3}, [3]float32{2, 3, 4}), "layer n"},
		"one mean": {newSketch().then("n", "Normalization", object{"axis": nil, "mean": 8.0, "variance": 4.0}),
			scaled([3]float32{8, 8, 8}, [3]float32{2, 2, 2}), "layer n"},
		"mean among the weights": {newSketch().then("n", "Normalization", object{"axis": []int{-1}}).weight("n/mean", 3).weight("n/variance", 3),
			scaled([3]float32{0, 1, 2}, [3]float32{1.7320508, 2, 2.236068}), "layer n"},
		"two after each other": {newSketch().then("r", "Rescaling", object{"scale": 0.5}).
			then("n", "Normalization", object{"axis": []int{-1}, "mean": []any{1, 2, 3}, "variance": []any{1, 4, 16}}),
			scaled([3]float32{2, 4, 6}, [3]float32{2, 4, 8}), "layer r, n"},
		"operators":      {constant(constant(newSketch(), "math.truediv", 127.5), "math.subtract", 1), scaled(half, half), "layer math_truediv_1, math_subtract_2"},
		"BGR":            {reversed, with(scaled(preprocess.Caffe().Mean, preprocess.Caffe().Std), func(s *preprocess.Spec) { s.Order = preprocess.BGR }), "layer bgr, bias"},
		"BGR of Keras 3": {stacked, with(scaled(preprocess.Caffe().Mean, preprocess.Caffe().Std), func(s *preprocess.Spec) { s.Order = preprocess.BGR }), "layer bgr, bias"},
		"random layers are not for use": {newSketch().then("f", "RandomFlip", object{}).then("r", "Rescaling", object{"scale": 1}).then("z", "RandomZoom", object{}),
			scaled([3]float32{}, [3]float32{1, 1, 1}), "layer r"},
		"resizing": {newSketch().sees(nil, nil, 3).then("s", "Resizing", object{"height": 8, "width": 8, "interpolation": "bicubic"}).then("r", "Rescaling", object{"scale": 1}),
			with(scaled([3]float32{}, [3]float32{1, 1, 1}), func(s *preprocess.Spec) {
				s.Resize, s.Filter = preprocess.Whole(preprocess.Square(8)), preprocess.Bicubic
			}), "layer s, r"},
		"resizing and crop": {newSketch().sees(100, 100, 3).then("s", "Resizing", object{"height": 9, "width": 10, "crop_to_aspect_ratio": false}).
			then("c", "CenterCrop", object{"height": 8, "width": 8}).then("r", "Rescaling", object{"scale": 1}),
			with(scaled([3]float32{}, [3]float32{1, 1, 1}), func(s *preprocess.Spec) { s.Resize = preprocess.Whole(preprocess.Size{H: 9, W: 10}) }), "layer s, c, r"},
		"square in the middle": {newSketch().sees(nil, nil, 3).then("s", "Resizing", object{"height": 8, "width": 8, "crop_to_aspect_ratio": true}),
			with(plain(preprocess.Unit()), func(s *preprocess.Spec) { s.Resize = preprocess.Short(8) }), "layer s"},
	} {
		t.Run(name, func(t *testing.T) {
			m := c.sketch.then("relu", "ReLU", object{}).head(3).imported(t, models.ImportOptions{})
			require.Equal(t, c.want, m.Preprocess)
			require.Equal(t, c.from, m.PreprocessFrom)
			require.Equal(t, "relu", m.Nodes[0].Name)
		})
	}
}

// Where the file says nothing, names tell how Keras' own networks are trained.
func TestAssumedPreprocessing(t *testing.T) {
	for name, want := range map[string]string{"Conv1": "unit", "block_1_expand": "keras-tf", "conv2_block1_1_conv": "keras-caffe",
		"conv2_block1_concat": "keras-torch", "conv2_block1_preact_bn": "keras-tf"} {
		m := newSketch().then(name, "ReLU", object{}).head(3).imported(t, models.ImportOptions{})
		spec, ok := preprocess.Preset(want)
		require.True(t, ok)
		require.Equal(t, spec.Sized(preprocess.Square(8)), m.Preprocess, name)
		require.Empty(t, m.PreprocessFrom)
		require.Contains(t, m.Guess, want)
	}
}

func TestActivations(t *testing.T) {
	act := func(name any) options { return options{values: object{"activation": name}} }
	for _, c := range []struct {
		class  string
		config object
		want   models.Op
	}{
		{"Activation", act("relu").values, models.ReLU{}},
		{"Activation", act("relu6").values, models.Clip{Max: 6}},
		{"Activation", act("silu").values, models.Activation{Function: models.Swish, Alpha: 1}},
		{"Activation", act("gelu").values, models.Activation{Function: models.GELU}},
		{"Activation", act("hard_sigmoid").values, models.Activation{Function: models.HardSigmoid, Alpha: 0.2, Beta: 0.5}},
		{"Activation", act("keras.activations.tanh").values, models.Activation{Function: models.Tanh}},
		{"Activation", act(object{"class_name": "function", "config": "mish"}).values, models.Activation{Function: models.Mish}},
		{"Activation", act(object{"class_name": "ReLU", "config": object{"max_value": 6.0}}).values, models.Clip{Max: 6}},
		{"Activation", act(object{"class_name": "Softplus", "config": object{}}).values, models.Activation{Function: models.Softplus}},
		{"ReLU", object{"max_value": 4, "negative_slope": 0}, models.Clip{Max: 4}},
		{"ReLU", object{"negative_slope": []any{0.25}}, models.Activation{Function: models.LeakyReLU, Alpha: 0.25}},
		{"LeakyReLU", object{"alpha": 0.5}, models.Activation{Function: models.LeakyReLU, Alpha: 0.5}},
		{"LeakyReLU", object{"negative_slope": 0.5}, models.Activation{Function: models.LeakyReLU, Alpha: 0.5}},
		{"ELU", object{"alpha": 0.5}, models.Activation{Function: models.ELU, Alpha: 0.5}},
		{"Gelu", object{}, models.Activation{Function: models.GELUTanh}},
		{"Gelu", object{"approximate": false}, models.Activation{Function: models.GELU}},
		{"Selu", object{}, models.Activation{Function: models.ELU, Alpha: 1.67326324}},
		{"Activation", act("selu").values, models.Activation{Function: models.ELU, Alpha: 1.67326324}},
		{"LeakyRelu", object{"negative_slope": 0.1}, models.Activation{Function: models.LeakyReLU, Alpha: 0.1}},
		{"Tanh", object{}, models.Activation{Function: models.Tanh}},
	} {
		g := newSketch().then("x", c.class, c.config).head(3).load(t)
		require.Equal(t, c.want, g.Nodes[0].Op, "%s %v", c.class, c.config)
	}
}

// Slopes of PReLU are those of channels, or one for all.
func TestPReLU(t *testing.T) {
	for _, channels := range []int{1, 3} {
		shared := []int{1, 2, 3}[:3-channels/3]
		g := newSketch().then("x", "PReLU", object{"shared_axes": shared}).weight("x/alpha", 1, 1, channels).head(3).load(t)
		p := g.Nodes[0].Op.(*models.ChannelActivation)
		require.Equal(t, models.LeakyReLU, p.Function)
		require.Len(t, p.Slopes, 3)
		require.Equal(t, channels == 1, p.Slopes[0] == p.Slopes[1])
	}
	path := newSketch().then("x", "PReLU", object{}).weight("x/alpha", 8, 8, 3).head(3).save(t)
	_, err := Import(path, models.ImportOptions{})
	require.ErrorContains(t, err, "another slope for each pixel")
}

// The hard sigmoid is another function in Keras 3.
func TestHardSigmoidOfKeras3(t *testing.T) {
	path := newSketch().then("x", "Activation", object{"activation": "hard_sigmoid"}).head(3).save(t)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text = []byte(strings.Replace(string(text), `"modelTopology": {`, `"modelTopology": {"keras_version": "3.4.1",`, 1))
	require.NoError(t, os.WriteFile(path, text, 0o644))
	m, err := Import(path, models.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, models.Activation{Function: models.HardSigmoid, Alpha: 1.0 / 6, Beta: 0.5}, m.Nodes[0].Op)
}

// Paddings that no window takes become nodes.
func TestPaddingNodes(t *testing.T) {
	kinds := func(g *models.Graph) (all []string) {
		for _, n := range g.Nodes {
			all = append(all, n.Op.Kind())
		}
		return all
	}
	pad := func() *sketch { return newSketch().then("pad", "ZeroPadding2D", pad2D(1, 1, 1, 1)) }
	for want, s := range map[string]*sketch{
		"pad relu globalavgpool":           pad().then("x", "ReLU", object{}).head(3),
		"pad maxpool globalavgpool":        pad().then("x", "MaxPooling2D", pool2D(3, 2, "valid")).head(3),
		"pad avgpool globalavgpool":        pad().then("x", "AveragePooling2D", pool2D(3, 2, "same")).head(3),
		"avgpool globalavgpool":            pad().then("x", "AveragePooling2D", pool2D(3, 2, "valid")).head(3),
		"relu maxpool globalavgpool":       newSketch().then("r", "ReLU", object{}).then("pad", "ZeroPadding2D", pad2D(1, 1, 1, 1)).then("x", "MaxPooling2D", pool2D(3, 2, "valid")).head(3),
		"pad conv globalavgpool":           newSketch().then("pad", "ZeroPadding2D", object{"padding": 2}).then("x", "Conv2D", conv2D(3, 1, 1, "valid")).weight("x/kernel", 1, 1, 3, 3).head(3),
		"pad batchnorm relu globalavgpool": newSketch().then("pad", "ZeroPadding2D", object{"padding": []int{1, 2}}).then("r", "Rescaling", object{"scale": 1, "offset": 1}).then("x", "ReLU", object{}).head(3),
	} {
		require.Equal(t, want+" dense softmax", strings.Join(kinds(s.load(t)), " "))
	}
}

// Sums of three, products by channel, a classifier by 1x1 convolution.
func TestComposedLayers(t *testing.T) {
	g := newSketch().
		then("three", "Add", object{}, "image", "image", "image").
		then("mean", "GlobalAveragePooling2D", object{}).
		then("shape", "Reshape", object{"target_shape": []int{1, 1, 3}}).
		then("times", "Multiply", object{}, "shape", "three").
		then("flat", "GlobalAveragePooling2D", object{"keepdims": true}).
		then("classes", "Conv2D", conv2D(2, 1, 1, "same")).weight("classes/kernel", 1, 1, 3, 2).
		then("out", "Flatten", object{}).load(t)
	require.Equal(t, "dense", g.Nodes[len(g.Nodes)-1].Op.Kind())
	image := make([]float32, 8*8*3)
	for i := range image {
		image[i] = float32(i % 3)
	}
	got := graphtest.Reference(t, g, image)["classes"]
	// Channels are 0, 1 and 2; three of them 0, 3 and 6, whose squares are 0, 9 and 36.
	require.Equal(t, []float64{9*2 + 36*4, 9*3 + 36*5}, got)
}

// Sequential models of Keras 3, 2.2 and 1 name their input in different places.
func TestSequentialInputs(t *testing.T) {
	head := []any{
		object{"class_name": "GlobalAveragePooling2D", "config": object{"name": "pool", "data_format": "channels_last"}},
		object{"class_name": "Dense", "config": object{"name": "fc", "units": 2}},
	}
	first := func(config object) []any {
		config["name"], config["activation"] = "first", "relu"
		return append([]any{object{"class_name": "Activation", "config": config}}, head...)
	}
	for name, config := range map[string]any{
		"input layer":       object{"name": "s", "layers": append([]any{object{"class_name": "InputLayer", "config": object{"name": "in", "batch_shape": []any{nil, 8, 8, 3}}}}, first(object{})...)},
		"first layer":       object{"name": "s", "layers": first(object{"batch_input_shape": []any{nil, 8, 8, 3}})},
		"built for a shape": object{"name": "s", "layers": first(object{}), "build_input_shape": []any{nil, 8, 8, 3}},
		"bare list":         first(object{"batch_input_shape": []any{nil, 8, 8, 3}}),
	} {
		t.Run(name, func(t *testing.T) {
			path := newSketch().head(3).save(t)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var model object
			require.NoError(t, json.Unmarshal(text, &model))
			model["modelTopology"] = object{"class_name": "Sequential", "config": config}
			text, err = json.Marshal(model)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, text, 0o644))
			m, err := Import(path, models.ImportOptions{})
			require.NoError(t, err)
			require.Equal(t, []string{"first", "pool", "fc"}, graphtest.Names(m.Graph))
		})
	}
}
