package importer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edgeclassify/importer/resnet"
	"edgeclassify/importer/torch"
	"edgeclassify/importer/weights"
	"edgeclassify/internal/safetensors"
	"edgeclassify/models"
)

// stateDict is the tensors of a file that says nothing of what they compute.
type stateDict struct {
	path    string
	tensors map[string]weights.Array
	average map[string]weights.Array // the moving average of tensors; nil: none
	// where the average is, and how Python loads the tensors, for messages.
	averageKey, load string
	averaged         bool // tensors are an average themselves
	classes          []torch.Classes
	notes            []string
}

func readTorch(path string, o models.ImportOptions) (*models.Imported, error) {
	d := stateDict{path: path}
	err := d.read(func(b []byte) error {
		c, err := torch.Read(b)
		if err != nil {
			return err
		}
		d.tensors, d.average, d.averageKey, d.classes = c.Weights.Tensors, c.Average.Tensors, c.Average.Key, c.Classes
		d.load = fmt.Sprintf("torch.load(%q, map_location=\"cpu\", weights_only=False)", path)
		if c.Weights.Key != "" {
			for key := range strings.SplitSeq(c.Weights.Key, ".") {
				d.load += fmt.Sprintf("[%q]", key)
			}
		}
		d.averaged = c.Weights.Average()
		for _, other := range c.Others {
			d.notes = append(d.notes, fmt.Sprintf("The weights are those under %q; %q holds as many.", c.Weights.Key, other))
		}
		return nil
	})
	return d.imported(o, err)
}

func readSafetensors(path string, o models.ImportOptions) (*models.Imported, error) {
	d := stateDict{path: path, load: fmt.Sprintf("safetensors.torch.load_file(%q)", path)}
	err := d.read(func(b []byte) (err error) {
		d.tensors, err = parseSafetensors(b)
		return err
	})
	return d.imported(o, err)
}

func (d stateDict) read(f func([]byte) error) error {
	b, err := os.ReadFile(d.path)
	if err != nil {
		return err
	}
	return f(b)
}

func parseSafetensors(b []byte) (map[string]weights.Array, error) {
	f, err := safetensors.Parse(b)
	if err != nil {
		return nil, err
	}
	types := map[safetensors.DType]weights.DType{
		safetensors.F64: weights.Float64, safetensors.F32: weights.Float32, safetensors.F16: weights.Float16, safetensors.BF16: weights.BFloat16,
		safetensors.I64: weights.Int64, safetensors.I32: weights.Int32, safetensors.I16: weights.Int16, safetensors.I8: weights.Int8,
		safetensors.U16: weights.Uint16, safetensors.U8: weights.Uint8}
	arrays := make(map[string]weights.Array, len(f.Tensors))
	for _, t := range f.Tensors {
		arrays[t.Name] = weights.Array{DType: types[t.DType], Stored: string(t.DType), Shape: t.Shape, Data: t.Data}
	}
	return arrays, nil
}

// readIndex reads shards, of safetensors or of torch.save, by the index that
// transformers writes: {"weight_map": {tensor: file}}.
func readIndex(path string, o models.ImportOptions) (*models.Imported, error) {
	d := stateDict{path: path, tensors: map[string]weights.Array{}, load: "the shards"}
	err := d.read(func(text []byte) error {
		var index struct {
			Map map[string]string `json:"weight_map"`
		}
		if err := json.Unmarshal(text, &index); err != nil {
			return err
		}
		dir, err := os.OpenRoot(filepath.Dir(path)) // no path leads out of it, not even by a link
		if err != nil {
			return err
		}
		defer dir.Close()
		for _, shard := range slices.Compact(slices.Sorted(maps.Values(index.Map))) {
			if err := d.addShard(dir, shard, index.Map); err != nil {
				return fmt.Errorf("shard %q: %w", shard, err)
			}
		}
		for name := range index.Map {
			if _, ok := d.tensors[name]; !ok {
				return fmt.Errorf("tensor %q is missing in shard %q", name, index.Map[name])
			}
		}
		return nil
	})
	return d.imported(o, err)
}

// addShard adds the tensors that the index says are in the file.
func (d stateDict) addShard(dir *os.Root, shard string, index map[string]string) error {
	b, err := dir.ReadFile(filepath.FromSlash(shard))
	if err != nil {
		return err
	}
	read := parseSafetensors
	if !isSafetensors(source{head: b}) {
		read = func(b []byte) (map[string]weights.Array, error) {
			c, err := torch.Read(b)
			if err != nil {
				return nil, err
			}
			return c.Weights.Tensors, nil
		}
	}
	arrays, err := read(b)
	for name, a := range arrays {
		if index[name] == shard {
			d.tensors[name] = a
		}
	}
	return err
}

