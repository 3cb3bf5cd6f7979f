// Package kerastest makes models as Keras' tools write them, with random weights.
package kerastest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Object is a JSON object.
type Object = map[string]any

// TeachableMachine writes a folder as Teachable Machine exports it: a Sequential
// model of MobileNetV2 0.35 with its pooling and of a dense head, for pictures of
// side x side and the given labels. It returns the folder.
func TeachableMachine(t testing.TB, side int, labels ...string) string {
	t.Helper()
	w := &writer{rng: rand.New(rand.NewPCG(35, uint64(side)))}
	features := Object{"class_name": "Sequential", "config": Object{"name": "sequential_1", "layers": []any{
		w.mobileNet(side),
		Object{"class_name": "GlobalAveragePooling2D", "config": Object{"name": "global_average_pooling2d_GlobalAveragePooling2D1", "data_format": "channels_last"}},
	}}}
	dense := func(name string, in, units int, config Object) Object {
		config["name"], config["units"] = name, units
		w.tensor(name+"/kernel", 2/float64(in), in, units)
		return Object{"class_name": "Dense", "config": config}
	}
	hidden := dense("dense_Dense1", 1280, 100, Object{"activation": "relu", "use_bias": true, "batch_input_shape": []any{nil, 1280}})
	w.tensor("dense_Dense1/bias", 0.01, 100)
	head := Object{"class_name": "Sequential", "config": Object{"name": "sequential_3", "layers": []any{hidden,
		dense("dense_Dense2", 100, len(labels), Object{"activation": "softmax", "use_bias": false})}}}
	model := Object{
		"modelTopology": Object{"class_name": "Sequential", "keras_version": "tfjs-layers 1.3.1", "backend": "tensor_flow.js",
			"config": Object{"name": "sequential_4", "layers": []any{features, head}}},
		"weightsManifest": []any{Object{"paths": []string{"weights.bin"}, "weights": w.manifest}},
	}
	metadata := Object{"tfjsVersion": "1.3.1", "tmVersion": "2.4.5", "packageName": "@teachablemachine/image", "packageVersion": "0.8.4-alpha2",
		"userMetadata": Object{}, "modelName": "tm-my-image-model", "labels": labels, "imageSize": side}

	dir := t.TempDir()
	for name, content := range map[string]any{"model.json": model, "metadata.json": metadata} {
		text, err := json.Marshal(content)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "weights.bin"), w.data, 0o644))
	return dir
}

// writer collects the layers of a functional model and its weights.
type writer struct {
	rng      *rand.Rand
	layers   []any
	last     string
	channels int
	manifest []Object
	data     []byte
}

// tensor appends normal values of that variance.
func (w *writer) tensor(name string, variance float64, shape ...int) {
	w.values(name, func() float64 { return w.rng.NormFloat64() * math.Sqrt(variance) }, shape...)
}

func (w *writer) values(name string, value func() float64, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	for range n {
		w.data = binary.LittleEndian.AppendUint32(w.data, math.Float32bits(float32(value())))
	}
	w.manifest = append(w.manifest, Object{"name": name, "shape": shape, "dtype": "float32"})
}

// layer appends a layer that reads the last one and others.
func (w *writer) layer(name, class string, config Object, others ...string) {
	config["name"] = name
	var refs []any
	for _, in := range append(others, w.last) {
		refs = append(refs, []any{in, 0, 0, Object{}})
	}
	w.layers = append(w.layers, Object{"name": name, "class_name": class, "config": config, "inbound_nodes": []any{refs}})
	w.last = name
}

