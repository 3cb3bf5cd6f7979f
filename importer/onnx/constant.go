package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"edgeclassify/importer/weights"
	"edgeclassify/internal/onnxpb"
)

// constant is a tensor that does not depend on the picture, in row-major order.
type constant struct {
	dims   []int
	floats []float32
	ints   []int64 // integers and truth values; nil for real numbers
}

func (k *constant) len() int { return max(len(k.floats), len(k.ints)) }

// real are the values as real numbers.
func (k *constant) real() []float32 {
	if k.ints == nil {
		return k.floats
	}
	out := make([]float32, len(k.ints))
	for i, v := range k.ints {
		out[i] = float32(v)
	}
	return out
}

// integers are the values as sizes and indices.
func (k *constant) integers() []int {
	if k.ints == nil {
		out := make([]int, len(k.floats))
		for i, v := range k.floats {
			out[i] = int(max(-far, min(far, v)))
		}
		return out
	}
	return clamps(k.ints)
}

// elements is the number of values of a tensor, or false if those or its dimensions
// are too many.
func elements(dims []int) (int, bool) {
	n, ok := weights.Elements(dims, maxElements)
	return n, ok && len(dims) <= maxRank
}

// reshaped is the constant with other dimensions of as many values.
func (k *constant) reshaped(dims []int) (*constant, error) {
	if n, ok := elements(dims); !ok || n != k.len() {
		return nil, fmt.Errorf("cannot give %v the dimensions %v", k.dims, dims)
	}
	return &constant{dims: dims, floats: k.floats, ints: k.ints}, nil
}

// integral is a constant of integers.
func integral(dims []int, values ...int64) *constant {
	return &constant{dims: dims, ints: append([]int64{}, values...)}
}

// constants read weights and compute with them.
type constants struct {
	dir string
	// budget is how many values may still be computed: what a file asks for stays in
	// proportion to its size.
	budget int
	files  map[string]bool // of external data
}

// allow takes so many values from the budget.
func (cs *constants) allow(values int) error {
	if values < 0 || values > cs.budget {
		return errors.New("asks for more memory than the file justifies")
	}
	cs.budget -= values
	return nil
}

// decode reads a tensor of the file, or beside it.
func (cs *constants) decode(t *onnxpb.TensorProto) (*constant, error) {
	raw := t.RawData
	dims := clamps(t.Dims)
	n, ok := elements(dims)
	kind, known := elementTypes[onnxpb.TensorProto_DataType(t.GetDataType())]
	if !known {
		return nil, fmt.Errorf("are of type %v: export them as float32", onnxpb.TensorProto_DataType(t.GetDataType()))
	}
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		var err error
		if raw, err = cs.external(t.ExternalData, n*kind.size); err != nil {
			return nil, err
		}
	}
	stored := len(raw) / kind.size
	if raw == nil {
		stored = max(len(t.FloatData), len(t.Int32Data), len(t.Int64Data), len(t.DoubleData), len(t.Uint64Data))
	}
	if !ok || stored != n || raw != nil && len(raw) != n*kind.size {
		return nil, fmt.Errorf("have %d values for the dimensions %v", stored, t.Dims)
	}
	k := &constant{dims: dims}
	if kind.integer != nil {
		k.ints = integersOf(t, raw, n, kind)
	} else {
		k.floats = floatsOf(t, raw, n, kind)
	}
	return k, nil
}

// elementType is how the elements of a tensor are stored.
type elementType struct {
	size    int // bytes
	integer func(b []byte) int64
	float   func(b []byte) float32
}

func half(t weights.DType) func([]byte) float32 {
	return func(b []byte) float32 {
		v, _ := weights.Array{DType: t, Shape: []int{1}, Data: b}.Floats() // the type is one of its own
		return v[0]
	}
}

var elementTypes = map[onnxpb.TensorProto_DataType]elementType{
	onnxpb.TensorProto_FLOAT: {4, nil, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }},
	onnxpb.TensorProto_DOUBLE: {8, nil, func(b []byte) float32 {
		return float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	}},
	onnxpb.TensorProto_FLOAT16:  {2, nil, half(weights.Float16)},
	onnxpb.TensorProto_BFLOAT16: {2, nil, half(weights.BFloat16)},
	onnxpb.TensorProto_INT64:    {8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) }, nil},
	onnxpb.TensorProto_UINT64:   {8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) }, nil},
	onnxpb.TensorProto_INT32:    {4, func(b []byte) int64 { return int64(int32(binary.LittleEndian.Uint32(b))) }, nil},
	onnxpb.TensorProto_UINT32:   {4, func(b []byte) int64 { return int64(binary.LittleEndian.Uint32(b)) }, nil},
	onnxpb.TensorProto_INT16:    {2, func(b []byte) int64 { return int64(int16(binary.LittleEndian.Uint16(b))) }, nil},
	onnxpb.TensorProto_UINT16:   {2, func(b []byte) int64 { return int64(binary.LittleEndian.Uint16(b)) }, nil},
	onnxpb.TensorProto_INT8:     {1, func(b []byte) int64 { return int64(int8(b[0])) }, nil},
	onnxpb.TensorProto_UINT8:    {1, func(b []byte) int64 { return int64(b[0]) }, nil},
	onnxpb.TensorProto_BOOL:     {1, func(b []byte) int64 { return int64(b[0]) }, nil},
}

