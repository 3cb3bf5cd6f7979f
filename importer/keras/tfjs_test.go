package keras

import (
	"archive/zip"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"edgeclassify/importer/weights"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// sketch is a model.json in the making, for an input of 8x8x3. Weights are
// numbered one after the other: 0, 1, 2, ...
type sketch struct {
	layers  []object
	weights []object
	values  int
	dtype   string // "": float32; float16: quantized to it
}

func newSketch() *sketch {
	s := &sketch{}
	s.layers = append(s.layers, object{"name": "image", "class_name": "InputLayer", "inbound_nodes": []any{},
		"config": object{"batch_input_shape": []any{nil, 8, 8, 3}, "data_format": "channels_last"}})
	return s
}

// then adds a layer that reads the given ones, or the last.
func (s *sketch) then(name, class string, config object, inputs ...string) *sketch {
	if inputs == nil {
		inputs = []string{s.layers[len(s.layers)-1]["name"].(string)}
	}
	var refs []any
	for _, in := range inputs {
		refs = append(refs, []any{in, 0, 0, object{}})
	}
	s.layers = append(s.layers, object{"name": name, "class_name": class, "config": config, "inbound_nodes": []any{refs}})
	return s
}

// weight adds a tensor.
func (s *sketch) weight(name string, shape ...int) *sketch {
	w := object{"name": name, "shape": shape, "dtype": "float32"}
	if s.dtype != "" {
		w["quantization"] = object{"dtype": s.dtype}
	}
	s.weights = append(s.weights, w)
	n, _ := weights.Elements(shape, math.MaxInt)
	s.values += n
	return s
}

// head ends the network with a pooling and two classes.
func (s *sketch) head(channels int) *sketch {
	return s.then("pool", "GlobalAveragePooling2D", object{}).
		then("fc", "Dense", object{"units": 2, "activation": "softmax"}).
		weight("fc/kernel", channels, 2).weight("fc/bias", 2)
}

// save writes the model in two shards and returns its path.
func (s *sketch) save(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	last := s.layers[len(s.layers)-1]["name"]
	text, err := json.MarshalIndent(object{
		"modelTopology": object{"model_config": object{"class_name": "Model", "config": object{
			"name": "small", "layers": s.layers, "input_layers": []any{[]any{"image", 0, 0}}, "output_layers": []any{[]any{last, 0, 0}}}}},
		"weightsManifest": []any{object{"paths": []string{"a.bin", "b.bin"}, "weights": s.weights}},
	}, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.json"), text, 0o644))
	var data []byte
	for i := range s.values {
		if s.dtype == "float16" {
			data = binary.LittleEndian.AppendUint16(data, uint16(i))
		} else {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(i)))
		}
	}
	cut := min(len(data), len(data)*2/3+1) // not between two values
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.bin"), data[:cut], 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.bin"), data[cut:], 0o644))
	return filepath.Join(dir, "model.json")
}

func (s *sketch) load(t testing.TB) *models.Graph {
	t.Helper()
	g, err := Import(s.save(t), models.ImportOptions{})
	require.NoError(t, err)
	return g.Graph
}

// twice uses the last layer but two twice.
func twice(s *sketch) *sketch {
	l := s.layers[len(s.layers)-3]
	l["inbound_nodes"] = append(l["inbound_nodes"].([]any), l["inbound_nodes"].([]any)...)
	return s
}

func conv2D(filters, kernel, stride int, padding string) object {
	return object{"filters": filters, "kernel_size": []int{kernel, kernel}, "strides": []int{stride, stride},
		"padding": padding, "use_bias": false, "dilation_rate": []int{1, 1}, "data_format": "channels_last"}
}

func pool2D(size, stride int, padding string) object {
	return object{"pool_size": []int{size, size}, "strides": []int{stride, stride}, "padding": padding}
}

func pad2D(top, bottom, left, right int) object {
	return object{"padding": [][]int{{top, bottom}, {left, right}}}
}

func with(o object, key string, value any) object {
	o[key] = value
	return o
}

// windowOf is the geometry of the node, which must be there.
func windowOf(t *testing.T, g *models.Graph, name string) tensor.Window {
	t.Helper()
	for _, n := range g.Nodes {
		if n.Name == name {
			switch op := n.Op.(type) {
			case *models.Conv:
				return op.Window
			case *models.MaxPool:
				return op.Window
			case *models.AveragePool:
				return op.Window
			}
		}
	}
	require.Fail(t, "no such node", name)
	return tensor.Window{}
}

