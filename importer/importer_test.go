package importer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/safetensors"
	"edgeclassify/internal/testneed"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// tiny are the shapes of a ResNet10 of 4 to 32 channels and three classes.
func tiny() map[string][]int {
	shapes := map[string][]int{"conv1.weight": {4, 3, 7, 7}, "fc.weight": {3, 32}, "fc.bias": {3}}
	norm := func(name string, n int) {
		for _, p := range []string{"weight", "bias", "running_mean", "running_var"} {
			shapes[name+"."+p] = []int{n}
		}
	}
	norm("bn1", 4)
	in := 4
	for stage, out := range []int{4, 8, 16, 32} {
		name := fmt.Sprintf("layer%d.0.", stage+1)
		shapes[name+"conv1.weight"], shapes[name+"conv2.weight"] = []int{out, in, 3, 3}, []int{out, out, 3, 3}
		norm(name+"bn1", out)
		norm(name+"bn2", out)
		if in != out {
			shapes[name+"downsample.0.weight"] = []int{out, in, 1, 1}
			norm(name+"downsample.1", out)
		}
		in = out
	}
	return shapes
}

// renamed are shapes under other names.
func renamed(shapes map[string][]int, rename func(string) string) map[string][]int {
	all := map[string][]int{}
	for name, shape := range shapes {
		all[rename(name)] = shape
	}
	return all
}

func prefixed(prefix string) func(string) string {
	return func(name string) string { return prefix + name }
}

// saved are half-precision tensors of the given shapes, each filled with value.
func saved(t testing.TB, shapes map[string][]int, value [2]byte) (tensors []safetensors.Tensor) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		n, ok := weights.Elements(shapes[name], 1<<22)
		require.True(t, ok)
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F16, Shape: shapes[name], Data: bytes.Repeat(value[:], n)})
	}
	if _, ok := shapes["bn1.weight"]; ok {
		tensors = append(tensors, safetensors.Tensor{Name: "bn1.num_batches_tracked", DType: safetensors.I64, Shape: []int{}, Data: make([]byte, 8)})
	}
	return tensors
}

func writeTensors(t testing.TB, path string, tensors []safetensors.Tensor) {
	t.Helper()
	require.NoError(t, atomicfile.Write(path, 0o644, func(w io.Writer) error { return safetensors.Write(w, nil, tensors) }))
}

func save(t testing.TB, path string, shapes map[string][]int, value [2]byte) string {
	t.Helper()
	writeTensors(t, path, saved(t, shapes, value))
	return path
}

var one, two = [2]byte{0, 0x3c}, [2]byte{0, 0x40}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func load(t testing.TB, path string, o models.ImportOptions) *models.Imported {
	t.Helper()
	m, err := Import(path, o)
	require.NoError(t, err)
	return m
}

func first(t testing.TB, m *models.Imported) float32 {
	t.Helper()
	return node(t, m.Graph, "conv1").Op.(*models.Conv).Weight[0]
}

func TestImportSafetensors(t *testing.T) {
	dir := t.TempDir()
	for name, prefix := range map[string]string{"net.safetensors": "", "model.bin": "module.", "x": "_orig_mod.module.model.backbone."} {
		m := load(t, save(t, filepath.Join(dir, name), renamed(tiny(), prefixed(prefix)), one), models.ImportOptions{})
		require.Equal(t, "ResNet10", m.Name)
		require.Len(t, m.Classes, 3)
		require.Equal(t, float32(1), first(t, m))
		require.Empty(t, m.ClassesFrom+m.PreprocessFrom)
		require.Empty(t, m.Notes)
	}
	m := load(t, filepath.Join(dir, "x"), models.ImportOptions{Input: preprocess.Size{H: 96, W: 128}})
	require.Equal(t, preprocess.Size{H: 96, W: 128}, m.Preprocess.Crop)
	require.Equal(t, m.Preprocess.Input(), m.Input())
}

func TestMovingAverage(t *testing.T) {
	dir := t.TempDir()
	both := saved(t, renamed(tiny(), prefixed("model.")), one)
	both = append(both, saved(t, renamed(tiny(), prefixed("ema_model.module.")), two)...)
	path := filepath.Join(dir, "both")
	writeTensors(t, path, both)
	m := load(t, path, models.ImportOptions{})
	require.Equal(t, float32(1), first(t, m))
	require.Equal(t, []string{`A moving average of the weights lies beside them under "ema_model": -ema takes it.`}, m.Notes)
	m = load(t, path, models.ImportOptions{EMA: true})
	require.Equal(t, []string{`The weights are the moving average under "ema_model".`}, m.Notes)
	require.Equal(t, float32(2), first(t, m))

	plain := save(t, filepath.Join(dir, "plain"), tiny(), one)
	_, err := Import(plain, models.ImportOptions{EMA: true})
	require.ErrorContains(t, err, "holds no moving average (EMA) of the weights; it has ")

	counted := renamed(tiny(), prefixed("module."))
	counted["n_averaged"] = []int{1}
	m = load(t, save(t, filepath.Join(dir, "counted"), counted, one), models.ImportOptions{EMA: true})
	require.Equal(t, []string{"The weights are a moving average (EMA)."}, m.Notes)
}