// imported builds the network that the tensors are of.
func (d stateDict) imported(o models.ImportOptions, err error) (*models.Imported, error) {
	var m *models.Imported
	if err == nil {
		m, err = d.build(o)
	}
	if err != nil {
		return nil, fmt.Errorf("importer: %s: %w", d.path, err)
	}
	return m, nil
}

func (d stateDict) build(o models.ImportOptions) (*models.Imported, error) {
	if err := d.choose(o.EMA); err != nil {
		return nil, err
	}
	config := newAside(source{path: d.path}).config
	if o.Architecture != "" {
		config.Architecture = o.Architecture
	}
	if !resnet.Matches(d.tensors) {
		return nil, d.unknown(config)
	}
	m, err := resnet.Import(d.tensors, config, o)
	if err != nil {
		return nil, fmt.Errorf("%w; the file %s", err, d.found())
	}
	m.Notes = append(d.notes, m.Notes...)
	for _, c := range d.classes {
		if len(c.Names) == len(m.Classes) {
			m.Graph, m.ClassesFrom = m.With(m.Preprocess, c.Names, m.Activation), c.Key
			return m, nil
		}
	}
	if len(d.classes) > 0 {
		m.Notes = append(m.Notes, fmt.Sprintf("%q names %d classes and is not used: the network has %d.", d.classes[0].Key, len(d.classes[0].Names), len(m.Classes)))
	}
	return m, nil
}

// averaged is a part of the name of a moving average's tensors.
var averaged = regexp.MustCompile(`(?i)(^|[_.])(ema|swa|averaged)([_.]|$)`)

// choose takes the weights or their moving average, which may stand beside them
// or among them under names that tell it.
func (d *stateDict) choose(average bool) error {
	if d.average == nil {
		d.split()
	}
	_, counted := d.tensors["n_averaged"] // of AveragedModel
	delete(d.tensors, "n_averaged")
	delete(d.average, "n_averaged")
	switch {
	case d.averaged || counted:
		d.notes = append(d.notes, "The weights are a moving average (EMA).")
	case average && d.average == nil:
		return fmt.Errorf("holds no moving average (EMA) of the weights; it %s", d.found())
	case average:
		d.notes = append(d.notes, fmt.Sprintf("The weights are the moving average under %q.", d.averageKey))
		d.tensors = d.average
	case d.average != nil:
		d.notes = append(d.notes, fmt.Sprintf("A moving average of the weights lies beside them under %q: -ema takes it.", d.averageKey))
	}
	return nil
}

// split takes the average's tensors out of a dict that holds both.
func (d *stateDict) split() {
	main, average := map[string]weights.Array{}, map[string]weights.Array{}
	for name, a := range d.tensors {
		if m := averaged.FindStringIndex(name); m != nil {
			end := m[1] - 1 + strings.IndexByte(name[m[1]-1:]+".", '.')
			average[name], d.averageKey = a, name[:end]
		} else {
			main[name] = a
		}
	}
	if len(main) > 0 && 2*len(average) >= len(main) {
		d.tensors, d.average = main, average
	}
}

// found lists tensors for people: the first one, and the last that are fully
// connected layers, for the classifier is what differs most.
func (d stateDict) found() string {
	var list, dense []string
	for _, name := range slices.SortedFunc(maps.Keys(d.tensors), natural) {
		a := d.tensors[name]
		text := fmt.Sprintf("%s %v", name, a.Shape)
		if len(list) == 0 || len(d.tensors) <= 3 {
			list = append(list, text)
		} else if len(a.Shape) == 2 {
			dense = append(dense, text)
		}
	}
	list = append(list, dense[max(0, len(dense)-3):]...)
	if len(list) < len(d.tensors) {
		list = append(list, "...")
	}
	return fmt.Sprintf("has %d tensors: %s", len(d.tensors), strings.Join(list, ", "))
}

var digits = regexp.MustCompile(`\d+`)

// natural orders names as people count: layer 2 before layer 10.
func natural(a, b string) int {
	pad := func(s string) string {
		return digits.ReplaceAllStringFunc(s, func(n string) string { return strings.Repeat("0", max(0, 12-len(n))) + n })
	}
	return strings.Compare(pad(a), pad(b))
}

// unknown says what the tensors look like and how to bring such a network.
func (d stateDict) unknown(c resnet.Config) error {
	if len(d.tensors) == 0 {
		return errors.New("holds no tensors")
	}
	what, command := d.recognize(c)
	return fmt.Errorf("%s: names alone tell networks of the ResNet family only, export this one as ONNX:\n%s\nThe file %s", what, command, d.found())
}
