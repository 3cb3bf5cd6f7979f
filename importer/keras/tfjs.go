package keras

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"

	"edgeclassify/importer/weights"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// readTFJS reads a TensorFlow.js layers model: the topology and the weights'
// manifest from model.json, the weights from the shards beside it.
//
// Format: https://www.tensorflow.org/js/guide/save_load
func readTFJS(s source, o models.ImportOptions) (*models.Imported, error) {
	text := s.data
	if text == nil {
		var err error
		if text, err = fs.ReadFile(s.files, modelJSON); err != nil {
			return nil, err
		}
	}
	values, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	model := &options{values: values}
	if model.text("format", "") == "graph-model" {
		return nil, errors.New("it is a TensorFlow.js graph model, which has no layers: convert the Keras model with " +
			"tensorflowjs_converter --output_format=tfjs_layers_model, or give the .keras or .h5 file itself")
	}
	manifest := model.list("weightsManifest")
	if len(manifest) == 0 {
		return nil, errors.New("no weightsManifest: want a TensorFlow.js layers model with weights")
	}
	topology := &options{values: model.sub("modelTopology")}
	config := topology.values
	if topology.has("model_config") {
		config = topology.sub("model_config")
	}
	version := topology.text("keras_version", "2")
	if err := errors.Join(model.err, topology.err); err != nil {
		return nil, err
	}
	arrays := map[string]weights.Array{}
	for i, g := range manifest {
		if err := readGroup(s.files, g, arrays); err != nil {
			return nil, fmt.Errorf("weight group %d: %w", i+1, err)
		}
	}
	m, err := build(config, version, arrays, newByName(arrays, false), o)
	if err != nil {
		return nil, err
	}
	return teachable(s.files, m)
}

// teachable adds what Teachable Machine says in metadata.json, where there is one
// with labels.
func teachable(files fs.FS, m *models.Imported) (*models.Imported, error) {
	const file = "metadata.json"
	text, err := fs.ReadFile(files, file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Labels json.RawMessage `json:"labels"`
	}
	if json.Unmarshal(text, &metadata) != nil || metadata.Labels == nil {
		return m, nil // of somebody else
	}
	classes, err := labels.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(classes) != len(m.Classes) {
		return nil, fmt.Errorf("%s has %d labels, the network tells %d classes", file, len(classes), len(m.Classes))
	}
	m.ClassesFrom = file
	spec := m.Preprocess
	if m.PreprocessFrom == "" {
		spec = preprocess.TeachableMachine().Sized(spec.Crop)
		spec.Order = m.Preprocess.Order
		if spec.Order == preprocess.BGR {
			spec.Order = preprocess.RGB
		}
		m.PreprocessFrom, m.Notes = file+" of Teachable Machine", nil
	}
	m.Graph = m.Graph.With(spec, classes, m.Activation)
	return m, nil
}

// readGroup adds the tensors of a group, a run of tensors without gaps that is cut
// into shards.
func readGroup(files fs.FS, v any, arrays map[string]weights.Array) error {
	values, _ := v.(object)
	group := &options{values: values}
	var paths []string
	for _, p := range group.list("paths") {
		name, ok := p.(string)
		if !ok {
			group.fail("paths", "a list of strings")
		}
		paths = append(paths, name)
	}
	var found []stored
	want := int64(0)
	for _, w := range group.list("weights") {
		t, err := parseStored(w)
		if err != nil {
			return err
		}
		if _, taken := arrays[t.name]; taken {
			return fmt.Errorf("tensor %q appears twice", t.name)
		}
		if want += int64(t.bytes); want > math.MaxInt32 {
			return fmt.Errorf("tensor %q: the weights up to here take more than %d bytes", t.name, math.MaxInt32)
		}
		arrays[t.name] = t.Array
		found = append(found, t)
	}
	if group.err != nil {
		return group.err
	}
	data, err := readShards(files, paths, want)
	if err != nil {
		return err
	}
	for _, t := range found {
		t.Data, data = data[:t.bytes:t.bytes], data[t.bytes:]
		arrays[t.name] = t.dequantized()
	}
	return nil
}

// stored is a tensor as the manifest describes it.
type stored struct {
	name string
	weights.Array
	bytes      int
	quantized  bool // value = code * scale + least
	scale, min float64
}

// types are the elements that a manifest names.
var types = map[string]weights.DType{"float32": weights.Float32, "float16": weights.Float16, "int32": weights.Int32,
	"uint16": weights.Uint16, "uint8": weights.Uint8, "bool": weights.Uint8}

func parseStored(v any) (stored, error) {
	values, _ := v.(object)
	w := &options{values: values}
	t := stored{name: w.text("name", "")}
	t.Stored = w.text("dtype", "")
	for _, d := range w.list("shape") {
		n, ok := d.(float64)
		if !ok || n != math.Trunc(n) || n < 0 || n > math.MaxInt32 {
			w.fail("shape", "a list of whole numbers")
			break
		}
		t.Shape = append(t.Shape, int(n))
	}
	if w.has("quantization") {
		q := &options{values: w.sub("quantization")}
		t.Stored = q.text("dtype", "")
		t.scale, t.min = q.number("scale", 1), q.number("min", 0)
		t.quantized = t.Stored != "float16"
		w.err = errors.Join(w.err, q.err)
	}
	if w.err != nil {
		return t, fmt.Errorf("tensor %q: %w", t.name, w.err)
	}
	if t.DType = types[t.Stored]; t.DType == weights.Unsupported {
		return t, fmt.Errorf("tensor %q: elements are %q, expected float32, float16, or uint8 or uint16 with a scale", t.name, t.Stored)
	}
	n, ok := weights.Elements(t.Shape, math.MaxInt32/8)
	if !ok {
		return t, fmt.Errorf("tensor %q: shape %v is not possible", t.name, t.Shape)
	}
	t.bytes = n * t.DType.Size()
	return t, nil
}

// dequantized is the tensor in float32.
func (t stored) dequantized() weights.Array {
	if !t.quantized {
		return t.Array
	}
	out := weights.Array{DType: weights.Float32, Stored: t.Stored, Shape: t.Shape, Data: make([]byte, 0, 4*len(t.Data)/t.DType.Size())}
	for i := 0; i < len(t.Data); i += t.DType.Size() {
		code := uint16(t.Data[i])
		if t.DType == weights.Uint16 {
			code = binary.LittleEndian.Uint16(t.Data[i:])
		}
		v := float32(float64(float64(code)*t.scale) + t.min)
		out.Data = binary.LittleEndian.AppendUint32(out.Data, math.Float32bits(v))
	}
	return out
}

// readShards returns the shards' bytes one after the other. It allocates only
// once their sizes are known to add up.
func readShards(files fs.FS, paths []string, want int64) ([]byte, error) {
	sizes := make([]int64, len(paths))
	total := int64(0)
	for i, p := range paths {
		if !fs.ValidPath(path.Clean(p)) {
			return nil, fmt.Errorf("shard %q: the path leads out of the model's folder", p)
		}
		info, err := fs.Stat(files, path.Clean(p))
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
		if err := readShard(files, p, rest[:sizes[i]]); err != nil {
			return nil, fmt.Errorf("shard %q: %w", p, err)
		}
		rest = rest[sizes[i]:]
	}
	return data, nil
}

func readShard(files fs.FS, name string, b []byte) error {
	f, err := files.Open(path.Clean(name))
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
