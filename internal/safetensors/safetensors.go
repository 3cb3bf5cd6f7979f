// Package safetensors reads and writes the safetensors file format: eight
// bytes of little-endian header length, a JSON header, then the data of all
// tensors without gaps.
//
// The reader is meant for untrusted files: it checks everything before it
// hands out a byte, never panics, and allocates no more than a small multiple
// of the header.
//
// Format: https://huggingface.co/docs/safetensors
package safetensors

import (
	"fmt"
	"math/bits"
)

// MaxHeader is the largest header that is read or written, in bytes; the
// reference implementation has the same limit.
const MaxHeader = 100_000_000

// metadataKey is the header's one key that is no tensor.
const metadataKey = "__metadata__"

// DType is the type of a tensor's elements, by its name in the format.
type DType string

// The element types whose elements are whole bytes and need no scale.
const (
	Bool DType = "BOOL"
	U8   DType = "U8"
	I8   DType = "I8"
	U16  DType = "U16"
	I16  DType = "I16"
	F16  DType = "F16"
	BF16 DType = "BF16"
	U32  DType = "U32"
	I32  DType = "I32"
	F32  DType = "F32"
	U64  DType = "U64"
	I64  DType = "I64"
	F64  DType = "F64"
)

// Size is the number of bytes of one element, or 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case Bool, U8, I8:
		return 1
	case U16, I16, F16, BF16:
		return 2
	case U32, I32, F32:
		return 4
	case U64, I64, F64:
		return 8
	}
	return 0
}

// Tensor is one named array: little-endian elements in row-major order.
type Tensor struct {
	Name  string
	DType DType
	Shape []int // no dimension: one element
	Data  []byte
}

// File is the content of one safetensors file.
type File struct {
	Metadata map[string]string // nil where the file has none
	Tensors  []Tensor          // in the order of their data

	index map[string]int
}

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// byteSize is the number of bytes that a tensor of this type and shape takes.
func byteSize(d DType, shape []int) (uint64, error) {
	if d.Size() == 0 {
		return 0, fmt.Errorf("unknown element type %q", string(d))
	}
	size := uint64(d.Size())
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
		hi, lo := bits.Mul64(size, uint64(n))
		if hi != 0 {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		size = lo
	}
	return size, nil
}
