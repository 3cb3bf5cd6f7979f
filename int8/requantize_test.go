package int8

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// The epilogue, in exact arithmetic: round the product's high half, add the
// residual, round half up, saturate.
func exactRequantize(acc, m int32, shift uint8, residual int32) int8 {
	p := new(big.Int).Mul(big.NewInt(int64(acc)<<shift), big.NewInt(int64(m)))
	p.Rsh(p.Lsh(p, 1).Add(p, big.NewInt(1<<31)), 32)
	v := p.Add(p, big.NewInt(int64(residual)+32))
	v.Rsh(v, 6)
	return int8(max(-128, min(127, v.Int64())))
}

func TestRequantizeIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		shift := uint8(random.IntN(4))
		acc := int32(random.Uint32()) >> (random.IntN(20) + int(shift))
		m := int32(random.Uint32()>>1)>>random.IntN(12) | 1
		residual := int32(random.IntN(256)-128) * int32(random.IntN(1000))
		require.Equal(t, exactRequantize(acc, m, shift, residual), Requantize(acc, m, shift, residual),
			"acc %d, multiplier %d, shift %d, residual %d", acc, m, shift, residual)
	}
}

func TestRequantizeRoundsHalfUpAndSaturates(t *testing.T) {
	one, err := QuantizeMultiplier(1.0/128, 0) // 128 accumulator steps are one output step
	require.NoError(t, err)
	for acc, want := range map[int32]int8{0: 0, 62: 0, 64: 1, -64: 0, -66: -1, 128: 1, 127 * 128: 127, 128 * 128: 127, -1 << 20: -128} {
		require.Equal(t, want, Requantize(acc, one, 0, 0), "acc %d", acc)
	}
}

func TestQuantizeMultiplierAndShift(t *testing.T) {
	for _, scale := range []float64{1e-6, 0.001, 1.0 / 64, 0.3, 1, 7.5} {
		shift := ShiftFor(scale)
		m, err := QuantizeMultiplier(scale, shift)
		require.NoError(t, err)
		require.InEpsilon(t, scale, math.Ldexp(float64(m), int(shift)-37), 1e-4)
		if shift > 0 {
			_, err = QuantizeMultiplier(scale, shift-1)
			require.Error(t, err, "a smaller shift would do for %g", scale)
		}
	}
	for _, scale := range []float64{0, -1, math.NaN(), math.Inf(1), 1e-13} {
		_, err := QuantizeMultiplier(scale, 0)
		require.Error(t, err, "%g", scale)
	}
}

func TestAverageRoundsHalfUp(t *testing.T) {
	for sum := int32(-300); sum <= 300; sum++ {
		for count := int32(1); count <= 9; count++ {
			require.Equal(t, int32(math.Floor(float64(sum)/float64(count)+0.5)), Average(sum, count), "%d / %d", sum, count)
		}
	}
}

func TestScaleResidualIsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 1))
	for range 100_000 {
		shift := uint8(random.IntN(maxResidualShift + 1))
		value, ratio := int32(random.IntN(1<<16)-1<<15), int32(1+random.IntN(math.MaxInt16))
		want := math.Floor(math.Ldexp(float64(value)*float64(ratio), -int(shift)) + 0.5)
		require.EqualValues(t, want, ScaleResidual(value, ratio, shift), "%d * %d >> %d", value, ratio, shift)
	}
	require.EqualValues(t, 1<<30, ScaleResidual(-1<<15, -1<<15, 0), "no product leaves int32")
}

func TestQuantizeResidual(t *testing.T) {
	for _, ratio := range []float64{1e-6, 1.0 / 512, 1.0 / 256, 0.0071, 1, 1.7, 511.98} {
		residual, shift, err := QuantizeResidual(ratio)
		require.NoError(t, err)
		require.InEpsilon(t, ratio, math.Ldexp(float64(residual), -int(shift))/OneOut, 1.0/(1<<14))
		require.LessOrEqual(t, residual, int32(math.MaxInt16))
	}
	for _, ratio := range []float64{0, -1, math.NaN(), math.Inf(1), 512, 1e-12} {
		_, _, err := QuantizeResidual(ratio)
		require.Error(t, err, "%g", ratio)
	}
}

func TestRequantizeWithinClamps(t *testing.T) {
	one, err := QuantizeMultiplier(1.0/128, 0)
	require.NoError(t, err)
	for acc, want := range map[int32]int32{0: 0, 64: 1, -64: 0, -66: -1, 1000 * 128: 1000, 1001 * 128: 1000, -2000 * 128: -1000} {
		require.Equal(t, want, RequantizeWithin(acc, one, 0, 0, -1000, 1000), "acc %d", acc)
		require.Equal(t, max(0, want), RequantizeWithin(acc, one, 0, 0, 0, 1000), "acc %d behind a ReLU", acc)
	}
}

func TestBoundForIsTheLargest(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	fits := func(bound, sum int64, bias int32, shift uint8) bool {
		return (bound*sum+abs64(bias))<<shift <= math.MaxInt32
	}
	for range 10_000 {
		sum, shift := random.Int64N(1<<22), uint8(random.IntN(6))
		bias := int32(random.IntN(1<<24)) - 1<<23
		bound := BoundFor(sum, bias, shift)
		if bound < 1 {
			require.False(t, fits(1, sum, bias, shift))
			continue
		}
		require.True(t, fits(int64(bound), sum, bias, shift), "bound %d, sum %d, bias %d, shift %d", bound, sum, bias, shift)
		require.True(t, bound == math.MaxInt16 || !fits(int64(bound)+1, sum, bias, shift))
	}
	require.EqualValues(t, math.MaxInt16, BoundFor(0, 0, 0))
	require.Less(t, BoundFor(1, math.MaxInt32, 1), int32(1))
}

func TestAveragesAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for count := int32(1); count <= maxWindow; count++ {
		a, largest := AveragesOf(count), count*2*math.MaxInt16
		for i := range int32(2000) {
			for _, sum := range []int32{i - 1000, largest - i, i - largest, random.Int32N(2*largest+1) - largest} {
				if Average(sum, count) != a.Of(sum) {
					t.Fatalf("%d / %d: %d, want %d", sum, count, a.Of(sum), Average(sum, count))
				}
			}
		}
	}
}

func TestMeansOfWindowsAreExact(t *testing.T) {
	to := Range{math.MinInt8, math.MaxInt8, 0}
	for count := int32(1); count < 64; count++ {
		m, ok := MeanOf(count)
		require.True(t, ok, count)
		require.NoError(t, checkRequantization(128*int64(count), m.Multiplier, m.Shift), count)
		for sum := -128 * count; sum <= 127*count; sum++ {
			if Average(sum, count) != m.At(sum, to) {
				t.Fatalf("%d / %d: %d, want %d", sum, count, m.At(sum, to), Average(sum, count))
			}
		}
	}
	_, ok := MeanOf(64)
	require.False(t, ok)
}