func TestTFJSLayers(t *testing.T) {
	s := newSketch().
		then("pad", "ZeroPadding2D", pad2D(1, 2, 0, 1)).
		then("conv", "Conv2D", with(with(conv2D(4, 3, 2, "valid"), "activation", "relu"), "use_bias", true)).
		weight("conv/kernel", 3, 3, 3, 4).weight("conv/bias", 4).
		then("bn", "BatchNormalization", object{"axis": []int{3}, "epsilon": 0.25, "scale": false, "center": true}).
		weight("bn/beta", 4).weight("bn/moving_mean", 4).weight("bn/moving_variance", 4).
		then("drop", "Dropout", object{"rate": 0.5}).
		then("act", "Activation", object{"activation": "relu"}).
		then("linear", "Activation", object{"activation": "linear"}).
		then("add", "Add", object{}, "act", "conv").
		then("relu", "ReLU", object{"max_value": nil, "negative_slope": 0.0, "threshold": 0.0}).
		head(4)
	s.layers = append(s.layers[:len(s.layers)-1],
		object{"name": "flat", "class_name": "Flatten", "config": object{}, "inbound_nodes": []any{[]any{[]any{"pool", 0, 0, object{}}}}},
		with(s.layers[len(s.layers)-1], "inbound_nodes", []any{[]any{[]any{"flat", 0, 0, object{}}}}))
	g := s.load(t)

	var lines [][]string
	for _, n := range g.Nodes {
		lines = append(lines, append([]string{n.Name, n.Op.Kind()}, g.Topology().Names(n.Inputs)...))
	}
	require.Equal(t, [][]string{
		{"conv", "conv", "image"}, {"conv/relu", "relu", "conv"}, {"bn", "batchnorm", "conv/relu"}, {"act", "relu", "bn"},
		{"add", "add", "act", "conv/relu"}, {"relu", "relu", "add"}, {"pool", "globalavgpool", "relu"},
		{"fc", "dense", "pool"}, {"fc/softmax", "softmax", "fc"}}, lines)

	require.Equal(t, tensor.Window{KH: 3, KW: 3, StrideH: 2, StrideW: 2, Top: 1, Bottom: 2, Left: 0, Right: 1}, windowOf(t, g, "conv"))
	c := g.Nodes[0].Op.(*models.Conv)
	require.Equal(t, float32(0*4+3), c.Weight[3*27], "kernel [0, 0, 0, 3]")
	require.Equal(t, float32(((2*3+1)*3+2)*4+1), c.Weight[((1*3+2)*3+1)*3+2], "kernel [2, 1, 2, 1]")
	require.Equal(t, []float32{108, 109, 110, 111}, c.Bias)
	require.Equal(t, &models.BatchNorm{Epsilon: 0.25, Gamma: []float32{1, 1, 1, 1}, Beta: []float32{112, 113, 114, 115},
		Mean: []float32{116, 117, 118, 119}, Variance: []float32{120, 121, 122, 123}}, g.Nodes[2].Op)
	require.Equal(t, &models.Dense{In: 4, Out: 2, Weight: []float32{124, 126, 128, 130, 125, 127, 129, 131}, Bias: []float32{132, 133}}, g.Nodes[7].Op)

	require.Equal(t, "small", g.Name)
	require.Equal(t, 8, g.Preprocess.Crop.H)
	require.Equal(t, 9, g.Preprocess.Resize.Short)
	require.NoError(t, g.Preprocess.Validate())
	require.Len(t, g.Classes, 2)
}

func TestTFJSDepthwise(t *testing.T) {
	g := newSketch().
		then("dw", "DepthwiseConv2D", with(conv2D(0, 2, 1, "valid"), "depth_multiplier", 2)).
		weight("dw/depthwise_kernel", 2, 2, 3, 2).head(6).load(t)
	c := g.Nodes[0].Op.(*models.Conv)
	require.Equal(t, 3, c.Groups)
	require.Equal(t, 6, c.OutC)
	for in := range 3 {
		for m := range 2 {
			for k := range 4 {
				require.Equal(t, float32((k*3+in)*2+m), c.Weight[(in*2+m)*4+k])
			}
		}
	}
}

