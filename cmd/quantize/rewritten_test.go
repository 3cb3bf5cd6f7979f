package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/evaluate"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/images"
	"edgeclassify/internal/safetensors"
	"edgeclassify/internal/testneed"
	"edgeclassify/preprocess"
)

// caffeMean is what the published ResNet50 takes from its pixels, in BGR.
var caffeMean = [3]float32{103.939, 116.779, 123.68}

// forPixels is the published ResNet50 for pixels p in another form:
// p*scale + offset, in the order of RGB or BGR. A batch norm turns them into what
// it was trained on; with rescaling, a Rescaling layer before that turns raw pixels
// into that form.
func forPixels(t *testing.T, order string, scale, offset float32, rescaling bool) *shards {
	type object = map[string]any
	const epsilon = 1e-3
	s, mean := readShards(t, testneed.Weights(t, "resnet50-keras")), slices.Clone(caffeMean[:])
	if order == "rgb" {
		slices.Reverse(mean)
		kernel := s.tensors["conv1/kernel"] // HWIO
		for at := 0; at < len(kernel); at += 3 * 64 {
			for o := range 64 {
				kernel[at+o], kernel[at+2*64+o] = kernel[at+2*64+o], kernel[at+o]
			}
		}
	}
	vector := func(name string, f func(c int) float32) {
		s.tensors[name], s.shapes[name], s.names = []float32{f(0), f(1), f(2)}, []int{3}, append(s.names, name)
	}
	vector("prepare/gamma", func(int) float32 { return 1 / scale })
	vector("prepare/beta", func(c int) float32 { return -offset/scale - mean[c] })
	vector("prepare/moving_mean", func(int) float32 { return 0 })
	vector("prepare/moving_variance", func(int) float32 { return 1 - epsilon })

	config := s.model["modelTopology"].(object)["model_config"].(object)["config"].(object)
	layers, last := config["layers"].([]any), "input_1"
	var added []any
	add := func(name, class string, config object) {
		config["name"] = name
		added = append(added, object{"name": name, "class_name": class, "config": config, "inbound_nodes": []any{[]any{[]any{last, 0, 0, object{}}}}})
		last = name
	}
	if rescaling {
		add("rescale", "Rescaling", object{"scale": scale, "offset": offset})
	}
	add("prepare", "BatchNormalization", object{"axis": []int{3}, "epsilon": epsilon, "center": true, "scale": true})
	layers[1].(object)["inbound_nodes"] = []any{[]any{[]any{last, 0, 0, object{}}}}
	config["layers"] = slices.Concat(layers[:1], added, layers[1:])
	return s
}

// tenClasses are those that the file with a head of its own tells apart.
const tenClasses = 10

// asTransformers writes the published ResNet50 with ten classes as a folder of Hugging
// Face's transformers: strides in the first convolution of a block, RGB.
func asTransformers(t *testing.T) string {
	s, folder := readShards(t, testneed.Weights(t, "resnet50-keras")), t.TempDir()
	var tensors []safetensors.Tensor
	add := func(name string, shape []int, values []float32) {
		var data []byte
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F32, Shape: shape, Data: data})
	}
	layer := func(to, conv, norm string) {
		shape, kernel := s.shapes[conv+"/kernel"], s.tensors[conv+"/kernel"]
		area, in, out := shape[0]*shape[1], shape[2], shape[3]
		oihw := make([]float32, len(kernel))
		for i, v := range kernel {
			o, c, at := i%out, i/out%in, i/out/in
			if conv == "conv1" {
				c = 2 - c
			}
			oihw[(o*in+c)*area+at] = v
		}
		add(to+".convolution.weight", []int{out, in, shape[0], shape[1]}, oihw)
		mean, variance := slices.Clone(s.tensors[norm+"/moving_mean"]), slices.Clone(s.tensors[norm+"/moving_variance"])
		for c := range mean {
			mean[c] -= s.tensors[conv+"/bias"][c]
			variance[c] += 1e-3 - 1e-5 // Keras' epsilon for PyTorch's
		}
		for name, values := range map[string][]float32{
			"weight": s.tensors[norm+"/gamma"], "bias": s.tensors[norm+"/beta"], "running_mean": mean, "running_var": variance,
		} {
			add(to+".normalization."+name, []int{out}, values)
		}
	}
	layer("resnet.embedder.embedder", "conv1", "bn_conv1")
	for stage, blocks := range []int{3, 4, 6, 3} {
		for block := range blocks {
			from := strconv.Itoa(stage+2) + string(rune('a'+block)) + "_branch"
			to := "resnet.encoder.stages." + strconv.Itoa(stage) + ".layers." + strconv.Itoa(block)
			for i, branch := range []string{"2a", "2b", "2c"} {
				layer(to+".layer."+strconv.Itoa(i), "res"+from+branch, "bn"+from+branch)
			}
			if block == 0 {
				layer(to+".shortcut", "res"+from+"1", "bn"+from+"1")
			}
		}
	}
	weight, names := make([]float32, tenClasses*2048), map[string]string{}
	for i := range weight {
		weight[i] = s.tensors["fc1000/kernel"][i%2048*1000+i/2048]
	}
	for c := range tenClasses {
		names[strconv.Itoa(c)] = "thing " + strconv.Itoa(c)
	}
	add("classifier.1.weight", []int{tenClasses, 2048}, weight)
	add("classifier.1.bias", []int{tenClasses}, s.tensors["fc1000/bias"][:tenClasses])
	require.NoError(t, atomicfile.Write(filepath.Join(folder, "model.safetensors"), 0o600, func(w io.Writer) error { return safetensors.Write(w, nil, tensors) }))
	for file, content := range map[string]any{
		"config.json": map[string]any{"model_type": "resnet", "architectures": []string{"ResNetForImageClassification"},
			"depths": []int{3, 4, 6, 3}, "hidden_sizes": []int{256, 512, 1024, 2048}, "embedding_size": 64, "num_channels": 3,
			"layer_type": "bottleneck", "hidden_act": "relu", "downsample_in_first_stage": false, "downsample_in_bottleneck": true, "id2label": names},
		"preprocessor_config.json": map[string]any{"image_processor_type": "ConvNextImageProcessor", "size": map[string]int{"shortest_edge": 224}, "crop_pct": 0.875,
			"resample": 2, "do_resize": true, "do_rescale": true, "rescale_factor": 1.0 / 255, "do_normalize": true,
			"image_mean": []float32{caffeMean[2] / 255, caffeMean[1] / 255, caffeMean[0] / 255}, "image_std": []float64{1.0 / 255, 1.0 / 255, 1.0 / 255}},
	} {
		text, err := json.Marshal(content)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, file), text, 0o600))
	}
	return folder
}