// integersOf reads n integers.
func integersOf(t *onnxpb.TensorProto, raw []byte, n int, kind elementType) []int64 {
	out := make([]int64, n)
	for i := range out {
		switch {
		case raw != nil:
			out[i] = kind.integer(raw[i*kind.size:])
		case i < len(t.Int64Data):
			out[i] = t.Int64Data[i]
		case i < len(t.Int32Data):
			out[i] = int64(t.Int32Data[i])
		case i < len(t.Uint64Data):
			out[i] = int64(t.Uint64Data[i])
		}
	}
	return out
}

// floatsOf reads n real numbers.
func floatsOf(t *onnxpb.TensorProto, raw []byte, n int, kind elementType) []float32 {
	out := make([]float32, n)
	var bits [2]byte
	for i := range out {
		switch {
		case raw != nil:
			out[i] = kind.float(raw[i*kind.size:])
		case i < len(t.FloatData):
			out[i] = t.FloatData[i]
		case i < len(t.DoubleData):
			out[i] = float32(t.DoubleData[i])
		case i < len(t.Int32Data) && kind.size == 2: // the bits of 16-bit floats
			binary.LittleEndian.PutUint16(bits[:], uint16(t.Int32Data[i]))
			out[i] = kind.float(bits[:])
		}
	}
	return out
}

// external reads a tensor of so many bytes from a file beside the model.
func (cs *constants) external(entries []*onnxpb.StringStringEntryProto, length int) ([]byte, error) {
	at := map[string]string{"offset": "0", "length": strconv.Itoa(length)}
	for _, e := range entries {
		at[e.GetKey()] = e.GetValue()
	}
	name := at["location"]
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("lie in %q: want a file beside the model", name)
	}
	offset, err := strconv.ParseInt(at["offset"], 10, 64)
	if stored, bad := strconv.Atoi(at["length"]); err != nil || bad != nil || offset < 0 || stored != length {
		return nil, fmt.Errorf("lie at %q, %q bytes, in %q: want %d bytes", at["offset"], at["length"], name, length)
	}
	f, err := os.Open(filepath.Join(cs.dir, name))
	if err != nil {
		return nil, fmt.Errorf("lie in a file of their own, keep it beside the model: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size()-offset < int64(length) {
		return nil, fmt.Errorf("lie in %q, which is too short: copy it again", name)
	}
	if !cs.files[name] {
		cs.files[name] = true
		cs.budget += 4 * int(info.Size())
	}
	if err := cs.allow(length); err != nil {
		return nil, err
	}
	b := make([]byte, length)
	if _, err := f.ReadAt(b, offset); err != nil {
		return nil, err
	}
	return b, nil
}

// pick makes a constant of some dimensions, whose values at is told the place of
// and finds in k.
func (cs *constants) pick(k *constant, dims []int, at func(place []int) int) (*constant, error) {
	n, ok := elements(dims)
	if !ok {
		return nil, fmt.Errorf("cannot make a constant of dimensions %v", dims)
	}
	if err := cs.allow(n); err != nil {
		return nil, err
	}
	out := &constant{dims: slices.Clone(dims)}
	if k.ints != nil {
		out.ints = make([]int64, n)
	} else {
		out.floats = make([]float32, n)
	}
	place := make([]int, len(dims))
	for i := range n {
		from := at(place)
		if from < 0 || from >= k.len() {
			return nil, errors.New("reads beyond a constant")
		}
		if k.ints != nil {
			out.ints[i] = k.ints[from]
		} else {
			out.floats[i] = k.floats[from]
		}
		for d := len(place) - 1; d >= 0; d-- {
			if place[d]++; place[d] < dims[d] {
				break
			}
			place[d] = 0
		}
	}
	return out, nil
}

// strides are the distances between neighbours of each dimension in row-major order.
func strides(dims []int) []int {
	out, n := make([]int, len(dims)), 1
	for d := len(dims) - 1; d >= 0; d-- {
		out[d] = n
		n *= dims[d]
	}
	return out
}

// expand repeats k to larger dimensions, as NumPy broadcasts.
func (cs *constants) expand(k *constant, dims []int) (*constant, error) {
	if slices.Equal(k.dims, dims) {
		return k, nil
	}
	extra := len(dims) - len(k.dims)
	if extra < 0 {
		return nil, fmt.Errorf("cannot repeat %v to %v", k.dims, dims)
	}
	step := append(make([]int, extra), strides(k.dims)...)
	for d, n := range k.dims {
		if n == 1 {
			step[extra+d] = 0
		} else if n != dims[extra+d] {
			return nil, fmt.Errorf("cannot repeat %v to %v", k.dims, dims)
		}
	}
	return cs.pick(k, dims, func(place []int) int { return dot(place, step) })
}

func dot(a, b []int) int {
	sum := 0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// common are the dimensions that constants broadcast to.
func common(ks ...*constant) []int {
	var dims []int
	for _, k := range ks {
		if len(k.dims) > len(dims) {
			dims = append(slices.Repeat([]int{1}, len(k.dims)-len(dims)), dims...)
		}
		for d, n := range k.dims {
			if at := len(dims) - len(k.dims) + d; dims[at] == 1 {
				dims[at] = n
			}
		}
	}
	return dims
}