// normalized appends a convolution without bias, its batch norm and, where active, a
// ReLU6.
func (w *writer) normalized(name, class, norm, act string, config Object, outputs int, active bool) {
	size := config["kernel_size"].([]int)[0]
	if class == "DepthwiseConv2D" {
		w.tensor(name+"/depthwise_kernel", 2/float64(size*size), size, size, w.channels, 1)
	} else {
		w.tensor(name+"/kernel", 2/float64(size*size*w.channels), size, size, w.channels, outputs)
		config["filters"] = outputs
		w.channels = outputs
	}
	config["use_bias"], config["activation"], config["data_format"] = false, "linear", "channels_last"
	w.layer(name, class, config)
	uniform := func(from, to float64) func() float64 {
		return func() float64 { return from + (to-from)*w.rng.Float64() }
	}
	w.values(norm+"/gamma", uniform(0.8, 1.2), w.channels)
	w.values(norm+"/beta", uniform(-0.2, 0.2), w.channels)
	w.values(norm+"/moving_mean", uniform(-0.1, 0.1), w.channels)
	w.values(norm+"/moving_variance", uniform(0.8, 1.2), w.channels)
	w.layer(norm, "BatchNormalization", Object{"axis": -1, "epsilon": 0.001, "center": true, "scale": true})
	if active {
		w.layer(act, "ReLU", Object{"max_value": 6})
	}
}

// mobileNet is MobileNetV2 with a width of 0.35 and without its classifier, of
// keras.applications (Sandler et al., arXiv:1801.04381, table 2).
func (w *writer) mobileNet(side int) Object {
	w.last, w.channels = "input_1", 3
	w.layers = []any{Object{"name": w.last, "class_name": "InputLayer", "inbound_nodes": []any{},
		"config": Object{"name": w.last, "batch_input_shape": []any{nil, side, side, 3}, "dtype": "float32"}}}
	w.layer("Conv1_pad", "ZeroPadding2D", Object{"padding": [][]int{{0, 1}, {0, 1}}})
	w.normalized("Conv1", "Conv2D", "bn_Conv1", "Conv1_relu", window(3, 2, "valid"), 16, true)
	stages := []struct{ expansion, channels, blocks, stride int }{
		{1, 8, 1, 1}, {6, 8, 2, 2}, {6, 16, 3, 2}, {6, 24, 4, 2}, {6, 32, 3, 1}, {6, 56, 3, 2}, {6, 112, 1, 1}}
	block := 0
	for _, s := range stages {
		for i := range s.blocks {
			stride := s.stride
			if i > 0 {
				stride = 1
			}
			w.block(block, s.expansion, s.channels, stride)
			block++
		}
	}
	w.normalized("Conv_1", "Conv2D", "Conv_1_bn", "out_relu", window(1, 1, "valid"), 1280, true)
	return Object{"class_name": "Model", "config": Object{"name": "model1", "layers": w.layers,
		"input_layers": []any{[]any{"input_1", 0, 0}}, "output_layers": []any{[]any{"out_relu", 0, 0}}}}
}

func window(size, stride int, padding string) Object {
	return Object{"kernel_size": []int{size, size}, "strides": []int{stride, stride}, "padding": padding, "dilation_rate": []int{1, 1}}
}

// block is an inverted residual.
func (w *writer) block(number, expansion, channels, stride int) {
	prefix := fmt.Sprintf("block_%d_", number)
	if number == 0 {
		prefix = "expanded_conv_"
	}
	input, inputs := w.last, w.channels
	if expansion > 1 {
		w.normalized(prefix+"expand", "Conv2D", prefix+"expand_BN", prefix+"expand_relu", window(1, 1, "same"), expansion*inputs, true)
	}
	padding := "same"
	if stride == 2 {
		padding = "valid"
		w.layer(prefix+"pad", "ZeroPadding2D", Object{"padding": [][]int{{0, 1}, {0, 1}}})
	}
	w.normalized(prefix+"depthwise", "DepthwiseConv2D", prefix+"depthwise_BN", prefix+"depthwise_relu", window(3, stride, padding), 0, true)
	w.normalized(prefix+"project", "Conv2D", prefix+"project_BN", "", window(1, 1, "same"), channels, false)
	if stride == 1 && inputs == channels {
		w.layer(prefix+"add", "Add", Object{}, input)
	}
}