func TestFolders(t *testing.T) {
	three := []labels.Class{{ID: "0", Name: "ant"}, {ID: "1", Name: "bee"}, {ID: "2", Name: "cat"}}

	timm := t.TempDir()
	save(t, filepath.Join(timm, "model.safetensors"), tiny(), one)
	write(t, timm, "pytorch_model.bin", "not looked at")
	write(t, timm, "README.md", "---")
	write(t, timm, "config.json", `{"architecture": "resnet10t", "num_classes": 3, "label_names": ["ant", "bee", "cat"],
		"pretrained_cfg": {"input_size": [3, 96, 96], "interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}`)
	for _, path := range []string{timm, filepath.Join(timm, "model.safetensors")} {
		m := load(t, path, models.ImportOptions{})
		require.Equal(t, three, m.Classes)
		require.Equal(t, "config.json", m.ClassesFrom)
		require.Equal(t, "config.json", m.PreprocessFrom)
		require.Equal(t, preprocess.Bicubic, m.Preprocess.Filter)
		require.Equal(t, preprocess.Square(96), m.Preprocess.Crop)
		require.Equal(t, m.Preprocess.Input(), m.Input())
	}
	m := load(t, timm, models.ImportOptions{Input: preprocess.Square(64)})
	require.Equal(t, preprocess.Square(64), m.Preprocess.Crop)
	require.Equal(t, 71, m.Preprocess.Resize.Short)
	write(t, timm, "config.json", `{"architecture": "resnetaa10"}`)
	require.Contains(t, load(t, timm, models.ImportOptions{}).Name, "aliasing")

	hub := t.TempDir() // transformers', in two shards
	names := renamed(tiny(), func(name string) string {
		name = strings.NewReplacer("fc.", "classifier.1.", "downsample.0", "shortcut.convolution", "downsample.1", "shortcut.normalization").Replace(name)
		for i := range 4 {
			at := fmt.Sprintf("layer%d.0.", i+1)
			for j := range 2 {
				name = strings.Replace(name, fmt.Sprintf("%sconv%d", at, j+1), fmt.Sprintf("%slayer.%d.convolution", at, j), 1)
				name = strings.Replace(name, fmt.Sprintf("%sbn%d", at, j+1), fmt.Sprintf("%slayer.%d.normalization", at, j), 1)
			}
			name = strings.Replace(name, at, fmt.Sprintf("resnet.encoder.stages.%d.layers.0.", i), 1)
		}
		return strings.NewReplacer("conv1", "resnet.embedder.embedder.convolution", "bn1", "resnet.embedder.embedder.normalization").Replace(name)
	})
	shards, index := [2]map[string][]int{{}, {}}, map[string]string{}
	for i, name := range slices.Sorted(maps.Keys(names)) {
		shards[i%2][name] = names[name]
		index[name] = fmt.Sprintf("model-%d-of-2.safetensors", i%2+1)
	}
	for i, shard := range shards {
		save(t, filepath.Join(hub, fmt.Sprintf("model-%d-of-2.safetensors", i+1)), shard, one)
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"total_size": 1}, "weight_map": index})
	require.NoError(t, err)
	write(t, hub, "model.safetensors.index.json", string(text))
	write(t, hub, "config.json", `{"model_type": "resnet", "layer_type": "basic", "id2label": {"0": "ant", "1": "bee", "2": "cat"}}`)
	write(t, hub, "preprocessor_config.json", `{"do_resize": true, "size": {"shortest_edge": 64}, "crop_pct": 0.875, "resample": 3, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`)
	m = load(t, hub, models.ImportOptions{})
	require.Equal(t, "ResNet10", m.Name)
	require.Equal(t, three, m.Classes)
	require.Equal(t, "preprocessor_config.json", m.PreprocessFrom)
	require.Equal(t, preprocess.Square(64), m.Preprocess.Crop)

	require.NoError(t, os.Remove(filepath.Join(hub, "model-2-of-2.safetensors")))
	_, err = Import(hub, models.ImportOptions{})
	require.ErrorContains(t, err, `shard "model-2-of-2.safetensors": `)
	write(t, hub, "model.safetensors.index.json", `{"weight_map": {"a": "../net"}}`)
	_, err = Import(hub, models.ImportOptions{})
	require.ErrorContains(t, err, `shard "../net": `)
	write(t, hub, "model.safetensors.index.json", `{"weight_map": {"a": "model-1-of-2.safetensors"}}`)
	_, err = Import(hub, models.ImportOptions{})
	require.ErrorContains(t, err, `tensor "a" is missing in shard "model-1-of-2.safetensors"`)
}

