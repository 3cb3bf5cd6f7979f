// Package torch reads checkpoints that torch.save wrote.
package torch

import (
	"errors"
	"fmt"

	"edgeclassify/importer/weights"
)

// Read returns what a file of torch.save holds. Tensors are not copied.
func Read(file []byte) (*Checkpoint, error) {
	load := loadZip
	if Legacy(file) {
		load = loadLegacy
	}
	v, err := load(file)
	if err != nil {
		return nil, err
	}
	return checkpoint(v, len(file))
}

// loader makes the tensors of a pickle.
//
// Source of the functions that pickles name: torch/_utils.py of PyTorch.
type loader struct {
	// data returns the bytes of a storage.
	data func(storageID) ([]byte, error)
}

// load returns the object that a pickle begins with, and the pickle's length.
func (l loader) load(pickle []byte) (any, int, error) {
	u := unpickler{reduce: l.reduce, persistent: l.storage}
	v, err := u.unpickle(pickle)
	return v, u.at, err
}

// storageID is how pickles refer to a typed run of elements.
type storageID struct {
	key    string
	stored string // class
	kind   storageType
	numel  int
	view   *[2]int // offset and number of elements of a part; nil: all
}

func (s storageID) bytes() int { return s.numel * s.kind.size }

type storageType struct {
	dtype weights.DType
	size  int
}

// storageTypes are the storage classes. Tensors of a type without a known
// element type are kept, for they may be of no interest.
var storageTypes = map[string]storageType{
	"DoubleStorage": {weights.Float64, 8}, "FloatStorage": {weights.Float32, 4},
	"HalfStorage": {weights.Float16, 2}, "BFloat16Storage": {weights.BFloat16, 2},
	"LongStorage": {weights.Int64, 8}, "IntStorage": {weights.Int32, 4}, "ShortStorage": {weights.Int16, 2},
	"CharStorage": {weights.Int8, 1}, "ByteStorage": {weights.Uint8, 1}, "BoolStorage": {weights.Unsupported, 1},
	"ComplexFloatStorage": {weights.Unsupported, 8}, "ComplexDoubleStorage": {weights.Unsupported, 16},
	"QInt8Storage": {weights.Unsupported, 1}, "QUInt8Storage": {weights.Unsupported, 1}, "QInt32Storage": {weights.Unsupported, 4},
	"UntypedStorage": {weights.Unsupported, 1},
}

// parseStorage reads a persistent id:
// ("storage", class, key, device, number of elements) and, in the legacy
// format, None or (key, offset, number of elements) of a part.
func parseStorage(id any) (s storageID, err error) {
	t, ok := id.(pyTuple)
	if !ok || len(t) != 5 && len(t) != 6 || t[0] != "storage" {
		return s, errors.New("unknown kind of reference, expected one to a storage")
	}
	class, ok1 := t[1].(pyGlobal)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 {
		return s, errors.New("malformed reference to a storage")
	}
	s = storageID{key: key, stored: class.String(), numel: int(numel)}
	if s.kind, ok = storageTypes[class.name]; !ok || class.module != "torch" && class.module != "torch.cuda" && class.module != "torch.storage" {
		return s, fmt.Errorf("storage %q: class %v is not supported", key, class)
	}
	if numel < 0 || numel > 1<<48 {
		return s, fmt.Errorf("storage %q has %d elements", key, numel)
	}
	if len(t) == 6 && t[5] != nil {
		part, ok := t[5].(pyTuple)
		if !ok || len(part) != 3 {
			return s, errors.New("malformed reference to a part of a storage")
		}
		offset, ok1 := part[1].(int64)
		n, ok2 := part[2].(int64)
		if !ok1 || !ok2 || offset < 0 || n < 0 || offset > numel || n > numel-offset {
			return s, fmt.Errorf("storage %q: a part leaves its %d elements", key, numel)
		}
		s.view = &[2]int{int(offset), int(n)}
	}
	return s, nil
}

// storage is a typed run of elements.
type storage struct {
	storageID
	data []byte
}

