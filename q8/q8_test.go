package q8_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// tiny is a network with every operation in a file of a few kilobytes.
func tiny() *q8.Model {
	activation := func(side, c int) int8.Tensor {
		return int8.Tensor{Shape: tensor.Shape{H: side, W: side, C: c}, Type: int8.Int8, Scale: 0.25, Zero: []int8.Value{-128}}
	}
	vector := func(t int8.Type, c int) int8.Tensor {
		return int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: c}, Type: t}
	}
	input := activation(9, 3)
	input.Scale, input.Zero = 0, []int8.Value{-5, 0, 7}
	pooled := vector(int8.Int16, 2)
	pooled.Scale, pooled.Bound = 0.25, 255
	spec := preprocess.Caffe()
	spec.Resize, spec.Crop = preprocess.Short(10), preprocess.Square(9)
	return rebuilt(&q8.Model{
		Activation: labels.Softmax,
		Preprocess: spec,
		Classes:    []labels.Class{{ID: "n1", Name: "<tench> & \"König\""}, {ID: "n2", Name: "2\u2028"}, {ID: "n3", Name: ""}},
		Provenance: q8.Provenance{Tool: "test", Source: "tiny.safetensors", Method: "none", Images: 3, Seed: 1<<64 - 1},
		Network: &int8.Network{Name: "tiny", Input: input, Layers: []int8.Layer{
			{Name: "stem", Inputs: []tensor.ID{0}, Out: activation(5, 2), Op: &int8.Conv{
				Window: tensor.Square(1, 2, 0), Groups: 1, InC: 3, OutC: 2, Shift: 2,
				Weight: []int8.Value{1, -127, 3, 127, 0, -6}, Bias: []int32{-7, 1 << 20}, Multiplier: []int32{1 << 30, 1}, Scale: []float32{0.5, 1e-9},
			}},
			{Name: "add", Inputs: []tensor.ID{1, 1}, Out: activation(5, 2), Op: &int8.Conv{
				Window: tensor.Window{KH: 1, KW: 2, StrideH: 1, StrideW: 1, Right: 1}, Groups: 2, InC: 2, OutC: 2, Residual: 64,
				Weight: []int8.Value{9, 8, -7, 6}, Bias: []int32{1, 2}, Multiplier: []int32{1 << 29, 1 << 28}, Scale: []float32{1, 2},
			}},
			{Name: "max", Inputs: []tensor.ID{2}, Out: activation(2, 2), Op: &int8.MaxPool{Window: tensor.Square(2, 2, 0)}},
			{Name: "avg", Inputs: []tensor.ID{3}, Out: activation(1, 2), Op: &int8.AveragePool{Window: tensor.Square(2, 2, 0), CountPad: true}},
			{Name: "sum", Inputs: []tensor.ID{4}, Out: pooled, Op: int8.GlobalAveragePool{}},
			{Name: "fc", Inputs: []tensor.ID{5}, Out: vector(int8.Int32, 3), Op: &int8.Dense{
				In: 2, Out: 3, Weight: []int8.Value{1, 2, 3, 4, 5, -6}, Bias: []int32{-1, 0, 1 << 24}, Scale: []float32{0.5, 0.25, 3},
			}},
		}},
	})
}

// rebuilt is the model of parts that were changed.
func rebuilt(m *q8.Model) *q8.Model {
	n, err := int8.NewNetwork(m.Name, m.Input, m.Layers)
	if err != nil {
		panic(err)
	}
	if m, err = q8.New(n, m.Preprocess, m.Classes, m.Activation, m.Provenance, m.SelfTest); err != nil {
		panic(err)
	}
	return m
}

// withInt16 is tiny with int16 in place of int8 from the stem's output on.
func withInt16() *q8.Model {
	n := tiny()
	for i := range 4 {
		out := &n.Layers[i].Out
		out.Type, out.Zero, out.Bound, out.NonNegative = int8.Int16, nil, 9000, i > 0
	}
	n.Layers[1].Op.(*int8.Conv).ResidualShift = 7
	n.Layers[4].Out.Bound = 9000
	return rebuilt(n)
}

// taught is tiny with another classifier, of an embedding of its sums and logits.
func taught() *q8.Model {
	n := tiny()
	e := &int8.Embedding{Pooled: 0.6, Logits: 0.8, Threshold: 1, Scale: []float32{0.5, 0.25, 3}}
	n.Layers = append(n.Layers,
		int8.Layer{Name: "embedding", Inputs: []tensor.ID{5, 6}, Out: e.Output(2, 9000), Op: e},
		int8.Layer{Name: "head", Inputs: []tensor.ID{7}, Out: n.Layers[5].Out, Op: &int8.Dense{
			In: 5, Out: 3, Weight: []int8.Value{1, 2, 3, 4, 5, -6, 7, 8, 9, 10, 11, 12, 13, 14, -15}, Bias: []int32{0, 1, 2}, Scale: []float32{1, 1, 2},
		}})
	n.Provenance.Base = "fedc"
	return rebuilt(n)
}

func encode(t testing.TB, m *q8.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, q8.Encode(&b, m))
	return b.Bytes()
}

