package q8_test

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// side is the number of channels of wide: its square is four megabytes.
const side = 2048

// wide is tiny with a convolution of four megabytes of weights behind the stem.
func wide() (n *q8.Model, weights []int8.Value) {
	n = tiny()
	weights = make([]int8.Value, side*side)
	for i := range weights {
		weights[i] = int8.Value(i%251 - 125)
	}
	for i := 1; i < len(n.Layers); i++ {
		if inputs := n.Layers[i].Inputs; i > 1 {
			inputs[0] += 3
		}
	}
	n.Layers = slices.Insert(n.Layers, 1,
		pointwise("widen", 1, 2, side, make([]int8.Value, 2*side)),
		pointwise("wide", 2, side, side, weights),
		pointwise("narrow", 3, side, 2, make([]int8.Value, 2*side)))
	return rebuilt(n), weights
}

func pointwise(name string, input tensor.ID, in, out int, weights []int8.Value) int8.Layer {
	return int8.Layer{
		Name: name, Inputs: []tensor.ID{input},
		Out: int8.Tensor{Shape: tensor.Shape{H: 5, W: 5, C: out}, Type: int8.Int8, Scale: 1, Zero: []int8.Value{0}},
		Op: &int8.Conv{
			Window: tensor.Square(1, 1, 0), Groups: 1, InC: in, OutC: out, Weight: weights,
			Bias: make([]int32, out), Multiplier: slices.Repeat([]int32{1 << 24}, out), Scale: slices.Repeat([]float32{1}, out),
		},
	}
}

// resident is the process's memory that belongs to no file.
func resident(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			require.NoError(t, err)
			return n << 10
		}
	}
	t.Fatal("/proc/self/status has no RssAnon")
	return 0
}

func TestReleasedWeightsLeaveMemoryAndAreNotReadAgain(t *testing.T) {
	n, want := wide()
	path := filepath.Join(t.TempDir(), "wide.q8")
	require.NoError(t, q8.Write(path, n))
	m, err := q8.Open(path)
	require.NoError(t, err)
	defer m.Close()
	weights := m.Network.Layers[2].Op.(*int8.Conv).Weight
	require.True(t, slices.Equal(want, weights))
	if runtime.GOOS != "linux" {
		m.Release(weights)
		return
	}
	before := resident(t)
	m.Release(weights)
	require.Less(t, resident(t), before-len(weights)*3/4)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	require.Panics(t, func() { require.Zero(t, weights[len(weights)/2]) }, "zeros in place of weights would be wrong answers")
	require.True(t, slices.Equal(make([]int8.Value, 2*side), m.Network.Layers[3].Op.(*int8.Conv).Weight), "the next layer's are still there")
}

func TestReleaseLeavesOtherMemoryAlone(t *testing.T) {
	n, weights := wide()
	path := filepath.Join(t.TempDir(), "wide.q8")
	require.NoError(t, q8.Write(path, n))
	m, err := q8.Open(path)
	require.NoError(t, err)
	want := slices.Clone(weights)
	m.Release(weights) // on the heap: dropped pages would read as zeros
	m.Release(nil)
	require.NoError(t, m.Close())
	m.Release(weights)
	require.True(t, slices.Equal(want, weights))
}
