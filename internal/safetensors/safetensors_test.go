package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// raw builds a file from any header and data.
func raw(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func write(t testing.TB, metadata map[string]string, tensors ...Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, metadata, tensors))
	return b.Bytes()
}

func TestParse(t *testing.T) {
	f, err := Parse(raw(`{"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},`+
		`"__metadata__":{"k":"v"},"a":{"data_offsets":[0,4],"shape":[1,2],"dtype":"I16"},`+
		`"none":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}}  `, 1, 2, 3, 4, 5, 6))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"k": "v"}, f.Metadata)
	require.Equal(t, []Tensor{
		{"a", I16, []int{1, 2}, []byte{1, 2, 3, 4}},
		{"none", F32, []int{0, 7}, []byte{}},
		{"b", U8, []int{2}, []byte{5, 6}},
	}, f.Tensors)
	b, ok := f.Tensor("b")
	require.True(t, ok)
	require.Equal(t, f.Tensors[2], b)
	_, ok = f.Tensor("c")
	require.False(t, ok)

	empty, err := Parse(raw(`{}`))
	require.NoError(t, err)
	require.Empty(t, empty.Tensors)
}

func TestParseDoesNotCopy(t *testing.T) {
	b := raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2)
	f, err := Parse(b)
	require.NoError(t, err)
	b[len(b)-1] = 9
	require.Equal(t, []byte{1, 9}, f.Tensors[0].Data)
	require.Equal(t, 2, cap(f.Tensors[0].Data), "appending must not reach a neighbour")
}

