package torch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"edgeclassify/importer/weights"
)

// torchReader reads PyTorch's zip format: a pickle of the state dict, whose
// tensors refer to storages by key, and one uncompressed entry per storage.
// Storages are not copied.
//
// Format: torch/serialization.py and torch/_utils.py of PyTorch.
type torchReader struct {
	entries map[string]*torchEntry // by path below the archive's one folder
}

// torchEntry is a file of the archive. Its checksum is verified on first use
// only, for any number of tensors may share a storage.
type torchEntry struct {
	data     []byte
	sum      uint32
	verified bool
}

// maxPickle is far above what a ResNet50's names and shapes take, 40 kB.
const maxPickle = 16 << 20

// torchStorage is a typed run of elements.
type torchStorage struct {
	dtype  weights.DType
	stored string
	data   []byte
	numel  int
}

// torchTypes are the storage classes. Tensors of a type without a known
// element type are kept, for they may be of no interest: counters, say.
var torchTypes = map[string]struct {
	dtype weights.DType
	size  int
}{
	"FloatStorage": {weights.Float32, 4}, "HalfStorage": {weights.Float16, 2}, "BFloat16Storage": {weights.BFloat16, 2},
	"DoubleStorage": {weights.Unsupported, 8}, "LongStorage": {weights.Unsupported, 8}, "IntStorage": {weights.Unsupported, 4},
	"ShortStorage": {weights.Unsupported, 2}, "CharStorage": {weights.Unsupported, 1}, "ByteStorage": {weights.Unsupported, 1},
	"BoolStorage": {weights.Unsupported, 1},
}

// Read returns the tensors of a state dict.
func Read(file []byte) (map[string]weights.Array, error) {
	r, err := openTorch(file)
	if err != nil {
		return nil, err
	}
	pickle, err := r.entry("data.pkl")
	if err != nil {
		return nil, err
	}
	if len(pickle) > maxPickle {
		return nil, fmt.Errorf("the pickle has %d bytes, expected at most %d", len(pickle), maxPickle)
	}
	u := unpickler{reduce: r.reduce, persistent: r.storage}
	v, err := u.unpickle(pickle)
	if err != nil {
		return nil, err
	}
	dict, ok := v.(*pyDict)
	if !ok {
		return nil, fmt.Errorf("holds a value of type %s, expected a state dict: save model.state_dict()", pyType(v))
	}
	for _, key := range []string{"state_dict", "model"} {
		if inner, ok := dict.get(key); ok {
			if dict, ok = inner.(*pyDict); !ok {
				return nil, fmt.Errorf("%q is of type %s, expected a state dict", key, pyType(inner))
			}
			break
		}
	}
	return stateDict(dict)
}

// openTorch finds the entries' bytes.
func openTorch(file []byte) (*torchReader, error) {
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("%w: expected what torch.save writes since PyTorch 1.6; load and save an older file again", err)
	}
	r := &torchReader{entries: map[string]*torchEntry{}}
	for _, f := range archive.File {
		_, name, ok := strings.Cut(f.Name, "/")
		if !ok {
			return nil, fmt.Errorf("entry %q is in no folder, expected one folder around all", f.Name)
		}
		if _, taken := r.entries[name]; taken {
			return nil, fmt.Errorf("entry %q appears twice", name)
		}
		if f.Method != zip.Store {
			return nil, fmt.Errorf("entry %q is compressed, which torch.save never does", f.Name)
		}
		offset, err := f.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", f.Name, err)
		}
		size := f.UncompressedSize64
		if offset < 0 || offset > int64(len(file)) || size > uint64(int64(len(file))-offset) {
			return nil, fmt.Errorf("entry %q has %d bytes at %d, the file only %d", f.Name, size, offset, len(file))
		}
		r.entries[name] = &torchEntry{data: file[offset : offset+int64(size)], sum: f.CRC32}
	}
	if order, ok := r.entries["byteorder"]; ok && string(order.data) != "little" {
		return nil, fmt.Errorf("byte order is %q, expected little", order.data)
	}
	return r, nil
}