// TestFilesBeside takes what lies beside a network only where it can be of no other.
func TestFilesBeside(t *testing.T) {
	dir := t.TempDir()
	path := save(t, filepath.Join(dir, "mine"), tiny(), one)
	write(t, dir, "labels.txt", "ant\nbee\ncat\n")
	write(t, dir, "config.json", `{"pretrained_cfg": {"input_size": [3, 64, 64], "crop_mode": "border"}}`)
	m := load(t, path, models.ImportOptions{})
	require.Equal(t, "labels.txt", m.ClassesFrom)
	require.Equal(t, "bee", m.Classes[1].Name)
	require.Empty(t, m.PreprocessFrom)
	require.Len(t, m.Notes, 1)
	require.Contains(t, m.Notes[0], "config.json is not used for preprocessing: ")

	write(t, dir, "labels.txt", "ant\nbee\n")
	m = load(t, path, models.ImportOptions{})
	require.Empty(t, m.ClassesFrom)
	require.Contains(t, m.Notes, "labels.txt names 2 classes and is not used: the network has 3.")

	save(t, filepath.Join(dir, "other"), tiny(), two)
	write(t, dir, "labels.txt", "ant\nbee\ncat\n")
	m = load(t, path, models.ImportOptions{})
	require.Empty(t, m.ClassesFrom)
	require.Empty(t, m.Notes)
	_, err := Import(dir, models.ImportOptions{})
	require.ErrorContains(t, err, "holds several networks, mine and other: name one")
}

func TestWhatIsNoNetwork(t *testing.T) {
	for want, content := range map[string]string{
		"begins with zeros":                "\x00\x00\x00\x00",
		"is empty":                         "",
		"git-LFS pointer":                  "version https://git-lfs.github.com/spec/v1\n",
		"is a web page":                    " <!DOCTYPE html><html>",
		"TensorFlow Lite":                  "\x1c\x00\x00\x00TFL3\x14\x00",
		"graph model":                      `{"format": "graph-model", "x": {}}`,
		"llama.cpp":                        "GGUF\x03\x00",
		"compressed file":                  "\x1f\x8b\x08\x00",
		"is an array of NumPy":             "\x93NUMPY\x01\x00",
		"is cut short: it begins as a zip": "PK\x03\x04\x00\x00\x00",
		"a pickle that torch.save did not": "\x80\x04\x95\x00",
		"is of no known kind: want one of": "?",
		"tar archive":                      strings.Repeat("x", 257) + "ustar\x0000",
	} {
		path := write(t, t.TempDir(), "net.pth", content)
		_, err := Import(path, models.ImportOptions{})
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, want)
	}
	for want, name := range map[string]string{"SavedModel": "saved_model.pb", "has no network in it": "README.md"} {
		dir := t.TempDir()
		write(t, dir, name, "\x08\x01\x12")
		_, err := Import(dir, models.ImportOptions{})
		require.ErrorContains(t, err, want)
	}
	_, err := Import(write(t, t.TempDir(), "net", "\x08\x08\x12\x04test"), models.ImportOptions{})
	require.ErrorContains(t, err, "damaged: it has no graph", "ONNX")
	_, err = Import(filepath.Join(t.TempDir(), "absent"), models.ImportOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Import("torch/testdata/model.pth", models.ImportOptions{})
	require.ErrorContains(t, err, "is a whole pickled object of class torch.nn.modules.linear.Linear")
	_, err = Import("torch/testdata/script.pt", models.ImportOptions{})
	require.ErrorContains(t, err, "is TorchScript")
}

