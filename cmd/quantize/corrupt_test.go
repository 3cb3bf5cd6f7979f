package main

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// shards are the weights of a TensorFlow.js model in one piece.
type shards struct {
	model   map[string]any
	tensors map[string][]float32 // by name
	names   []string
	shapes  map[string][]int
}

func readShards(t *testing.T, folder string) *shards {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "model.json"))
	require.NoError(t, err)
	var manifest struct {
		WeightsManifest []struct {
			Paths   []string
			Weights []struct {
				Name  string
				Shape []int
			}
		}
	}
	s := &shards{tensors: map[string][]float32{}, shapes: map[string][]int{}}
	require.NoError(t, json.Unmarshal(text, &manifest))
	require.NoError(t, json.Unmarshal(text, &s.model))
	for _, group := range manifest.WeightsManifest {
		var data []byte
		for _, path := range group.Paths {
			shard, err := os.ReadFile(filepath.Join(folder, path))
			require.NoError(t, err)
			data = append(data, shard...)
		}
		for _, w := range group.Weights {
			n := 1
			for _, side := range w.Shape {
				n *= side
			}
			values := make([]float32, n)
			for i := range values {
				values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
			}
			data = data[4*n:]
			s.tensors[w.Name], s.shapes[w.Name], s.names = values, w.Shape, append(s.names, w.Name)
		}
	}
	return s
}

// write makes a folder of the model.
func (s *shards) write(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	var data []byte
	var weights []any
	for _, name := range s.names {
		for _, v := range s.tensors[name] {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		weights = append(weights, map[string]any{"name": name, "shape": s.shapes[name], "dtype": "float32"})
	}
	s.model["weightsManifest"] = []any{map[string]any{"paths": []string{"weights.bin"}, "weights": weights}}
	text, err := json.Marshal(s.model)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "model.json"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "weights.bin"), data, 0o600))
	return folder
}

// add appends a tensor of normal values.
func (s *shards) add(rng *rand.Rand, name string, deviation float64, shape ...int) {
	n := 1
	for _, side := range shape {
		n *= side
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(deviation * rng.NormFloat64())
	}
	s.tensors[name], s.shapes[name], s.names = values, shape, append(s.names, name)
}

// scale multiplies a channel by a factor where the tensors of one layer make it
// and divides by it where the kernel of the next, in HWIO, reads it.
func (s *shards) scale(channel int, factor float32, next string, makers ...string) {
	for _, maker := range makers {
		shape := s.shapes[maker]
		for i := channel; i < len(s.tensors[maker]); i += shape[len(shape)-1] {
			s.tensors[maker][i] *= factor
		}
	}
	kernel, shape := s.tensors[next], s.shapes[next]
	for i := channel * shape[3]; i < len(kernel); i += shape[2] * shape[3] {
		for o := range shape[3] {
			kernel[i+o] /= factor
		}
	}
}

// smallCrop is the side of smallModel's pictures.
const smallCrop = 32

// smallModel is a random classifier of 12 classes with two convolutions.
func smallModel() *shards {
	type object = map[string]any
	s, rng := &shards{tensors: map[string][]float32{}, shapes: map[string][]int{}}, rand.New(rand.NewPCG(4, 0))
	s.add(rng, "first/kernel", 0.02, 3, 3, 3, 16)
	s.add(rng, "first/bias", 0.1, 16)
	s.add(rng, "second/kernel", 0.2, 3, 3, 16, 24)
	s.add(rng, "second/bias", 0.1, 24)
	s.add(rng, "classes/kernel", 1, 24, 12)
	s.add(rng, "classes/bias", 0.1, 12)
	var layers []any
	last := ""
	add := func(name, class string, config object) {
		var inbound []any
		if last != "" {
			inbound = []any{[]any{[]any{last, 0, 0, object{}}}}
		}
		config["name"], last = name, name
		layers = append(layers, object{"name": name, "class_name": class, "config": config, "inbound_nodes": inbound})
	}
	conv := func(filters int) object {
		return object{"filters": filters, "kernel_size": []int{3, 3}, "strides": []int{2, 2}, "padding": "same",
			"use_bias": true, "activation": "relu", "dilation_rate": []int{1, 1}, "data_format": "channels_last"}
	}
	add("image", "InputLayer", object{"batch_input_shape": []any{nil, smallCrop, smallCrop, 3}, "data_format": "channels_last"})
	add("first", "Conv2D", conv(16))
	add("second", "Conv2D", conv(24))
	add("pool", "GlobalAveragePooling2D", object{})
	add("classes", "Dense", object{"units": 12, "activation": "softmax", "use_bias": true})
	s.model = object{"modelTopology": object{"model_config": object{"class_name": "Model", "config": object{
		"name": "small", "layers": layers, "input_layers": []any{[]any{"image", 0, 0}}, "output_layers": []any{[]any{last, 0, 0}}}}}}
	return s
}

// corrupted is ResNet50 with one in ten channels inside the blocks times 16 to
// 256, and what reads them divided by as much. It is the same function, but
// ranges that all channels share leave few codes for the others.
func corrupted(t *testing.T) string {
	s, rng := readShards(t, testneed.Weights(t, "resnet50-keras")), rand.New(rand.NewPCG(3, 0))
	blocks := 0
	for _, name := range s.names {
		block, ok := strings.CutSuffix(name, "_branch2a/kernel")
		if !ok {
			continue
		}
		blocks++
		for _, link := range [][2]string{{"2a", "2b"}, {"2b", "2c"}} {
			norm := "bn" + strings.TrimPrefix(block, "res") + "_branch" + link[0]
			for c := range s.tensors[norm+"/gamma"] {
				if c == 0 || rng.IntN(10) == 0 {
					s.scale(c, float32(math.Ldexp(1, 4+rng.IntN(5))), block+"_branch"+link[1]+"/kernel", norm+"/gamma", norm+"/beta")
				}
			}
		}
	}
	require.Equal(t, 16, blocks)
	return s.write(t)
}
