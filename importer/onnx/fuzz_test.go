package onnx_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"edgeclassify/importer/onnx"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// FuzzImport tries damaged files: nothing panics, and memory stays in proportion to
// the file.
func FuzzImport(f *testing.F) {
	for _, build := range []func(f *file){
		func(f *file) { f.small("x") },
		func(f *file) { f.mix("x", 3) },
		func(f *file) {
			shape := f.add("Concat", attributes{"axis": 0}, f.add("Slice", nil, f.add("Shape", nil, "x"), f.integers(0), f.integers(1)), f.integers(-1))
			f.end(f.add("Reshape", nil, f.add("GlobalAveragePool", nil, f.add("Clip", nil, "x", f.number(0))), shape))
		},
		func(f *file) {
			x := f.add("Pad", nil, f.add("Transpose", attributes{"perm": []int64{0, 2, 3, 1}}, "x"), f.integers(0, 1, 0, 0, 0, 1, 0, 0))
			f.end(f.add("ReduceMean", nil, f.add("Slice", nil, x, f.integers(1), f.integers(9), f.integers(1), f.integers(2)), f.integers(1, 2)))
		},
		func(f *file) {
			x := f.add("MaxPool", attributes{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}, "auto_pad": "SAME_UPPER"}, "x")
			f.end(f.add("ReduceMax", attributes{"axes": []int64{2, 3}}, f.add("Concat", attributes{"axis": 1}, x, f.add("Mul", nil, x, f.add("Sigmoid", nil, x)))))
		},
		func(f *file) {
			w := f.add("Expand", nil, f.add("Range", nil, f.scalar(0), f.scalar(6), f.scalar(2)), f.integers(5, 3))
			w = f.add("Where", nil, f.add("Equal", nil, w, f.scalar(0)), w, f.add("ConstantOfShape", attributes{"value": scalar(1)}, f.integers(1)))
			f.end(f.add("MatMul", nil, f.add("Squeeze", nil, f.add("GlobalAveragePool", nil, "x")), f.add("Transpose", nil, f.add("Cast", attributes{"to": 1}, w))))
		},
	} {
		m := picture(13, 1, 3, 2, 2)
		build(m)
		b, err := proto.Marshal(m)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		imported, err := onnx.Parse(b, models.ImportOptions{Input: preprocess.Square(16)})
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(128<<20+1000*len(b)))
		if err == nil {
			require.Equal(t, imported.Input(), imported.Preprocess.Input())
			require.NotEmpty(t, imported.Classes)
		}
	})
}
