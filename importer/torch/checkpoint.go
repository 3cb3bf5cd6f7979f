package torch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"edgeclassify/importer/weights"
	"edgeclassify/labels"
)

// Checkpoint is what a file of torch.save holds.
type Checkpoint struct {
	// Weights are those of the network, Average the moving average of them that
	// lies beside; without tensors where there is none.
	Weights, Average StateDict
	// Others are the keys of other state dicts as large as Weights.
	Others  []string
	Classes []Classes // lists that may name the network's classes
}

// StateDict is tensors by name, found under a key: "model.state_dict" is that in a
// dict in a dict, "" the file's one value.
type StateDict struct {
	Key     string
	Tensors map[string]weights.Array
}

// Average tells whether the key is one of moving averages.
func (s StateDict) Average() bool { return averaged.MatchString(s.Key) }

// Classes are names found under a key.
type Classes struct {
	Key   string
	Names []labels.Class
}

// maxDepth is how deep dicts are searched.
const maxDepth = 4

var (
	// usualKeys are those of state dicts, most usual first.
	usualKeys = []string{"", "state_dict", "model_state_dict", "model", "net", "network", "weights", "module", "params"}
	averaged  = regexp.MustCompile(`(?i)(^|[_.])(ema|swa|averaged)([_.]|$)`)
	// trainer is what holds tensors but no network.
	trainer = regexp.MustCompile(`(?i)optim|sched|scaler`)

	classKeys = []string{"classes", "class_names", "classnames", "CLASSES", "labels", "label_names", "categories", "vocab",
		"class_to_idx", "idx_to_class", "class_indices", "id2label", "label2id"}
)

// checkpoint finds the one dict that looks like a network: that of the most
// tensors.
func checkpoint(v any, size int) (*Checkpoint, error) {
	c, found := &Checkpoint{}, []StateDict{}
	var module string // the class of a whole pickled one
	visit(v, "", 0, map[*pyDict]bool{}, func(key string, v any, d *pyDict) bool {
		if o, ok := v.(*pyObject); ok {
			if _, ok := d.get("_modules"); ok {
				module = cmp.Or(module, o.class)
				return false
			}
		}
		if tensors := tensorsOf(d); len(tensors) > 0 && !trainer.MatchString(key) {
			found = append(found, StateDict{key, tensors})
		}
		c.Classes = append(c.Classes, classesOf(key, d)...)
		return true
	})
	usual := func(s StateDict) int {
		if i := slices.Index(usualKeys, s.Key); i >= 0 {
			return i
		}
		return len(usualKeys)
	}
	slices.SortStableFunc(found, func(a, b StateDict) int {
		return cmp.Or(cmp.Compare(len(b.Tensors), len(a.Tensors)), cmp.Compare(usual(a), usual(b)))
	})
	for _, s := range found {
		switch {
		case s.Average():
			if c.Average.Tensors == nil {
				c.Average = s
			}
		case c.Weights.Tensors == nil:
			c.Weights = s
		case len(s.Tensors) == len(c.Weights.Tensors):
			if usual(c.Weights) == len(usualKeys) {
				return nil, fmt.Errorf("%q and %q hold as many tensors: save the one that is the network in a file of its own", c.Weights.Key, s.Key)
			}
			c.Others = append(c.Others, s.Key)
		}
	}
	switch {
	case module != "" && len(c.Weights.Tensors)+len(c.Average.Tensors) == 0:
		way := "save its weights, torch.save(model.state_dict(), \"weights.pth\"), or export it with torch.onnx.export"
		if strings.HasPrefix(module, "ultralytics.") {
			way = "export it, yolo export model=FILE format=onnx"
		}
		return nil, fmt.Errorf("is a whole pickled object of class %s, which only Python can read with that class: %s", module, way)
	case len(found) == 0:
		return nil, fmt.Errorf("holds a value of type %s without tensors, expected a state dict: save model.state_dict()", pyType(v))
	case c.Weights.Tensors == nil:
		c.Weights, c.Average = c.Average, StateDict{}
	case 2*len(c.Average.Tensors) < len(c.Weights.Tensors):
		c.Average = StateDict{} // of something else
	}
	for _, s := range []StateDict{c.Weights, c.Average} {
		if err := s.check(size); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// check bounds what the tensors of a file of so many bytes take: any number of
// them may share their bytes.
func (s StateDict) check(size int) error {
	const share = 64
	total := 0
	for _, a := range s.Tensors {
		n, _ := weights.Elements(a.Shape, math.MaxInt)
		if total += n * a.DType.Size(); total > share*size {
			return fmt.Errorf("%d tensors under %q take more than %d times the file's %d bytes", len(s.Tensors), s.Key, share, size)
		}
	}
	return nil
}

// visit calls f for every dict and object at or below v, once each, those below
// where it returns true.
func visit(v any, key string, depth int, seen map[*pyDict]bool, f func(key string, v any, d *pyDict) bool) {
	d := dictOf(v)
	if d == nil || depth > maxDepth || seen[d] {
		return
	}
	if seen[d] = true; !f(key, v, d) {
		return
	}
	for i, k := range d.keys {
		name, ok := k.(string)
		if !ok {
			continue
		}
		if key != "" {
			name = key + "." + name
		}
		visit(d.values[i], name, depth+1, seen, f)
	}
}

// tensorsOf are the tensors that stand in a dict itself.
func tensorsOf(d *pyDict) map[string]weights.Array {
	tensors := map[string]weights.Array{}
	for i, key := range d.keys {
		name, ok1 := key.(string)
		a, ok2 := d.values[i].(weights.Array)
		if ok1 && ok2 {
			tensors[name] = a
		}
	}
	return tensors
}

// classesOf reads the lists and maps of classes that stand in a dict itself.
func classesOf(key string, d *pyDict) (found []Classes) {
	for i, k := range d.keys {
		name, ok := k.(string)
		if !ok || !slices.Contains(classKeys, name) {
			continue
		}
		list := plain(d.values[i])
		text, err := json.Marshal(list)
		if list == nil || err != nil {
			continue
		}
		if names, err := labels.Parse(text); err == nil {
			found = append(found, Classes{strings.TrimPrefix(key+"."+name, "."), names})
		}
	}
	return found
}

// plain is a list of strings, or a map between strings and numbers, as JSON has
// them; nil for all else.
func plain(v any) any {
	items, ok := v.(pyTuple)
	if list, isList := v.(*pyList); isList {
		items, ok = list.items, true
	}
	if ok {
		for _, item := range items {
			if _, ok := item.(string); !ok {
				return nil
			}
		}
		return []any(items)
	}
	d := dictOf(v)
	if d == nil {
		return nil
	}
	m := make(map[string]any, len(d.keys))
	for i, k := range d.keys {
		name, ok := k.(string)
		if n, isInt := k.(int64); isInt {
			name, ok = strconv.FormatInt(n, 10), true
		}
		switch d.values[i].(type) {
		case string, int64:
		default:
			ok = false
		}
		if !ok {
			return nil
		}
		m[name] = d.values[i]
	}
	return m
}