func TestParseRejects(t *testing.T) {
	one := func(entry string) string { return `{"a":` + entry + `}` }
	u8 := `{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty file":         {nil, "too few for the header length"},
		"huge header":        {append(binary.LittleEndian.AppendUint64(nil, 100_000_001), "{}"...), "more than the limit"},
		"overflowing header": {append(binary.LittleEndian.AppendUint64(nil, 1<<64-1), "{}"...), "more than the limit"},
		"header cut":         {raw(`{"a":` + u8 + `}`)[:20], "the file has only 12 more"},
		"no brace":           {raw(` {}`), "does not begin with {"},
		"empty header":       {raw(``), "does not begin with {"},
		"invalid JSON":       {raw(`{"a":1,}`), "not valid JSON"},
		"two values":         {raw(`{}{}`), "not valid JSON"},
		"invalid UTF-8":      {raw("{\"\xff\":" + u8 + "}"), "not valid UTF-8"},
		"deep nesting":       {raw(`{"a":` + strings.Repeat("[", 1<<20)), "not valid JSON"},
		"tensor is a number": {raw(`{"a":1}`), "found 1, want {"},
		"duplicate name":     {raw(`{"a":`+u8+`,"a":`+u8+`}`, 1, 2), `"a" appears twice`},
		"escaped duplicate":  {raw(`{"a":`+u8+`,"\u0061":`+u8+`}`, 1, 2), `"a" appears twice`},
		"duplicate key":      {raw(one(`{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}`), 1, 2), `"dtype" appears twice`},
		"unknown key":        {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1}`), 1, 2), "no such key"},
		"missing key":        {raw(one(`{"dtype":"U8","shape":[2]}`), 1, 2), "want dtype, shape and data_offsets"},
		"unknown dtype":      {raw(one(`{"dtype":"F4","shape":[2],"data_offsets":[0,1]}`), 1), `unknown element type "F4"`},
		"negative dimension": {raw(one(`{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}`), 1, 2), "-2 is no valid dimension"},
		"fractional":         {raw(one(`{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}`), 1, 2), "2.0 is no valid dimension"},
		"exponent":           {raw(one(`{"dtype":"U8","shape":[2e0],"data_offsets":[0,2]}`), 1, 2), "no valid dimension"},
		"huge dimension":     {raw(one(`{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,2]}`), 1, 2), "no valid dimension"},
		"overflowing shape":  {raw(one(`{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}`)), ""},
		"shape of strings":   {raw(one(`{"dtype":"U8","shape":["2"],"data_offsets":[0,2]}`), 1, 2), "want a number"},
		"three offsets":      {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[0,2,4]}`), 1, 2), "want two offsets"},
		"one offset":         {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[0]}`), 1, 2), "want two offsets"},
		"huge offset":        {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[0,18446744073709551618]}`), 1, 2), "want two offsets"},
		"size mismatch":      {raw(one(`{"dtype":"U8","shape":[3],"data_offsets":[0,2]}`), 1, 2), "U8[3] takes 3 bytes"},
		"reversed offsets":   {raw(one(`{"dtype":"U8","shape":[0],"data_offsets":[1,0]}`), 1), "begins at 1, want 0"},
		"gap before":         {raw(one(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`), 1, 2), "begins at 1, want 0"},
		"data cut":           {raw(one(u8), 1), "the file has only 1 bytes of data"},
		"trailing bytes":     {raw(one(u8), 1, 2, 3), "1 bytes follow the last tensor"},
		"overlap": {raw(`{"a":`+u8+`,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3),
			`"b": data begins at 1, want 2`},
		"metadata no string":   {raw(`{"__metadata__":{"a":1}}`), "want a string"},
		"metadata twice":       {raw(`{"__metadata__":{},"__metadata__":{}}`), "appears twice"},
		"metadata null":        {raw(`{"__metadata__":null}`), "want {"},
		"metadata key twice":   {raw(`{"__metadata__":{"a":"","a":""}}`), `"a" appears twice`},
		"metadata is an array": {raw(`{"__metadata__":[]}`), "want {"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.file)
			require.ErrorContains(t, err, "safetensors: ")
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	b := write(t, map[string]string{"k": "v"}, Tensor{"a", U8, []int{3}, []byte{1, 2, 3}}, Tensor{"b", F32, nil, make([]byte, 4)})
	for n := range b {
		_, err := Parse(b[:n])
		require.Error(t, err, "the first %d of %d bytes", n, len(b))
	}
}

func TestWriteRoundTrip(t *testing.T) {
	metadata := map[string]string{"format": "x", "z": "<&>\u2028", "a": ""}
	tensors := []Tensor{
		{"odd", U8, []int{3}, []byte{1, 2, 3}},
		{"scalar", F64, []int{}, []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{"wide \"quoted\"", I8, []int{2, 64}, bytes.Repeat([]byte{7}, 128)},
		{"empty", F32, []int{0}, []byte{}},
		{"half", F16, []int{3}, []byte{1, 2, 3, 4, 5, 6}},
		{"", Bool, []int{1}, []byte{1}},
	}
	b := write(t, metadata, tensors...)
	require.Equal(t, b, write(t, metadata, tensors...), "equal input, equal bytes")

	f, err := Parse(b)
	require.NoError(t, err)
	require.Equal(t, metadata, f.Metadata)
	require.ElementsMatch(t, tensors, f.Tensors)
}

func TestWriteAligns(t *testing.T) {
	for extra := range 70 { // header lengths of every residue
		b := write(t, map[string]string{"pad": strings.Repeat("x", extra)},
			Tensor{"a", U8, []int{3}, make([]byte, 3)}, Tensor{"b", F64, []int{3}, make([]byte, 24)},
			Tensor{"c", I8, []int{192}, make([]byte, 192)}, Tensor{"d", F16, []int{1}, make([]byte, 2)},
			Tensor{"e", F32, []int{16}, make([]byte, 64)})
		f, err := Parse(b)
		require.NoError(t, err)
		at := 8 + int(binary.LittleEndian.Uint64(b))
		require.Zero(t, at%64, "the data begins aligned")
		for _, x := range f.Tensors {
			require.Zero(t, at%x.DType.Size(), "%s at %d", x.Name, at)
			if len(x.Data)%64 == 0 {
				require.Zero(t, at%64, "%s at %d", x.Name, at)
			}
			at += len(x.Data)
		}
	}
}

func TestWriteRejects(t *testing.T) {
	ok := Tensor{"a", U8, []int{1}, []byte{1}}
	for name, c := range map[string]struct {
		metadata map[string]string
		tensors  []Tensor
		want     string
	}{
		"twice":          {nil, []Tensor{ok, ok}, `tensor "a": the name is taken`},
		"reserved":       {nil, []Tensor{{"__metadata__", U8, []int{1}, []byte{1}}}, "taken"},
		"size":           {nil, []Tensor{{"a", F32, []int{1}, []byte{1}}}, "F32[1] takes 4"},
		"negative":       {nil, []Tensor{{"a", U8, []int{-1}, nil}}, "negative"},
		"dtype":          {nil, []Tensor{{"a", "Q8", []int{1}, []byte{1}}}, `"Q8"`},
		"name UTF-8":     {nil, []Tensor{{"\xff", U8, []int{1}, []byte{1}}}, "UTF-8"},
		"metadata UTF-8": {map[string]string{"a": "\xff"}, nil, "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.ErrorContains(t, Write(&b, c.metadata, c.tensors), c.want)
			require.Zero(t, b.Len(), "nothing may be written before the check")
		})
	}
	err := Write(failing{}, nil, []Tensor{ok})
	require.ErrorIs(t, err, errFull)
}

var errFull = errors.New("disk full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestParseAllocatesLittle(t *testing.T) {
	var header strings.Builder
	header.WriteString("{")
	for i := range 5000 {
		fmt.Fprintf(&header, `"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},`, i)
	}
	b := raw(strings.TrimSuffix(header.String(), ",") + "}")
	r := testing.Benchmark(func(tb *testing.B) {
		tb.ReportAllocs()
		for tb.Loop() {
			if _, err := Parse(b); err != nil {
				tb.Fatal(err)
			}
		}
	})
	require.Less(t, r.AllocedBytesPerOp(), int64(40*len(b)))
}

