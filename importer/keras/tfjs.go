package keras

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"edgeclassify/importer/weights"
	"edgeclassify/models"
)

// Import reads a TensorFlow.js layers model: the topology and the weights'
// manifest from the model.json at path, the weights from the shards beside it.
// Convolutions carry the names of their Keras layers. The pictures' colours
// are taken to be prepared the way of Keras' Caffe-style models.
//
// Errors name the layer, tensor or shard, and what was expected.
//
// Format: https://www.tensorflow.org/js/guide/save_load
func Import(path string) (*models.Graph, error) {
	g, err := importTFJS(path)
	if err != nil {
		return nil, fmt.Errorf("importer: %s: %w", path, err)
	}
	return g, nil
}

// tfjsModel is the part of a model.json that matters here.
type tfjsModel struct {
	Topology struct {
		Config kerasModel `json:"model_config"`
	} `json:"modelTopology"`
	Manifest []tfjsGroup `json:"weightsManifest"`
}

// tfjsGroup is a run of tensors without gaps, cut into shards.
type tfjsGroup struct {
	Paths   []string     `json:"paths"`
	Weights []tfjsWeight `json:"weights"`
}

type tfjsWeight struct {
	Name         string `json:"name"`
	Shape        []int  `json:"shape"`
	DType        string `json:"dtype"`
	Quantization *struct {
		DType string `json:"dtype"`
	} `json:"quantization"`
}

func importTFJS(path string) (*models.Graph, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var m tfjsModel
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, err
	}
	if len(m.Manifest) == 0 {
		return nil, errors.New("no weightsManifest: want a TensorFlow.js layers model with weights")
	}
	dir, err := os.OpenRoot(filepath.Dir(path)) // no path leads out of it, not even by a link
	if err != nil {
		return nil, err
	}
	defer dir.Close()

	arrays := map[string]weights.Array{}
	for i, group := range m.Manifest {
		if err := group.read(dir, arrays); err != nil {
			return nil, fmt.Errorf("weight group %d: %w", i+1, err)
		}
	}
	file := weights.NewFile(arrays)
	g, err := m.Topology.Config.graph(file)
	if err != nil {
		return nil, err
	}
	if err := file.Unused("the topology of the same file"); err != nil {
		return nil, err
	}
	return g, nil
}

// read adds the group's tensors to arrays.
func (g tfjsGroup) read(dir *os.Root, arrays map[string]weights.Array) error {
	const limit = math.MaxInt32 // bytes
	var found []weights.Array
	want := int64(0)
	for _, w := range g.Weights {
		if _, taken := arrays[w.Name]; taken {
			return fmt.Errorf("tensor %q appears twice", w.Name)
		}
		a := weights.Array{Stored: w.DType, Shape: w.Shape}
		switch {
		case w.Quantization == nil && w.DType == "float32":
			a.DType = weights.Float32
		case w.Quantization != nil && w.Quantization.DType == "float16" && w.DType == "float32":
			a.DType = weights.Float16
		case w.Quantization != nil:
			return fmt.Errorf("tensor %q: weights are quantized to %s: use the unquantized model", w.Name, w.Quantization.DType)
		default:
			return fmt.Errorf("tensor %q: elements are %q, expected float32", w.Name, w.DType)
		}
		n, ok := weights.Elements(w.Shape, limit)
		if !ok {
			return fmt.Errorf("tensor %q: shape %v is not possible", w.Name, w.Shape)
		}
		want += int64(n) * int64(a.DType.Size())
		if want > limit {
			return fmt.Errorf("tensor %q: the weights up to here take more than %d bytes", w.Name, limit)
		}
		arrays[w.Name] = a
		found = append(found, a)
	}
	data, err := readShards(dir, g.Paths, want)
	if err != nil {
		return err
	}
	for i, a := range found {
		n, _ := weights.Elements(a.Shape, limit)
		size := n * a.DType.Size()
		a.Data, data = data[:size:size], data[size:]
		arrays[g.Weights[i].Name] = a
	}
	return nil
}

// readShards returns the shards' bytes one after the other. It allocates only
// once their sizes are known to add up.
func readShards(dir *os.Root, paths []string, want int64) ([]byte, error) {
	sizes := make([]int64, len(paths))
	total := int64(0)
	for i, p := range paths {
		if !filepath.IsLocal(filepath.FromSlash(p)) {
			return nil, fmt.Errorf("shard %q: the path leads out of the model's folder", p)
		}
		info, err := dir.Stat(filepath.FromSlash(p))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("shard %q (%d of %d) is missing: %w", p, i+1, len(paths), err)
		}
		if err != nil {
			return nil, fmt.Errorf("shard %q: %w", p, err)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("shard %q is no regular file", p)
		}
		sizes[i] = info.Size()
		total += sizes[i]
	}
	if total != want {
		return nil, wrongSize(paths, sizes, total, want)
	}
	data := make([]byte, want)
	rest := data
	for i, p := range paths {
		if err := readShard(dir, p, rest[:sizes[i]]); err != nil {
			return nil, fmt.Errorf("shard %q: %w", p, err)
		}
		rest = rest[sizes[i]:]
	}
	return data, nil
}

func readShard(dir *os.Root, path string, b []byte) error {
	f, err := dir.Open(filepath.FromSlash(path))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, b)
	return err
}

// wrongSize tells which shard is the likely culprit. Converters cut all shards
// but the last to one size, so that an odd one stands out.
func wrongSize(paths []string, sizes []int64, total, want int64) error {
	if len(paths) == 0 {
		return fmt.Errorf("has no shards, the weights need %d bytes", want)
	}
	last := len(paths) - 1
	culprit := last
	for i, size := range sizes[:last] {
		if size != usual(sizes[:last]) {
			culprit = i
			break
		}
	}
	return fmt.Errorf("shard %q has %d bytes, expected %d: the weights need %d bytes, the %d shards hold %d",
		paths[culprit], sizes[culprit], sizes[culprit]+want-total, want, len(paths), total)
}

// usual is the most frequent of sizes, the largest of these.
func usual(sizes []int64) int64 {
	count := map[int64]int{}
	best := int64(0)
	for _, s := range sizes {
		count[s]++
		if count[s] > count[best] || count[s] == count[best] && s > best {
			best = s
		}
	}
	return best
}
