package int8_test

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/tensor"
)

// The values are computed by hand.
func TestEmbeddingOf(t *testing.T) {
	dst := make([]int16, 3)
	(&int8.Embedding{Pooled: 1}).Of(dst, []int16{3, -4, 0}, nil, 1000)
	require.Equal(t, []int16{600, -800, 0}, dst)
	(&int8.Embedding{Pooled: 1}).Of(dst, []int16{0, 0, 0}, nil, 1000)
	require.Equal(t, []int16{0, 0, 0}, dst)

	// Logits of 1, 2 and 9: their mean is 4, their deviation sqrt(38/3) = 3.559, and 9
	// is 1.405 above.
	e := &int8.Embedding{Pooled: 0.6, Logits: 0.8, Threshold: 1, Scale: []float32{1, 0.5, 3}}
	dst = make([]int16, 5)
	e.Of(dst, []int16{-5, 0}, []int32{1, 4, 3}, 1000)
	require.Equal(t, []int16{-600, 0, 0, 0, 800}, dst)
	e.Threshold = 2 // none of them
	e.Of(dst, []int16{-5, 0}, []int32{1, 4, 3}, 1000)
	require.Equal(t, []int16{-600, 0, 0, 0, 0}, dst)
	e.Of(dst, []int16{1, 1}, []int32{6, 12, 2}, 1000) // all alike
	require.Equal(t, []int16{424, 424, 0, 0, 0}, dst)
	e.Threshold, e.Scale = 0, []float32{1, 1, 1} // 1.069 and 0.267 above
	e.Of(dst, []int16{1, 1}, []int32{-5, 1, 4}, 32767)
	require.Equal(t, []int16{13902, 13902, 0, 6358, 25431}, dst)
}

// taught is operations with features of int16, and of a plane, and its classifier read
// by another one.
func taught() *int8.Network {
	n := operations()
	base := n.Layers[7]
	base.Inputs, base.Op = []tensor.ID{6}, &int8.Dense{In: 1, Out: 1, Weight: []int8.Value{9}, Bias: []int32{5}, Scale: []float32{1}}
	e := &int8.Embedding{Pooled: 0.8, Logits: 0.6, Scale: []float32{2}}
	n.Layers = append(n.Layers[:7], base,
		int8.Layer{Name: "embedding", Inputs: []tensor.ID{6, 8}, Op: e, Out: e.Output(1, 1000)},
		int8.Layer{Name: "head", Inputs: []tensor.ID{9}, Out: base.Out, Op: &int8.Dense{In: 2, Out: 1, Weight: []int8.Value{-3, 2}, Bias: []int32{7}, Scale: []float32{1}}})
	return n
}

func TestFeatures(t *testing.T) {
	n := taught()
	require.NoError(t, valid(n))
	id, ok := n.Features()
	require.True(t, ok)
	require.Equal(t, "mean", n.Layers[id.Node()].Name)
	n.Layers = n.Layers[:8] // the base itself
	id, ok = n.Features()
	require.True(t, ok)
	require.Equal(t, "mean", n.Layers[id.Node()].Name)
	_, ok = operations().Features()
	require.False(t, ok, "a plane")
	n = operations()
	n.Layers[7].Inputs = []tensor.ID{tensor.Input}
	_, ok = n.Features()
	require.False(t, ok, "the image")
}

func TestReferenceOfAnEmbedding(t *testing.T) {
	n := taught()
	n, err := int8.NewNetwork(n.Name, n.Input, n.Layers)
	require.NoError(t, err)
	got := map[string][]int32{}
	_, err = n.Reference([]uint8{128 + 20, 128 + 100}, func(l *int8.Layer, values []int32) { got[l.Name] = values })
	require.NoError(t, err)
	require.Equal(t, []int32{800, 0}, got["embedding"], "one logit stands out from no others")
	require.Equal(t, []int32{7 - 3*800}, got["head"])
}

// What a file can say is in q8's tests.
func TestValidateEmbedding(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*int8.Network, *int8.Embedding)
		want string
	}{
		"logits joined": {func(n *int8.Network, _ *int8.Embedding) {
			n.Layers[6], n.Layers[7] = n.Layers[7], n.Layers[6]
			n.Layers[7].Inputs[1] = 7
		}, `only an embedding can read the logits of a dense layer`},
		"sums joined": {func(n *int8.Network, _ *int8.Embedding) {
			n.Layers = append(n.Layers[:9:9], n.Layers[6], n.Layers[9])
			n.Layers[9].Name, n.Layers[9].Inputs = "more", []tensor.ID{9}
		}, `sums are for a dense layer or an embedding only`},
		"NaN length":     {func(_ *int8.Network, e *int8.Embedding) { e.Pooled = float32(math.NaN()) }, `lengths NaN and 0.6 of the two parts do not make one of 1`},
		"NaN threshold":  {func(_ *int8.Network, e *int8.Embedding) { e.Threshold = float32(math.NaN()) }, `threshold NaN is not finite`},
		"no threshold":   {func(_ *int8.Network, e *int8.Embedding) { e.Threshold = float32(math.Inf(1)) }, `threshold +Inf is not finite`},
		"logits of none": {func(n *int8.Network, e *int8.Embedding) { n.Layers[8].Inputs, e.Scale = n.Layers[8].Inputs[:1], nil }, `lengths 0.8 and 0.6`},
		"not negative":   {func(n *int8.Network, _ *int8.Embedding) { n.Layers[8].Out.NonNegative = true }, `output is 1x1x2 int16`},
	} {
		t.Run(name, func(t *testing.T) {
			n := taught()
			test.edit(n, n.Layers[8].Op.(*int8.Embedding))
			require.ErrorContains(t, valid(n), test.want)
		})
	}
}

// Whatever the values are, no part is longer than it may be, and the bits are those of
// any other machine.
func TestEmbeddingIsBoundedAndPortable(t *testing.T) {
	random, hash := rand.New(rand.NewPCG(1, 1)), fnv.New64a()
	for range 300 {
		pooled := make([]int16, 1+random.IntN(40))
		for i := range pooled {
			pooled[i] = int16(random.IntN(1<<16) >> random.IntN(16))
		}
		part := random.Float64()
		e := &int8.Embedding{Pooled: float32(math.Sqrt(part)), Logits: float32(math.Sqrt(1 - part)), Threshold: 2 * random.Float32()}
		logits := make([]int32, 1+random.IntN(40))
		for i := range logits {
			logits[i] = int32(random.Uint32()) >> random.IntN(32)
			e.Scale = append(e.Scale, float32(math.Ldexp(1+random.Float64(), random.IntN(100)-50)))
		}
		e.Scale[0] = []float32{math.SmallestNonzeroFloat32, math.MaxFloat32, 1}[random.IntN(3)]
		bound := 1 + random.Int32N(math.MaxInt16)
		dst := make([]int16, len(pooled)+len(logits))
		e.Of(dst, pooled, logits, bound)
		for from, length := range map[int]float32{0: e.Pooled, len(pooled): e.Logits} {
			to := len(pooled)
			if from > 0 {
				to = len(dst)
			}
			sum := 0.0
			for _, q := range dst[from:to] {
				require.LessOrEqual(t, math.Abs(float64(q)), float64(bound))
				sum += float64(q) * float64(q)
			}
			if sum > 0 {
				require.InDelta(t, float64(length)*float64(bound), math.Sqrt(sum), 0.5*math.Sqrt(float64(to-from)))
			}
		}
		require.NoError(t, binary.Write(hash, binary.LittleEndian, dst))
	}
	require.Equal(t, uint64(0x480d071a6d4d874a), hash.Sum64())
}