func TestTFJSGroups(t *testing.T) {
	g := newSketch().
		then("conv", "Conv2D", with(conv2D(6, 1, 1, "same"), "groups", 3)).
		weight("conv/kernel", 1, 1, 1, 6).head(6).load(t)
	c := g.Nodes[0].Op.(*models.Conv)
	require.Equal(t, 3, c.Groups)
	require.Equal(t, []float32{0, 1, 2, 3, 4, 5}, c.Weight)
}

func TestSamePadding(t *testing.T) {
	for _, c := range []struct{ n, kernel, stride, before, after int }{
		{224, 3, 1, 1, 1},
		{224, 3, 2, 0, 1}, // the odd pixel goes behind
		{225, 3, 2, 1, 1},
		{224, 7, 2, 2, 3},
		{224, 1, 2, 0, 0},
		{8, 2, 1, 0, 1},
		{7, 2, 3, 0, 1},
	} {
		before, after := same(c.n, c.kernel, c.stride)
		require.Equal(t, [2]int{c.before, c.after}, [2]int{before, after}, "%+v", c)
	}
	g := newSketch().then("conv", "Conv2D", conv2D(1, 3, 2, "same")).weight("conv/kernel", 3, 3, 3, 1).head(1).load(t)
	require.Equal(t, tensor.Window{KH: 3, KW: 3, StrideH: 2, StrideW: 2, Bottom: 1, Right: 1}, windowOf(t, g, "conv"))
	// Behind a ZeroPadding2D of one pixel the plane is 10x10.
	g = newSketch().then("pad", "ZeroPadding2D", pad2D(1, 1, 1, 1)).then("conv", "Conv2D", conv2D(1, 5, 3, "same")).
		weight("conv/kernel", 5, 5, 3, 1).head(1).load(t)
	require.Equal(t, tensor.Window{KH: 5, KW: 5, StrideH: 3, StrideW: 3, Top: 3, Left: 3, Bottom: 3, Right: 3}, windowOf(t, g, "conv"))
}

func TestTFJSPooling(t *testing.T) {
	g := newSketch().
		then("avg1", "AveragePooling2D", pool2D(3, 1, "same")).
		then("pad1", "ZeroPadding2D", pad2D(1, 0, 1, 0)).
		then("avg2", "AveragePooling2D", pool2D(2, 1, "valid")).
		then("relu", "ReLU", object{}).
		then("max1", "MaxPooling2D", pool2D(2, 1, "same")).
		then("pad2", "ZeroPadding2D", pad2D(1, 1, 1, 1)).
		then("max2", "MaxPooling2D", pool2D(3, 2, "valid")).head(3).load(t)
	require.Equal(t, &models.AveragePool{Window: tensor.Square(3, 1, 1)}, g.Nodes[0].Op)
	require.Equal(t, &models.AveragePool{Window: tensor.Window{KH: 2, KW: 2, StrideH: 1, StrideW: 1, Top: 1, Left: 1}, CountPad: true}, g.Nodes[1].Op)
	require.Equal(t, tensor.Window{KH: 2, KW: 2, StrideH: 1, StrideW: 1, Bottom: 1, Right: 1}, windowOf(t, g, "max1"))
	require.Equal(t, tensor.Square(3, 2, 1), windowOf(t, g, "max2"))
}

func TestTFJSFloat16(t *testing.T) {
	s := newSketch()
	s.dtype = "float16"
	g := s.then("conv", "Conv2D", conv2D(1, 1, 1, "valid")).weight("conv/kernel", 1, 1, 3, 1).head(1).load(t)
	require.Equal(t, []float32{0, 0x1p-24, 0x2p-24}, g.Nodes[0].Op.(*models.Conv).Weight)
}