// One network in every form that people have it in gives the same logits, with the
// flags that say its preprocessing or with none where its file says it.
func TestRewrittenResNet50(t *testing.T) {
	needWeights(t)
	onnx, h5 := filepath.Join(t.TempDir(), "r.onnx"), filepath.Join(t.TempDir(), "r.h5")
	code, _, errs := execute("export", "-onnx", onnx, "-float", "resnet50-keras")
	require.Zero(t, code, errs)
	python := testneed.Python(t, "pip install h5py", "h5py", "numpy")
	out, err := exec.Command(python, "testdata/tfjs_to_h5.py", testneed.Weights(t, "resnet50-keras"), h5).CombinedOutput()
	require.NoError(t, err, "%s", out)

	photos, err := images.List("../../testdata/photos")
	require.NoError(t, err)
	var pixels [][]uint8
	for _, file := range photos[:3] {
		rgb, err := preprocess.Caffe().File(file)
		require.NoError(t, err)
		pixels = append(pixels, rgb)
	}
	want := logitsOf(t, pixels, "-model", "resnet50-keras")
	for name, args := range map[string][]string{
		"0..1":                 {"-model", forPixels(t, "rgb", 1.0/255, 0, false).write(t), "-preprocess", "unit", "-interpolation", "bilinear"},
		"mean and std 0.5":     {"-model", forPixels(t, "rgb", 1/127.5, -1, false).write(t), "-order", "rgb", "-mean", "127.5", "-std", "127.5"},
		"mean and std 0.5 BGR": {"-model", forPixels(t, "bgr", 1/127.5, -1, false).write(t), "-preprocess", "keras-tf", "-order", "bgr"},
		"Rescaling":            {"-model", forPixels(t, "rgb", 1/127.5, -1, true).write(t)},
		"ONNX":                 {"-model", onnx},
		"h5":                   {"-model", h5},
		"transformers":         {"-model", asTransformers(t)},
	} {
		got := logitsOf(t, pixels, args...)
		for i := range pixels {
			n := len(got[i])
			require.Contains(t, []int{1000, tenClasses}, n, name)
			reach := slices.Max(want[i]) - slices.Min(want[i])
			for c, v := range got[i] {
				require.InDelta(t, want[i][c], v, float64(1e-3*reach), "%s: %s: class %d", name, photos[i], c)
			}
		}
	}
}

// logitsOf runs the float network that build would quantize on RGB pixels.
func logitsOf(t *testing.T, pixels [][]uint8, args ...string) [][]float32 {
	t.Helper()
	o, err := parseBuild(append(args, "-out", "r.q8"), cli.Streams{Out: io.Discard, Err: io.Discard})
	require.NoError(t, err)
	g, _, err := o.network(o.model)
	require.NoError(t, err, strings.Join(args, " "))
	folded, err := g.Logits().Fold()
	require.NoError(t, err)
	e, err := fp32.NewExecutor(folded, 2)
	require.NoError(t, err)
	out := make([][]float32, len(pixels))
	for i, rgb := range pixels {
		logits, err := e.RunImage(rgb, nil)
		require.NoError(t, err)
		out[i] = slices.Clone(logits)
	}
	return out
}

// A network that sees its pictures otherwise than in training is told of, given
// pictures of known class.
func TestWrongPreprocessingIsTold(t *testing.T) {
	needWeights(t)
	for flags, want := range map[string]string{
		"":                     "",
		"-preprocess keras-tf": "with -preprocess keras-caffe",
		"-order rgb":           "with -order bgr",
	} {
		args := append(strings.Fields(flags), "-model", "resnet50-keras", "-images", testneed.Sample(t, "images"), "-limit", "60", "-out", "r.q8")
		var errs bytes.Buffer
		s := cli.Streams{Out: io.Discard, Err: &errs}
		o, err := parseBuild(args, s)
		require.NoError(t, err)
		m, _, err := o.network(o.model)
		require.NoError(t, err)
		b := &build{buildOptions: o, streams: s, graph: m.Logits()}
		b.Images, err = evaluate.Draw(o.images, m.Preprocess, o.limit, o.seed)
		require.NoError(t, err)
		require.NoError(t, b.tryPreprocessing(t.Context()))
		require.Contains(t, errs.String(), want)
		require.Equal(t, want == "", errs.Len() == 0, "%s", errs.String())
	}
}
