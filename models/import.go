package models

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"edgeclassify/internal/safetensors"
)

// Import reads a trained network of any format it understands, by what path
// is: a folder with a model.json or a .json file (ImportTFJS), a .safetensors
// file (ImportSafetensors), a .pth or .pt file (ImportTorch).
func Import(path string) (*Graph, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("models: %w", err)
	}
	if info.IsDir() {
		model := filepath.Join(path, "model.json")
		if _, err := os.Stat(model); err != nil {
			return nil, fmt.Errorf("models: folder %s has no model.json: %s", path, understood)
		}
		return ImportTFJS(model)
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".json":
		return ImportTFJS(path)
	case ".safetensors":
		return ImportSafetensors(path)
	case ".pth", ".pt":
		return ImportTorch(path)
	}
	return nil, fmt.Errorf("models: %s: unknown kind of file: %s", path, understood)
}

const understood = "want a folder with a model.json (TensorFlow.js layers model), that .json file, " +
	"or a ResNet50 with torchvision's names as .safetensors, .pth or .pt"

// ImportSafetensors reads a ResNet50 v1.5 with torchvision's tensor names,
// stored as F32, F16 or BF16. The number of classes is the file's.
func ImportSafetensors(path string) (*Graph, error) {
	return importNamed(path, func(b []byte) (map[string]array, error) {
		f, err := safetensors.Parse(b)
		if err != nil {
			return nil, err
		}
		types := map[safetensors.DType]elementType{
			safetensors.F32: float32s, safetensors.F16: float16s, safetensors.BF16: bfloat16s}
		arrays := make(map[string]array, len(f.Tensors))
		for _, t := range f.Tensors {
			arrays[t.Name] = array{dtype: types[t.DType], stored: string(t.DType), shape: t.Shape, data: t.Data}
		}
		return arrays, nil
	})
}

// ImportTorch reads a ResNet50 v1.5 with torchvision's tensor names from what
// torch.save(model.state_dict()) writes since PyTorch 1.6: a zip archive with
// a pickle inside. A checkpoint that holds the weights under "state_dict" or
// "model", and names with the "module." of DataParallel, are understood too.
//
// Nothing in the file is executed: a class that no state dict needs is an error
// that names it.
func ImportTorch(path string) (*Graph, error) {
	return importNamed(path, readTorch)
}

// importNamed builds a ResNet50 v1.5 from the tensors of a file.
func importNamed(path string, read func([]byte) (map[string]array, error)) (*Graph, error) {
	g, err := func() (*Graph, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		arrays, err := read(b)
		if err != nil {
			return nil, err
		}
		classes := 1000
		if bias, ok := arrays["fc.bias"]; ok && len(bias.shape) == 1 && bias.shape[0] > 0 {
			classes = bias.shape[0]
		}
		weights := newWeightFile(arrays)
		g, err := resNet50(V15, classes, weights)
		if err != nil {
			return nil, err
		}
		return g, weights.unused(g.Name)
	}()
	if err != nil {
		return nil, fmt.Errorf("models: %s: %w", path, err)
	}
	return g, nil
}