func TestTFJSUnsupported(t *testing.T) {
	one := func(class string, o object) *sketch { return newSketch().then("x", class, o).head(3) }
	for name, c := range map[string]struct {
		sketch *sketch
		want   string
	}{
		"class":            {one("LSTM", object{}), `layer "x" (LSTM): layers of this class are not supported: replace it by`},
		"code":             {one("Lambda", object{"config": object{}}), `layer "x" (Lambda): layers of this class are not supported: its code is not in the file`},
		"Keras 1":          {one("Merge", object{}), `it is of Keras 1: load the model with Keras 2`},
		"function":         {one("TFOpLambda", object{"function": "math.erf"}), `function "math.erf" is not supported: replace it`},
		"channels first":   {one("Conv2D", with(conv2D(3, 3, 1, "same"), "data_format", "channels_first")), `layer "x" (Conv2D): data_format is "channels_first"`},
		"activation":       {one("Activation", object{"activation": "snake"}), `activation "snake" is not supported`},
		"conv activation":  {one("Conv2D", with(conv2D(3, 1, 1, "same"), "activation", "snake")).weight("x/kernel", 1, 1, 3, 3), `activation "snake"`},
		"ReLU":             {one("ReLU", object{"max_value": 6.0, "negative_slope": 0.1}), "max_value with negative_slope"},
		"threshold":        {one("ReLU", object{"threshold": 1.0}), "threshold"},
		"padding":          {one("Conv2D", conv2D(3, 3, 1, "causal")), `padding is "causal", expected "valid" or "same"`},
		"no kernel size":   {one("Conv2D", object{"filters": 3, "padding": "same"}), `layer "x" (Conv2D): "kernel_size" is null, expected two numbers`},
		"huge stride":      {one("MaxPooling2D", pool2D(2, 1<<30, "same")), `"strides" is [1073741824,1073741824], expected two whole numbers from 1 to 8192`},
		"no filters":       {one("Conv2D", conv2D(0, 3, 1, "same")), `"filters" is 0, expected a whole number from 1 to 65536`},
		"many filters":     {one("Conv2D", with(conv2D(3, 3, 1, "same"), "filters", 2.5)), `"filters" is 2.5, expected a whole number`},
		"groups":           {one("Conv2D", with(conv2D(4, 3, 1, "same"), "groups", 2)), "4 filters in 2 groups"},
		"multiplier":       {one("DepthwiseConv2D", with(conv2D(0, 3, 1, "same"), "depth_multiplier", -1)), `"depth_multiplier" is -1, expected`},
		"axis":             {one("BatchNormalization", object{"axis": []int{1}, "epsilon": 0.1}), "axis is 1, only the channels"},
		"epsilon":          {one("BatchNormalization", object{"axis": []int{3}, "epsilon": 0}), "epsilon is 0"},
		"flatten":          {one("Flatten", object{}), `layer "pool" (GlobalAveragePooling2D): reads a flattened tensor`},
		"reshape":          {one("Reshape", object{"target_shape": []int{16, 12}}), "from 8x8x3 to [16 12] is not supported"},
		"dense":            {one("Dense", object{"units": "ten"}), `layer "x" (Dense): "units" is "ten", expected a number`},
		"negative padding": {one("ZeroPadding2D", pad2D(-1, 0, 0, 0)), `"padding" is [[-1,0],[0,0]], expected [[top, bottom], [left, right]]`},
		"text for a flag":  {one("Conv2D", with(conv2D(3, 1, 1, "same"), "use_bias", "no")), `"use_bias" is "no", expected true or false`},
		"concatenation":    {one("Concatenate", object{"axis": 1}), "axis is 1, only the channels (3 or -1)"},
		"interpolation":    {one("Resizing", object{"height": 8, "width": 8, "interpolation": "lanczos3"}), `interpolation is "lanczos3", expected bilinear`},
		"late resizing":    {newSketch().then("relu", "ReLU", object{}).then("x", "Resizing", object{"height": 8, "width": 8}).head(3), "is supported as the first layer only"},
		"negative scale":   {one("Rescaling", object{"scale": -1, "offset": 0}), "layers x multiply the picture by -1"},
		"two scales": {newSketch().then("a", "Rescaling", object{"scale": 2}).then("b", "Rescaling", object{"scale": 3}, "image").
			then("x", "Add", object{}, "a", "b").head(3), "the picture is scaled in two ways"},
		"shared weights":      {twice(one("BatchNormalization", object{"scale": false})), "is used 2 times: weights that layers share are not supported"},
		"output is a plane 2": {newSketch().then("x", "ZeroPadding2D", pad2D(1, 1, 1, 1)), "output is 10x10x3, expected one value per class: the model is no classifier"},
		"no such input":       {newSketch().then("x", "ReLU", object{}, "nobody").head(3), `input "nobody" does not exist`},
		"loop":                {newSketch().then("x", "ReLU", object{}, "x").head(3), `layer "x" depends on itself`},
		"sum of unlike":       {newSketch().then("p", "GlobalAveragePooling2D", object{}).then("x", "Add", object{}, "image", "p"), `layer "x" (Add): cannot add`},
		"name twice":          {newSketch().then("image", "ReLU", object{}, "image").head(3), `layer "image" (ReLU): the name is used twice`},
		"two inputs":          {newSketch().then("x", "InputLayer", object{"batch_input_shape": []any{nil, 8, 8, 3}}).head(3), "second input"},
		"output is a plane":   {newSketch().then("x", "ReLU", object{}), "output is 8x8x3, expected one value per class"},
		"missing weight":      {newSketch().then("x", "Conv2D", conv2D(2, 3, 1, "same")).head(2), `layer "x" (Conv2D): tensor "x/kernel" is missing, expected with shape [3 3 3 2]`},
		"shape of weight":     {newSketch().then("x", "Conv2D", conv2D(2, 3, 1, "same")).weight("x/kernel", 3, 3, 2, 3).head(2), `tensor "x/kernel": expected shape [3 3 3 2], found [3 3 2 3]`},
		"one weight too many": {newSketch().weight("y/kernel", 2).head(3), `1 tensors have no place in the topology of the same file, the first is "y/kernel" with shape [2]`},
		"weight twice":        {newSketch().weight("fc/bias", 2).head(3), `tensor "fc/bias" appears twice`},
	} {
		t.Run(name, func(t *testing.T) {
			path := c.sketch.save(t)
			_, err := Import(path, models.ImportOptions{})
			require.ErrorContains(t, err, "importer: "+path+": ")
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTFJSInputs(t *testing.T) {
	for want, shape := range map[string][]any{
		"the input's shape is [<nil> 0 8 3], expected [batch, height, width, channels]": {nil, 0, 8, 3},
		"the input's shape is [<nil> 8 8 4]":                                            {nil, 8, 8, 4},
		"the input's shape is [<nil> 8 8 <nil>]":                                        {nil, 8, 8, nil},
		"the input's shape is [<nil> 12]":                                               {nil, 12},
	} {
		s := newSketch().head(3)
		s.layers[0]["config"] = object{"batch_input_shape": shape}
		_, err := Import(s.save(t), models.ImportOptions{})
		require.ErrorContains(t, err, want)
	}
}

// replaceIn changes every occurrence of a text in model.json.
func replaceIn(old, new string) func(*testing.T, string) error {
	return func(t *testing.T, dir string) error {
		path := filepath.Join(dir, "model.json")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(text), old)
		return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, new)), 0o644)
	}
}