func TestOtherNetworks(t *testing.T) {
	dir := t.TempDir()
	for want, shapes := range map[string]map[string][]int{
		`looks like a MobileNetV2 of torchvision`:                                   {"module.features.1.conv.0.0.weight": {32, 1, 3, 3}, "module.classifier.1.weight": {7, 1280}},
		`torchvision.models.mobilenet_v2(num_classes=7)`:                            {"module.features.1.conv.0.0.weight": {32, 1, 3, 3}, "module.classifier.1.weight": {7, 1280}},
		`k.removeprefix("module.")`:                                                 {"module.features.1.conv.0.0.weight": {32, 1, 3, 3}, "module.classifier.1.weight": {7, 1280}},
		`classifier.6.weight [7 8], features.28.weight [8]`:                         {"features.28.weight": {8}, "classifier.6.weight": {7, 8}},
		`is a network of unknown names`:                                             {"a.weight": {7, 8}},
		`ResNet10: tensor "layer1.0.bn2.weight" is missing`:                         func() map[string][]int { s := tiny(); delete(s, "layer1.0.bn2.weight"); return s }(),
		`the first is "layer4.1.bn1.bias" with shape [2]`:                           func() map[string][]int { s := tiny(); s["layer4.1.bn1.bias"] = []int{2}; return s }(),
		`no classifier: want a fully connected layer over 32 values; the file has `: func() map[string][]int { s := tiny(); s["fc.weight"] = []int{10, 64}; return s }(),
		`fc.weight [10 64]`:                                                         func() map[string][]int { s := tiny(); s["fc.weight"] = []int{10, 64}; return s }(),
	} {
		_, err := Import(save(t, filepath.Join(dir, "x"), shapes, one), models.ImportOptions{})
		require.ErrorContains(t, err, want)
	}
	_, err := Import(filepath.Join(dir, "x"), models.ImportOptions{Architecture: "efficientnet_b0"})
	require.Error(t, err)
	save(t, filepath.Join(dir, "x"), map[string][]int{"conv_stem.weight": {8, 3, 3, 3}, "classifier.weight": {5, 8}}, one)
	_, err = Import(filepath.Join(dir, "x"), models.ImportOptions{Architecture: "efficientnet_b0"})
	require.ErrorContains(t, err, `timm.create_model("efficientnet_b0", num_classes=5)`)
	write(t, dir, "config.json", `{"model_type": "vit"}`)
	_, err = Import(filepath.Join(dir, "x"), models.ImportOptions{})
	require.ErrorContains(t, err, "optimum-cli export onnx --task image-classification --model "+dir)
}

func TestImportOfIntegers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.safetensors")
	var tensors []safetensors.Tensor
	for name, shape := range tiny() {
		n, _ := weights.Elements(shape, 1<<20)
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.I8, Shape: shape, Data: make([]byte, n)})
	}
	require.NoError(t, atomicfile.Write(path, 0o644, func(w io.Writer) error { return safetensors.Write(w, nil, tensors) }))
	_, err := Import(path, models.ImportOptions{})
	require.ErrorContains(t, err, `tensor "conv1.weight": elements are I8, expected floats of 16 to 64 bits`)
}

// TestSharedCases reads files of kinds that people reported, if they are there.
func TestSharedCases(t *testing.T) {
	testneed.Long(t, "it reads eleven networks of 100 MB")
	const folder = "../../shared/cases/checkpoints"
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("the shared cases are absent: %v", err)
	}
	unpack := func(t *testing.T, name string) string {
		f, err := os.Open(filepath.Join(folder, name+".gz"))
		require.NoError(t, err)
		defer f.Close()
		z, err := gzip.NewReader(f)
		require.NoError(t, err)
		b, err := io.ReadAll(z)
		require.NoError(t, err)
		return write(t, t.TempDir(), name, string(b))
	}
	for name, classes := range map[string]int{
		"module.safetensors": 10, "tv_reference_args.pth": 1000, "ckpt_numpy_scalar.pth": 1000, "model_state_dict.pth": 1000,
		"fc_dropout_seq.pth": 10, "head_fc.pth": 10, "compiled.pth": 1000, "timm_ckpt_ema.pth": 1000,
		"imagenet_example.pth.tar": 1000, "legacy.pth": 1000, "resnext50_32x4d.pth": 1000,
	} {
		t.Run(name, func(t *testing.T) {
			path := unpack(t, name)
			m := load(t, path, models.ImportOptions{})
			require.Len(t, m.Classes, classes)
			average, err := Import(path, models.ImportOptions{EMA: true})
			if name != "timm_ckpt_ema.pth" {
				require.ErrorContains(t, err, "holds no moving average")
				return
			}
			require.NoError(t, err)
			require.Contains(t, m.Notes[0], `under "state_dict_ema": -ema takes it`)
			require.Contains(t, average.Notes[0], `moving average under "state_dict_ema"`)
		})
	}
	for name, want := range map[string]string{"lfs.pth": "git-LFS pointer", "html.pth": "web page"} {
		_, err := Import(filepath.Join(folder, name), models.ImportOptions{})
		require.ErrorContains(t, err, want)
	}
}

// FuzzIndex reads indices of shards beside two small ones.
func FuzzIndex(f *testing.F) {
	dir := f.TempDir()
	save(f, filepath.Join(dir, "a"), map[string][]int{"layer1.0.conv1.weight": {1, 1, 1, 1}}, one)
	path := filepath.Join(dir, "index")
	f.Add(`{"weight_map": {"layer1.0.conv1.weight": "a", "conv1.weight": "../b"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		_, err := readIndex(path, models.ImportOptions{})
		require.Error(t, err)
	})
}
