// Package weights holds the trained tensors that files of any format bring.
package weights

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Tensors is a source of trained weights.
type Tensors interface {
	// Tensor returns the values of one tensor in row-major order. A tensor
	// that is missing or of another shape is an error that names it and the
	// shapes expected and found.
	Tensor(name string, shape []int) ([]float32, error)
}

// File is the content of a weight file of any format. It remembers which
// tensors were asked for.
type File struct {
	arrays map[string]Array
	used   map[string]bool
}

// NewFile leaves out the counters that PyTorch keeps for training.
func NewFile(arrays map[string]Array) *File {
	maps.DeleteFunc(arrays, func(name string, _ Array) bool { return strings.HasSuffix(name, "num_batches_tracked") })
	return &File{arrays: arrays, used: map[string]bool{}}
}

// Tensor implements Tensors.
func (f *File) Tensor(name string, shape []int) ([]float32, error) {
	a, ok := f.arrays[name]
	if !ok {
		return nil, fmt.Errorf("tensor %q is missing, expected with shape %v", name, shape)
	}
	if !slices.Equal(a.Shape, shape) {
		return nil, fmt.Errorf("tensor %q: expected shape %v, found %v", name, shape, a.Shape)
	}
	if !a.DType.Float() {
		return nil, fmt.Errorf("tensor %q: elements are %s, expected floats of 16 to 64 bits", name, a.Stored)
	}
	v, err := a.Floats()
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", name, err)
	}
	f.used[name] = true
	return v, nil
}

// Unused is an error if the file holds tensors that network has no use for:
// to leave out a part of another network would give a network that runs and
// is wrong.
func (f *File) Unused(network string) error {
	var names []string
	for name := range f.arrays {
		if !f.used[name] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%d tensors have no place in %s, the first is %q with shape %v: the file is of another network",
		len(names), network, names[0], f.arrays[names[0]].Shape)
}

// DType is the type of a stored tensor's elements.
type DType int

const (
	Unsupported DType = iota
	Float64
	Float32
	Float16
	BFloat16
	Int64
	Int32
	Int16
	Int8
	Uint16
	Uint8
)

// Float tells whether elements are floats.
func (t DType) Float() bool { return t >= Float64 && t <= BFloat16 }

// Size is the number of bytes of one element, 0 for Unsupported.
func (t DType) Size() int {
	return [...]int{Unsupported: 0, Float64: 8, Float32: 4, Float16: 2, BFloat16: 2, Int64: 8, Int32: 4, Int16: 2, Int8: 1, Uint16: 2, Uint8: 1}[t]
}

// Array is a tensor as it lies in a file: little-endian elements, in row-major
// order unless strides say otherwise.
type Array struct {
	DType   DType
	Stored  string // the file's own name of the element type, for messages
	Shape   []int
	Strides []int // in elements; nil: row-major
	Data    []byte
}

// Floats decodes the tensor in row-major order, each element rounded to float32. The readers guarantee that
// every element lies within the data and that there are no more elements than
// the data holds.
func (a Array) Floats() ([]float32, error) {
	if a.DType == Unsupported {
		return nil, fmt.Errorf("elements are %s, which is not supported", a.Stored)
	}
	n := 1
	for _, d := range a.Shape {
		n *= d
	}
	out := make([]float32, n)
	if a.Strides == nil {
		for i := range out {
			out[i] = a.at(i)
		}
		return out, nil
	}
	for i := range out {
		offset, rest := 0, i
		for d := len(a.Shape) - 1; d >= 0; d-- {
			offset += rest % a.Shape[d] * a.Strides[d]
			rest /= a.Shape[d]
		}
		out[i] = a.at(offset)
	}
	return out, nil
}

func (a Array) at(i int) float32 {
	b := a.Data[i*a.DType.Size():]
	switch a.DType {
	case Float64:
		return float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	case Float16:
		return halfToFloat(binary.LittleEndian.Uint16(b))
	case BFloat16:
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
	case Int64:
		return float32(int64(binary.LittleEndian.Uint64(b)))
	case Int32:
		return float32(int32(binary.LittleEndian.Uint32(b)))
	case Int16:
		return float32(int16(binary.LittleEndian.Uint16(b)))
	case Int8:
		return float32(int8(b[0]))
	case Uint16:
		return float32(binary.LittleEndian.Uint16(b))
	case Uint8:
		return float32(b[0])
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(b))
}

// halfToFloat widens an IEEE 754 binary16 number, which is exact.
func halfToFloat(h uint16) float32 {
	sign, exponent, fraction := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // zero and subnormal numbers count in steps of 2^-24
		return math.Float32frombits(math.Float32bits(float32(fraction)*(1.0/(1<<24))) | sign)
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// FromHWIO reorders a convolution's weights from [h][w][i][o] to [o][h][w][i].
func FromHWIO(w []float32, o, h, wd, i int) []float32 {
	return Transpose(w, h*wd*i, o)
}

// FromOIHW reorders a convolution's weights from [o][i][h][w] to [o][h][w][i].
func FromOIHW(w []float32, o, h, wd, i int) []float32 {
	out := make([]float32, 0, len(w))
	for n := i * h * wd; len(w) > 0; w = w[n:] {
		out = append(out, Transpose(w[:n], i, h*wd)...)
	}
	return out
}

// Transpose turns [rows][cols] into [cols][rows]. It goes by tiles of both so
// that large matrices do not miss the cache at every step.
func Transpose(m []float32, rows, cols int) []float32 {
	const tile = 32
	out := make([]float32, len(m))
	for r0 := 0; r0 < rows; r0 += tile {
		for c0 := 0; c0 < cols; c0 += tile {
			for c := c0; c < min(c0+tile, cols); c++ {
				for r := r0; r < min(r0+tile, rows); r++ {
					out[c*rows+r] = m[r*cols+c]
				}
			}
		}
	}
	return out
}

// Elements is the number of elements of a shape, or false if a dimension is
// negative or there are more than limit.
func Elements(shape []int, limit int) (int, bool) {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > limit/d {
			return 0, false
		}
		n *= d
	}
	return n, n <= limit
}