// TestTFJSShards damages what lies beside a good model.json.
func TestTFJSShards(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string) error
		want   string
	}{
		"missing": {func(_ *testing.T, dir string) error { return os.Remove(filepath.Join(dir, "b.bin")) }, `shard "b.bin" (2 of 2) is missing`},
		"short":   {func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, "b.bin"), 3) }, `shard "b.bin" has 3 bytes, expected 10: the weights need 32 bytes, the 2 shards hold 25`},
		"long":    {func(_ *testing.T, dir string) error { return os.Truncate(filepath.Join(dir, "b.bin"), 50) }, `shard "b.bin" has 50 bytes, expected 10`},
		"folder": {func(t *testing.T, dir string) error {
			require.NoError(t, os.Remove(filepath.Join(dir, "a.bin")))
			return os.Mkdir(filepath.Join(dir, "a.bin"), 0o755)
		}, `shard "a.bin" is no regular file`},
		"link out of the folder": {func(t *testing.T, dir string) error {
			other := filepath.Join(t.TempDir(), "a.bin")
			require.NoError(t, os.Rename(filepath.Join(dir, "a.bin"), other))
			return os.Symlink(other, filepath.Join(dir, "a.bin"))
		}, `shard "a.bin": `},
		"path out of the folder": {replaceIn("a.bin", "../a.bin"), `shard "../a.bin": the path leads out of the model's folder`},
		"absolute path":          {replaceIn("a.bin", "/etc/passwd"), `shard "/etc/passwd": the path leads out`},
		"other elements":         {replaceIn(`"float32"`, `"complex64"`), `elements are "complex64", expected float32`},
		"negative shape":         {replaceIn(`"shape": [`, `"shape": [-1,`), `"shape" is [-1,3,2], expected a list of whole numbers`},
		"huge shape":             {replaceIn(`"shape": [`, `"shape": [1000000000,`), "is not possible"},
		"no JSON":                {replaceIn("}", "]"), "the JSON is damaged: invalid character"},
		"no manifest":            {replaceIn("weightsManifest", "other"), "no weightsManifest"},
		"no shards":              {replaceIn(`"paths"`, `"other"`), "has no shards, the weights need 32 bytes"},
		"class":                  {replaceIn(`"Model"`, `"MyModel"`), `the model is of class "MyModel", expected Sequential or Functional`},
		"graph model": {replaceIn(`{
  "modelTopology"`, `{"format": "graph-model", "modelTopology"`), "graph model, which has no layers: convert"},
		"two outputs":  {replaceIn(`"output_layers": [`, `"output_layers": [["pool", 0, 0],`), "the model has 2 output layers, expected one"},
		"early output": {replaceIn(`"output_layers": [`, `"output_layers": [["pool", 0, 0]], "x": [`), "the output is not that of the last operation"},
	} {
		t.Run(name, func(t *testing.T) {
			path := newSketch().head(3).save(t)
			_, err := Import(path, models.ImportOptions{})
			require.NoError(t, err)
			require.NoError(t, c.damage(t, filepath.Dir(path)))
			_, err = Import(path, models.ImportOptions{})
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, c.want)
		})
	}
	require.ErrorContains(t, wrongSize([]string{"1", "2", "3", "4"}, []int64{40, 40, 39, 5}, 124, 125), `shard "3" has 39 bytes, expected 40`)
}

