package importer

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/safetensors"
)

// saveSafetensors writes half-precision ones of the given shapes.
func saveSafetensors(t *testing.T, shapes map[string][]int) string {
	t.Helper()
	ones := []byte(strings.Repeat("\x00\x3c", 1<<22))
	tensors := []safetensors.Tensor{{Name: "bn1.num_batches_tracked", DType: safetensors.I64, Shape: []int{}, Data: make([]byte, 8)}}
	for name, shape := range shapes {
		n, ok := elements(shape, 1<<22)
		require.True(t, ok)
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: safetensors.F16, Shape: shape, Data: ones[:2*n]})
	}
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, atomicfile.Write(path, 0o644, func(w io.Writer) error { return safetensors.Write(w, nil, tensors) }))
	return path
}

// resNetShapes are those of torchvision's ResNet50 for ten classes.
func resNetShapes(t *testing.T) map[string][]int {
	t.Helper()
	source := newBlank()
	_, err := ResNet50(V15, 10, source)
	require.NoError(t, err)
	return source.shapes
}

func TestImportSafetensors(t *testing.T) {
	g, err := Import(saveSafetensors(t, resNetShapes(t)))
	require.NoError(t, err)
	require.Equal(t, 53, count(g, "conv"))
	require.Len(t, g.Classes, 10, "as many as the file has")
	require.Equal(t, float32(1), conv(t, g, "layer3.5.conv2").Weight[12345])
}

func TestImportOfOtherNetworks(t *testing.T) {
	for want, change := range map[string]func(map[string][]int){
		`tensor "layer1.0.conv3.weight" is missing, expected with shape [256 64 1 1]`: func(s map[string][]int) { // ResNet18 and 34
			for name := range s {
				if strings.Contains(name, "conv3") || strings.Contains(name, "bn3") {
					delete(s, name)
				}
			}
		},
		`tensor "layer1.0.conv1.weight": expected shape [64 64 1 1], found [64 64 3 3]`:               func(s map[string][]int) { s["layer1.0.conv1.weight"] = []int{64, 64, 3, 3} },
		`1 tensors have no place in ResNet50 v1.5, the first is "layer3.6.bn1.bias" with shape [256]`: func(s map[string][]int) { s["layer3.6.bn1.bias"] = []int{256} }, // ResNet101
		`tensor "conv1.weight" is missing, expected with shape [64 3 7 7]`:                            func(s map[string][]int) { clear(s) },
	} {
		shapes := resNetShapes(t)
		change(shapes)
		path := saveSafetensors(t, shapes)
		_, err := Import(path)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, want)
	}
}

func TestImportOfIntegers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, atomicfile.Write(path, 0o644, func(w io.Writer) error {
		return safetensors.Write(w, nil, []safetensors.Tensor{
			{Name: "conv1.weight", DType: safetensors.I8, Shape: []int{64, 3, 7, 7}, Data: make([]byte, 64*3*7*7)}})
	}))
	_, err := Import(path)
	require.ErrorContains(t, err, `tensor "conv1.weight": elements are I8, expected 32-bit or 16-bit floats`)
}

func TestImportPicksByPath(t *testing.T) {
	model := newSketch().head(3).save(t)
	for _, path := range []string{model, filepath.Dir(model)} {
		g, err := Import(path)
		require.NoError(t, err)
		require.Equal(t, "small", g.Name)
	}
	_, err := Import("testdata/tensors.pth")
	require.ErrorContains(t, err, `models: testdata/tensors.pth: ResNet50 v1.5: tensor "conv1.weight" is missing, expected with shape [64 3 7 7]`)

	dir := t.TempDir()
	_, err = Import(dir)
	require.ErrorContains(t, err, "has no model.json: want a folder")
	onnx := filepath.Join(dir, "net.onnx")
	_, err = Import(onnx)
	require.ErrorIs(t, err, os.ErrNotExist)
	for _, name := range []string{"net.onnx", "net.safetensors", "net.pt", "net.json"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("?"), 0o644))
		_, err = Import(path)
		require.ErrorContains(t, err, path)
	}
	_, err = Import(onnx)
	require.ErrorContains(t, err, "unknown kind of file: want a folder with a model.json")
}