// rounds is how many to do, or how many with -short: programs for another CPU
// run ten times as long in an emulator.
func rounds(all, short int) int {
	if testing.Short() {
		return short
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	networks := []*q8.Model{tiny(), withInt16(), taught()}
	for seed := range uint64(rounds(300, 40)) {
		networks = append(networks, nettest.Model(seed, false), nettest.Model(seed, true), nettest.OperationsModel(seed), nettest.Taught(seed))
	}
	for _, n := range networks {
		file := encode(t, n)
		got, err := q8.Decode(file)
		require.NoError(t, err, n.Name)
		require.Equal(t, n, got)
		require.Equal(t, file, encode(t, got), "equal networks must give equal bytes")
	}
}

// TestFormatIsPinned fails where a change, even of encoding/json, would make
// other bytes of the same network: files in the field could then not be read.
func TestFormatIsPinned(t *testing.T) {
	m := open(t, write(t, encode(t, tiny())))
	require.Equal(t, "d67cfe98b8febcaa777448f2e5f692afa23b76e8d134ae678a0768196f4ef6f0", m.SHA256)
	m = open(t, write(t, encode(t, withInt16())))
	require.Equal(t, "19d432ce23d64b05bedb6a9af27220531415cbbcf5f424f81be934a34d788b37", m.SHA256)
	m = open(t, write(t, encode(t, taught())))
	require.Equal(t, "265a3fc87cb505b4b74b59f6e5f55eafc39da1f7b77b870e4d6f6e0ae0c087fa", m.SHA256)
}

func TestWeightsAreViews(t *testing.T) {
	file := encode(t, tiny())
	n, err := q8.Decode(file)
	require.NoError(t, err)
	for _, l := range n.Layers {
		var weights []int8.Value
		switch op := l.Op.(type) {
		case *int8.Conv:
			weights = op.Weight
		case *int8.Dense:
			weights = op.Weight
		default:
			continue
		}
		begin, at := uintptr(unsafe.Pointer(&file[0])), uintptr(unsafe.Pointer(&weights[0]))
		require.True(t, begin <= at && at+uintptr(len(weights)) <= begin+uintptr(len(file)), "%v", &l)
		require.Equal(t, len(weights), cap(weights), "an append must not reach the next tensor")
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*q8.Model)
		want string
	}{
		"class not UTF-8":    {func(n *q8.Model) { n.Classes[1].Name = "caf\xe9" }, "metadata labels is not canonical"},
		"gigantic name":      {func(n *q8.Model) { n.Name = strings.Repeat("x", 5<<20) }, "metadata graph has"},
		"scale not a number": {func(n *q8.Model) { n.Input.Scale /= n.Input.Scale }, "metadata graph: json: unsupported value: NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			n := tiny()
			test.edit(n)
			path := write(t, []byte("before"))
			require.ErrorContains(t, q8.Encode(&bytes.Buffer{}, n), test.want)
			require.ErrorContains(t, q8.Write(path, n), test.want)
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, "before", string(kept))
		})
	}
}

// Whatever belongs to a network must fit it.
func TestNewRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*q8.Model)
		want string
	}{
		"a class too few":   {func(m *q8.Model) { m.Classes = m.Classes[:2] }, `q8: network "tiny": 2 class names for 3 classes`},
		"other crop":        {func(m *q8.Model) { m.Preprocess.Crop = preprocess.Square(8) }, "input is 9x9x3, preprocessing gives 8x8x3"},
		"network's name":    {func(m *q8.Model) { m.Name = "a\x1b[31m" }, `"a\x1b[31m" has control characters`},
		"source's name":     {func(m *q8.Model) { m.Provenance.Source = "a\u202eb" }, `"a\u202eb" has control characters`},
		"bad preprocessing": {func(m *q8.Model) { m.Preprocess.Std[1] = 0 }, "std positive"},
	} {
		t.Run(name, func(t *testing.T) {
			m := tiny()
			test.edit(m)
			_, err := q8.New(m.Network, m.Preprocess, m.Classes, m.Activation, m.Provenance, nil)
			require.ErrorContains(t, err, test.want)
		})
	}
}

// write puts b into a file of its own.
func write(t testing.TB, b []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "model.q8")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func open(t testing.TB, path string) *q8.File {
	t.Helper()
	m, err := q8.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.q8")
	require.NoError(t, q8.Write(path, tiny()))
	m := open(t, path)
	require.Equal(t, tiny(), m.Model)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	require.EqualValues(t, len(file), m.Size)
	require.Equal(t, 1, bytes.Count(file, []byte(m.SHA256)))
	require.NoError(t, m.Close())
	require.NoError(t, m.Close(), "closing twice is fine")
}

func TestOpenWhileReplaced(t *testing.T) {
	path := write(t, encode(t, tiny()))
	m := open(t, path)
	other := nettest.Model(1, false)
	require.NoError(t, q8.Write(path, other))
	require.Equal(t, tiny(), m.Model, "the open model keeps the old file")
	require.Equal(t, other, open(t, path).Model)
	require.NoError(t, os.Remove(path))
	require.Equal(t, tiny(), m.Model)
}

// In place, as cp and rsync --inplace do.
func TestOpenWhileOverwritten(t *testing.T) {
	path := write(t, encode(t, tiny()))
	m := open(t, path)
	require.NoError(t, os.WriteFile(path, make([]byte, m.Size), 0))
	require.Equal(t, tiny(), m.Model)
	require.NoError(t, os.Truncate(path, 0))
	require.Equal(t, tiny(), m.Model)
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent.q8")
	_, err := q8.Open(absent)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, absent)
	_, err = q8.Open(dir)
	require.ErrorContains(t, err, dir+": not a regular file")
	damaged := encode(t, tiny())
	damaged[len(damaged)-1] ^= 1
	path := write(t, damaged)
	_, err = q8.Open(path)
	require.ErrorContains(t, err, "q8: "+path+": the file is damaged: its SHA-256 is")
	if runtime.GOOS == "linux" { // which tells how much memory there is
		path = write(t, nil)
		require.NoError(t, os.Truncate(path, 1<<42)) // of which nothing is on the disk
		_, err = q8.Open(path)
		require.ErrorContains(t, err, "the file takes 4194304 MB of memory, and there are ")
	}
	path = write(t, nil)
	_, err = q8.Open(path)
	require.EqualError(t, err, "q8: "+path+": the file is empty")
}
