package keras

import (
	"encoding/json"
	"fmt"
	"math"
)

// object is a JSON object.
type object = map[string]any

// maxText bounds topologies, in bytes: decoded, they take much more memory.
const maxText = 64 << 20

// parseObject decodes what must be a JSON object.
func parseObject(text []byte) (object, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%d bytes of JSON, expected at most %d", len(text), maxText)
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		if _, ok := err.(*json.UnmarshalTypeError); ok {
			return nil, fmt.Errorf("the JSON is no object, as Keras writes one")
		}
		return nil, fmt.Errorf("the JSON is damaged: %w", err)
	}
	return o, nil
}

// options are what an object says. The getters return a default for what it lacks,
// and keep an error for the first value that is not what it should be.
type options struct {
	values object
	err    error
}

func (o *options) fail(key, want string) {
	if o.err == nil {
		text, _ := json.Marshal(o.values[key])
		o.err = fmt.Errorf("%q is %.100s, expected %s", key, text, want)
	}
}

func (o *options) has(key string) bool { return o.values[key] != nil }

func (o *options) number(key string, or float64) float64 {
	if !o.has(key) {
		return or
	}
	if v, ok := number(o.values[key]); ok {
		return v
	}
	o.fail(key, "a number")
	return or
}

// number also takes a NumPy scalar and a list of one, as Keras 2 writes them.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case []any:
		if len(v) == 1 {
			return number(v[0])
		}
	case object: // {"type": "ndarray" or "class_name": "__numpy__", "value": ...}
		config, _ := v["config"].(object)
		for _, inner := range []any{v["value"], config["value"]} {
			if n, ok := number(inner); ok {
				return n, true
			}
		}
	}
	return 0, false
}

// integer is a number from 1 to maxSide, as sizes of windows are, or to most.
func (o *options) integer(key string, or, least, most int) int {
	v := o.number(key, float64(or))
	if v != math.Trunc(v) || v < float64(least) || v > float64(most) {
		o.fail(key, fmt.Sprintf("a whole number from %d to %d", least, most))
		return or
	}
	return int(v)
}

func (o *options) boolean(key string, or bool) bool {
	switch v := o.values[key].(type) {
	case nil:
		return or
	case bool:
		return v
	}
	o.fail(key, "true or false")
	return or
}

func (o *options) text(key, or string) string {
	switch v := o.values[key].(type) {
	case nil:
		return or
	case string:
		return v
	}
	o.fail(key, "a string")
	return or
}

// pair is one number for both axes or two, each from 1 to maxSide.
func (o *options) pair(key string, or [2]int) [2]int {
	if !o.has(key) {
		return or
	}
	list, ok := o.values[key].([]any)
	if !ok {
		list = []any{o.values[key], o.values[key]}
	}
	var out [2]int
	for i := range out {
		if len(list) == 2 {
			if v, ok := list[i].(float64); ok && v == math.Trunc(v) && v >= 1 && v <= maxSide {
				out[i] = int(v)
				continue
			}
		}
		o.fail(key, fmt.Sprintf("two whole numbers from 1 to %d", maxSide))
		return [2]int{1, 1}
	}
	return out
}

// numbers is one number or a list of them, however deep they are nested.
func (o *options) numbers(key string) []float64 {
	v, ok := numbers(o.values[key])
	if !ok {
		o.fail(key, "numbers")
	}
	return v
}

func numbers(v any) ([]float64, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case float64:
		return []float64{v}, true
	case []any:
		var all []float64
		for _, e := range v {
			n, ok := numbers(e)
			if !ok {
				return nil, false
			}
			all = append(all, n...)
		}
		return all, true
	case object:
		if inner := v["value"]; inner != nil {
			return numbers(inner)
		}
		config, _ := v["config"].(object)
		if inner := config["value"]; inner != nil {
			return numbers(inner)
		}
	}
	return nil, false
}

// sub is an object within the object.
func (o *options) sub(key string) object {
	v, ok := o.values[key].(object)
	if !ok {
		o.fail(key, "an object")
	}
	return v
}

// list is a list within the object; nil where there is none.
func (o *options) list(key string) []any {
	v, ok := o.values[key].([]any)
	if !ok && o.has(key) {
		o.fail(key, "a list")
	}
	return v
}