func FuzzParse(f *testing.F) {
	f.Add(raw(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1, 2))
	f.Add(raw(`{"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}`, 1, 2, 3, 4))
	f.Add(write(f, map[string]string{"a": "b"}, Tensor{"x", F16, []int{2}, make([]byte, 4)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if err != nil {
			return
		}
		total := 0
		for _, x := range file.Tensors {
			total += len(x.Data)
		}
		require.Equal(t, len(b)-8-int(binary.LittleEndian.Uint64(b)), total, "tensors tile the data")

		again, err := Parse(write(t, file.Metadata, file.Tensors...))
		require.NoError(t, err)
		require.ElementsMatch(t, file.Tensors, again.Tensors)
	})
}

// TestPython exchanges files with the reference implementation.
func TestPython(t *testing.T) {
	python := testneed.Python(t, "pip install safetensors numpy", "safetensors.numpy")
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "go.safetensors"), filepath.Join(dir, "py.safetensors")
	b := write(t, map[string]string{"k": "v \"é\""},
		Tensor{"f", F32, []int{2, 1}, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}}, // 1, -2
		Tensor{"i", I8, []int{3}, []byte{1, 2, 0xff}},
		Tensor{"s", I64, []int{}, []byte{5, 0, 0, 0, 0, 0, 0, 0}})
	require.NoError(t, os.WriteFile(ours, b, 0o644))

	out, err := exec.Command(python, "-c", `
import sys, numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
t = load_file(sys.argv[1])
assert sorted(t) == ["f", "i", "s"], t
assert t["f"].dtype == np.float32 and t["f"].tolist() == [[1.0], [-2.0]], t
assert t["i"].dtype == np.int8 and t["i"].tolist() == [1, 2, -1], t
assert t["s"].dtype == np.int64 and t["s"].shape == () and t["s"] == 5, t
with safe_open(sys.argv[1], "np") as f:
    assert f.metadata() == {"k": 'v "é"'}, f.metadata()
save_file({"h": np.array([[1, 2, 0.5]], np.float16), "e": np.zeros((0, 3), np.float32),
           "u": np.array([True, False])}, sys.argv[2], {"from": "python"})
`, ours, theirs).CombinedOutput()
	require.NoError(t, err, "%s", out)

	b, err = os.ReadFile(theirs)
	require.NoError(t, err)
	f, err := Parse(b)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"from": "python"}, f.Metadata)
	require.ElementsMatch(t, []Tensor{
		{"h", F16, []int{1, 3}, []byte{0, 0x3c, 0, 0x40, 0, 0x38}},
		{"e", F32, []int{0, 3}, []byte{}},
		{"u", Bool, []int{2}, []byte{1, 0}},
	}, f.Tensors)
}
