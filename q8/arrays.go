package q8

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"slices"
	"unsafe"

	"edgeclassify/int8"
	"edgeclassify/internal/safetensors"
)

// array ties an array of a layer to the tensor that stores it.
type array struct {
	name   string
	shape  []int // nil for one axis of any length
	values any   // *[]int8, *[]int32 or *[]float32
}

// arrays lists the arrays of a layer, in the order of the format.
func arrays(l *int8.Layer) []array {
	list := codecs[l.Op.Kind()].arrays(l.Op)
	for i := range list {
		list[i].name = l.Name + "." + list[i].name
	}
	return list
}

// tensor returns the stored form: weights as a view, the rest as a
// little-endian copy.
func (a array) tensor() safetensors.Tensor {
	t := safetensors.Tensor{Name: a.name, DType: a.dtype(), Shape: a.shape}
	if t.Shape == nil {
		t.Shape = []int{a.len()}
	}
	switch v := a.values.(type) {
	case *[]int8.Value:
		t.Data = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(*v))), len(*v))
	case *[]int32:
		for _, x := range *v {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(x))
		}
	case *[]float32:
		for _, x := range *v {
			t.Data = binary.LittleEndian.AppendUint32(t.Data, math.Float32bits(x))
		}
	}
	return t
}

func (a array) len() int { return reflect.ValueOf(a.values).Elem().Len() }

func (a array) dtype() safetensors.DType {
	switch a.values.(type) {
	case *[]int8.Value:
		return safetensors.I8
	case *[]int32:
		return safetensors.I32
	default:
		return safetensors.F32
	}
}

// load fills the array from its stored form: weights as a view, which needs no
// alignment and has no byte order, the rest as a copy.
func (a array) load(t safetensors.Tensor) error {
	if a.shape == nil && len(t.Shape) == 1 {
		a.shape = t.Shape
	}
	if t.DType != a.dtype() || !slices.Equal(t.Shape, a.shape) {
		return fmt.Errorf("tensor %q is %s%v, want %s%v", a.name, t.DType, t.Shape, a.dtype(), a.shape)
	}
	switch v := a.values.(type) {
	case *[]int8.Value:
		*v = unsafe.Slice((*int8.Value)(unsafe.Pointer(unsafe.SliceData(t.Data))), len(t.Data))
	case *[]int32:
		*v = make([]int32, len(t.Data)/4)
		for i := range *v {
			(*v)[i] = int32(binary.LittleEndian.Uint32(t.Data[4*i:]))
		}
	case *[]float32:
		*v = slices.Grow(*v, len(t.Data)/4) // nil stays nil
		for b := range slices.Chunk(t.Data, 4) {
			*v = append(*v, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	}
	return nil
}

// load fills all arrays of the layers. Every tensor of the file must be used: a tensor
// that nothing reads is a sign of a graph that does not belong to it.
func load(layers []int8.Layer, f *safetensors.File) error {
	used := map[string]bool{}
	for i := range layers {
		for _, a := range arrays(&layers[i]) {
			t, ok := f.Tensor(a.name)
			if !ok {
				return fmt.Errorf("tensor %q is missing", a.name)
			}
			if err := a.load(t); err != nil {
				return err
			}
			used[a.name] = true
		}
	}
	for _, t := range f.Tensors {
		if !used[t.Name] {
			return fmt.Errorf("tensor %q belongs to no layer", t.Name)
		}
	}
	return nil
}
