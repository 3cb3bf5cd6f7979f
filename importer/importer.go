// Package importer reads trained networks of the formats that people have them in.
package importer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"edgeclassify/importer/keras"
	"edgeclassify/importer/resnet"
	"edgeclassify/importer/torch"
	"edgeclassify/importer/weights"
	"edgeclassify/internal/safetensors"
	"edgeclassify/models"
)

// Import reads a trained network of any format it understands, by what path
// is: a folder with a model.json or a .json file (TensorFlow.js), a .safetensors
// file, a .pth or .pt file (PyTorch).
func Import(path string, o models.ImportOptions) (*models.Imported, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("importer: %w", err)
	}
	var g *models.Graph
	if keras.Is(path) {
		return keras.Import(path, o)
	}
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case info.IsDir():
		return nil, fmt.Errorf("importer: folder %s has no model.json: %s", path, understood)
	case ext == ".safetensors":
		g, err = named(path, readSafetensors)
	case ext == ".pth" || ext == ".pt":
		g, err = named(path, torch.Read)
	default:
		err = fmt.Errorf("importer: %s: unknown kind of file: %s", path, understood)
	}
	if err != nil {
		return nil, err
	}
	return &models.Imported{Graph: g}, nil
}

const understood = "want a folder with a model.json (TensorFlow.js layers model), that .json file, " +
	"or a ResNet50 with torchvision's names as .safetensors, .pth or .pt"

func readSafetensors(b []byte) (map[string]weights.Array, error) {
	f, err := safetensors.Parse(b)
	if err != nil {
		return nil, err
	}
	types := map[safetensors.DType]weights.DType{
		safetensors.F32: weights.Float32, safetensors.F16: weights.Float16, safetensors.BF16: weights.BFloat16}
	arrays := make(map[string]weights.Array, len(f.Tensors))
	for _, t := range f.Tensors {
		arrays[t.Name] = weights.Array{DType: types[t.DType], Stored: string(t.DType), Shape: t.Shape, Data: t.Data}
	}
	return arrays, nil
}

// named builds a ResNet50 v1.5 from the tensors of a file.
func named(path string, read func([]byte) (map[string]weights.Array, error)) (*models.Graph, error) {
	g, err := func() (*models.Graph, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		arrays, err := read(b)
		if err != nil {
			return nil, err
		}
		classes := 1000
		if bias, ok := arrays["fc.bias"]; ok && len(bias.Shape) == 1 && bias.Shape[0] > 0 {
			classes = bias.Shape[0]
		}
		file := weights.NewFile(arrays)
		g, err := resnet.ResNet50(resnet.V15, classes, file)
		if err != nil {
			return nil, err
		}
		return g, file.Unused(g.Name)
	}()
	if err != nil {
		return nil, fmt.Errorf("importer: %s: %w", path, err)
	}
	return g, nil
}
