package int8_test

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

func half() float32 { return float32(math.Sqrt(0.5)) }

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