func FuzzTFJS(f *testing.F) {
	for _, s := range []*sketch{ // small, for the fuzzer to change and not to make smaller
		newSketch().then("pad", "ZeroPadding2D", pad2D(1, 1, 1, 1)),
		newSketch().then("conv", "Conv2D", conv2D(1, 3, 1, "same")).weight("conv/kernel", 3, 3, 3, 1),
		newSketch().then("bn", "BatchNormalization", object{"axis": 3, "epsilon": 1, "scale": false, "center": false}).
			weight("bn/moving_mean", 3).weight("bn/moving_variance", 3),
		newSketch().then("dw", "DepthwiseConv2D", conv2D(0, 1, 1, "same")).weight("dw/depthwise_kernel", 1, 1, 3, 1),
		newSketch().then("max", "MaxPooling2D", pool2D(2, 2, "same")),
	} {
		seed, err := os.ReadFile(s.head(3).save(f))
		require.NoError(f, err)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		files := fstest.MapFS{modelJSON: {Data: text}, "a.bin": {Data: make([]byte, 100)}, "b.bin": {Data: make([]byte, 36)}}
		if m, err := readTFJS(source{files: files}, models.ImportOptions{}); err == nil {
			require.Len(t, m.Classes, m.Activation.Classes(m.Shape(m.Output()).Elements()))
		}
	})
}

// FuzzConfig varies the topology of a .keras file.
func FuzzConfig(f *testing.F) {
	z, err := zip.OpenReader(unpacked(f, "inner3.keras"))
	require.NoError(f, err)
	defer z.Close()
	weights, err := fs.ReadFile(z, weightsH5)
	require.NoError(f, err)
	config, err := fs.ReadFile(z, configJSON)
	require.NoError(f, err)
	var values object
	require.NoError(f, json.Unmarshal(config, &values))
	prune(values)
	config, err = json.Marshal(values)
	require.NoError(f, err)
	f.Add(config)
	f.Fuzz(func(t *testing.T, text []byte) {
		files := fstest.MapFS{configJSON: {Data: text}, weightsH5: {Data: weights}}
		if m, err := readArchive(source{files: files}, models.ImportOptions{}); err == nil {
			require.Len(t, m.Classes, m.Activation.Classes(m.Shape(m.Output()).Elements()))
		}
	})
}

// prune leaves out what only training knows.
func prune(v any) {
	switch v := v.(type) {
	case object:
		for key, inner := range v {
			if strings.Contains(key, "initializer") || strings.Contains(key, "regularizer") || strings.Contains(key, "constraint") ||
				slices.Contains([]string{"dtype", "registered_name", "trainable", "build_config", "compile_config"}, key) {
				delete(v, key)
				continue
			}
			prune(inner)
		}
	case []any:
		for _, inner := range v {
			prune(inner)
		}
	}
}