// entry returns an entry whose checksum holds.
func (r *torchReader) entry(name string) ([]byte, error) {
	e, ok := r.entries[name]
	if !ok {
		return nil, fmt.Errorf("entry %q is missing", name)
	}
	if !e.verified && crc32.ChecksumIEEE(e.data) != e.sum {
		return nil, fmt.Errorf("entry %q is damaged: its checksum is wrong", name)
	}
	e.verified = true
	return e.data, nil
}

// storage resolves a persistent id:
// ("storage", class, key, device, number of elements).
func (r *torchReader) storage(id any) (any, error) {
	t, ok := id.(pyTuple)
	if !ok || len(t) != 5 || t[0] != "storage" {
		return nil, errors.New("unknown kind of reference, expected one to a storage")
	}
	class, ok1 := t[1].(pyGlobal)
	key, ok2 := t[2].(string)
	numel, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("malformed reference to a storage")
	}
	kind, ok := torchTypes[class.name]
	if !ok || class.module != "torch" {
		return nil, fmt.Errorf("storage %q: class %v is not supported", key, class)
	}
	data, err := r.entry("data/" + key)
	if err != nil {
		return nil, err
	}
	if numel < 0 || numel > int64(len(data)/kind.size) || int(numel)*kind.size != len(data) {
		return nil, fmt.Errorf("storage %q has %d bytes, expected %d elements of %d bytes", key, len(data), numel, kind.size)
	}
	return torchStorage{kind.dtype, class.String(), data, int(numel)}, nil
}

// reduce makes the calls that a state dict consists of, and no others.
func (r *torchReader) reduce(f pyGlobal, args pyTuple) (any, error) {
	switch f.String() {
	case "collections.OrderedDict":
		if len(args) == 0 {
			return &pyDict{}, nil
		}
	case "torch._utils._rebuild_tensor_v2": // storage, offset, size, stride, requires_grad, hooks[, metadata]
		if len(args) >= 4 {
			return rebuildTensor(args)
		}
	case "torch._utils._rebuild_parameter": // tensor, requires_grad, hooks
		if len(args) > 0 {
			return args[0], nil
		}
	default:
		return nil, fmt.Errorf("class %v is not part of a state dict: save model.state_dict(), not the model", f)
	}
	return nil, fmt.Errorf("%v is called with %d arguments", f, len(args))
}

func rebuildTensor(args pyTuple) (any, error) {
	s, ok1 := args[0].(torchStorage)
	offset, ok2 := args[1].(int64)
	shape, ok3 := ints(args[2])
	strides, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(strides) || len(shape) > 8 {
		return nil, errors.New("malformed tensor")
	}
	a := weights.Array{DType: s.dtype, Stored: s.stored, Shape: shape, Strides: strides}
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
			break
		}
	}
	if last >= int64(s.numel) {
		return nil, fmt.Errorf("tensor of shape %v with offset %d and strides %v leaves its storage of %d elements", shape, offset, strides, s.numel)
	}
	size := len(s.data) / s.numel
	a.Data = s.data[int(offset)*size:]
	if rowMajor(shape, strides) {
		a.Strides = nil
		a.Data = a.Data[:n*size]
	}
	return a, nil
}

// ints converts a tuple of integers; each must fit 31 bits, which no tensor of
// a ResNet exceeds and whose products stay within 64.
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

// stateDict returns the tensors by name, without the prefix that DataParallel
// puts before every one.
func stateDict(d *pyDict) (map[string]weights.Array, error) {
	arrays := map[string]weights.Array{}
	prefixed := true
	for i, key := range d.keys {
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("a key is of type %s, expected the name of a tensor", pyType(key))
		}
		a, ok := d.values[i].(weights.Array)
		if !ok {
			return nil, fmt.Errorf("%q is of type %s, expected a tensor: save model.state_dict()", name, pyType(d.values[i]))
		}
		arrays[name] = a
		prefixed = prefixed && strings.HasPrefix(name, dataParallel)
	}
	if !prefixed {
		return arrays, nil
	}
	bare := make(map[string]weights.Array, len(arrays))
	for name, a := range arrays {
		bare[strings.TrimPrefix(name, dataParallel)] = a
	}
	return bare, nil
}

const dataParallel = "module."