func (l loader) storage(id any) (any, error) {
	s, err := parseStorage(id)
	if err != nil {
		return nil, err
	}
	data, err := l.data(s)
	if err != nil {
		return nil, err
	}
	if s.view != nil {
		data = data[s.view[0]*s.kind.size:][:s.view[1]*s.kind.size]
		s.numel = s.view[1]
	}
	return storage{s, data}, nil
}

// reduce makes the calls that tensors consist of. All others give inert objects.
func (l loader) reduce(f pyGlobal, args pyTuple) (any, error) {
	bad := fmt.Errorf("%v is called with %d arguments", f, len(args))
	switch f.String() {
	case "collections.OrderedDict":
		return orderedDict(args)
	case "torch._utils._rebuild_tensor", // storage, offset, size, stride
		"torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_qtensor": // and more
		if len(args) < 4 {
			return nil, bad
		}
		return rebuildTensor(args)
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state": // tensor, and more
		if len(args) < 1 {
			return nil, bad
		}
		return args[0], nil
	case "torch._tensor._rebuild_from_type_v2": // function, class, its arguments, state
		if len(args) < 3 {
			return nil, bad
		}
		inner, ok1 := args[0].(pyGlobal)
		innerArgs, ok2 := args[2].(pyTuple)
		if ok1 && ok2 && inner != f {
			return l.reduce(inner, innerArgs)
		}
	}
	if f.module == "torch._utils" {
		return weights.Array{Stored: "rebuilt by " + f.String()}, nil
	}
	return &pyObject{class: f.String()}, nil
}

// orderedDict takes nothing or, as Python 2 wrote, a list of pairs.
func orderedDict(args pyTuple) (any, error) {
	d := &pyDict{}
	if len(args) == 0 {
		return d, nil
	}
	list, ok := args[0].(*pyList)
	if !ok {
		return nil, fmt.Errorf("OrderedDict is made of a value of type %s", pyType(args[0]))
	}
	for _, item := range list.items {
		pair, ok := item.(*pyList)
		if !ok || len(pair.items) != 2 {
			return nil, errors.New("OrderedDict is made of something else than pairs")
		}
		d.keys, d.values = append(d.keys, pair.items[0]), append(d.values, pair.items[1])
	}
	return d, nil
}

func rebuildTensor(args pyTuple) (any, error) {
	s, ok1 := args[0].(storage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := ints(args[2])
	strides, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(strides) || len(shape) > 8 {
		return nil, errors.New("malformed tensor")
	}
	a := weights.Array{DType: s.kind.dtype, Stored: s.stored, Shape: shape, Strides: strides}
	n, ok := weights.Elements(shape, s.numel)
	if !ok {
		return nil, fmt.Errorf("tensor of shape %v is larger than its storage of %d elements", shape, s.numel)
	}
	if n == 0 {
		a.Strides = nil
		return a, nil
	}
	if offset < 0 || offset >= int64(s.numel) {
		return nil, fmt.Errorf("offset %d leaves a storage of %d elements", offset, s.numel)
	}
	last := offset
	for d, stride := range strides {
		last += int64(shape[d]-1) * int64(stride)
		if last >= int64(s.numel) { // checked at every step, before it can overflow
			return nil, fmt.Errorf("tensor of shape %v with offset %d and strides %v leaves its storage of %d elements", shape, offset, strides, s.numel)
		}
	}
	a.Data = s.data[int(offset)*s.kind.size:]
	if rowMajor(shape, strides) {
		a.Strides = nil
		a.Data = a.Data[:n*s.kind.size]
	}
	return a, nil
}

// ints converts a tuple of integers; each must fit
// 31 bits, which no tensor of a network exceeds and whose products stay within 64.
func ints(v any) ([]int, bool) {
	t, ok := v.(pyTuple)
	out := make([]int, len(t))
	for i, x := range t {
		n, isInt := x.(int64)
		if !isInt || n < 0 || n >= 1<<31 {
			return nil, false
		}
		out[i] = int(n)
	}
	return out, ok
}

// rowMajor is whether the elements lie one after the other. Strides of
// dimensions of one element have no meaning.
func rowMajor(shape, strides []int) bool {
	want := 1
	for d := len(shape) - 1; d >= 0; d-- {
		if shape[d] != 1 && strides[d] != want {
			return false
		}
		want *= shape[d]
	}
	return true
}
