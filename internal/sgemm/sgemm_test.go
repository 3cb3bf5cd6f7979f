package sgemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// guard is a NaN that no product makes, so that a touched byte shows.
var guard = math.Float32frombits(0x7fc0beef)

func forEachKernel(t *testing.T, test func(t *testing.T, k kernel)) {
	for _, k := range kernels() {
		t.Run(fmt.Sprintf("%v_%dx%d", k.isa, k.rows, k.columns), func(t *testing.T) { test(t, k) })
	}
}

func TestMulMatchesReference(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k kernel) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, rows := range []int{1, 2, k.rows - 1, k.rows, k.rows + 1, 3*k.rows - 1, 3 * k.rows} {
			for _, outputs := range []int{1, 2, k.columns - 1, k.columns, k.columns + 1, 3*k.columns - 1} {
				for _, inputs := range []int{1, 2, 3, 7, 16, 129} {
					checkMul(t, k, rng, rows, outputs, inputs)
				}
			}
		}
	})
}

func checkMul(t *testing.T, k kernel, rng *rand.Rand, rows, outputs, inputs int) {
	weight, bias := random(rng, outputs*inputs), random(rng, outputs)
	xStride, yStride := inputs+rng.IntN(5), outputs+rng.IntN(5)
	x, y := guarded((rows-1)*xStride+inputs), guarded((rows-1)*yStride+outputs)
	for i := range rows {
		copy(x[i*xStride:], random(rng, inputs))
	}
	w, err := pack(k, weight, bias, outputs, inputs)
	require.NoError(t, err)
	w.Mul(Rows{y, yStride, rows}, Rows{x, xStride, rows}, 0, w.Panels())

	for at, got := range y[:cap(y)] {
		i, j := at/yStride, at%yStride
		if i >= rows || j >= outputs {
			require.Equal(t, math.Float32bits(guard), math.Float32bits(got), "%dx%dx%d: value %d was touched", rows, outputs, inputs, at)
			continue
		}
		row := x[i*xStride:][:inputs]
		exact, magnitude := dot(row, weight[j*inputs:], bias[j])
		require.InDelta(t, exact, got, magnitude*float64(inputs+1)*0x1p-24, "%dx%dx%d at %d,%d", rows, outputs, inputs, i, j)
		require.Equal(t, inOrder(k, row, weight[j*inputs:], bias[j]), got, "%dx%dx%d at %d,%d", rows, outputs, inputs, i, j)
	}
}

// dot returns b + x*w in float64, and the sum of the absolute terms, which
// bounds the rounding error of a float32 sum.
func dot(x, w []float32, b float32) (sum, magnitude float64) {
	sum, magnitude = float64(b), math.Abs(float64(b))
	for k := range x {
		p := float64(x[k]) * float64(w[k])
		sum, magnitude = sum+p, magnitude+math.Abs(p)
	}
	return sum, magnitude
}

// inOrder is the sum that the package promises of a kernel, bit for bit.
func inOrder(k kernel, x, w []float32, b float32) float32 {
	for i := range x {
		if k.isa == portable {
			b += float32(x[i] * w[i])
		} else {
			b = fused(x[i], w[i], b)
		}
	}
	return b
}

// fused is x*y + z, rounded once. The product is exact in float64. The sum is
// rounded to odd there, which keeps what the rounding to float32 needs to
// know. (Boldo, Melquiond: Emulation of a FMA and correctly rounded sums, 2008.)
func fused(x, y, z float32) float32 {
	p, q := float64(x)*float64(y), float64(z)
	sum := p + q
	back := sum - p
	lost := (p - (sum - back)) + (q - back) // TwoSum
	if bits := math.Float64bits(sum); lost != 0 && bits&1 == 0 {
		if (lost > 0) == (sum > 0) {
			sum = math.Float64frombits(bits + 1)
		} else {
			sum = math.Float64frombits(bits - 1)
		}
	}
	return float32(sum)
}

func TestMulOfSomePanelsLeavesTheOthers(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k kernel) {
		rng := rand.New(rand.NewPCG(3, 4))
		outputs, inputs, rows := 3*k.columns, 5, k.rows+1
		w, err := pack(k, random(rng, outputs*inputs), nil, outputs, inputs)
		require.NoError(t, err)
		x, whole, part := random(rng, rows*inputs), guarded(rows*outputs), guarded(rows*outputs)
		w.Mul(Rows{whole, outputs, rows}, Rows{x, inputs, rows}, 0, w.Panels())
		w.Mul(Rows{part, outputs, rows}, Rows{x, inputs, rows}, 1, 2)
		for at, got := range part {
			want := guard
			if j := at % outputs / k.columns; j == 1 {
				want = whole[at]
			}
			require.Equal(t, math.Float32bits(want), math.Float32bits(got), "value %d", at)
		}
	})
}

func TestTileRefusesShortSlices(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k kernel) {
		const depth = 4
		x, y := (k.rows-1)*depth+depth, k.rows*k.columns
		panel := make([]float32, (depth+1)*k.columns)
		tile := func(y, x int, panel []float32) func() {
			return func() {
				k.tile(Rows{make([]float32, y), k.columns, k.rows}, Rows{make([]float32, x), depth, k.rows}, panel)
			}
		}
		require.NotPanics(t, tile(y, x, panel))
		require.Panics(t, tile(y-1, x, panel))
		require.Panics(t, tile(y, x-1, panel))
		require.Panics(t, tile(y, x, panel[:k.columns]))
	})
}

func TestPackRefusesWrongLengths(t *testing.T) {
	for _, c := range []struct{ weights, biases, outputs, inputs int }{
		{5, 2, 2, 3}, {6, 3, 2, 3}, {0, 0, 0, 3}, {0, 2, 2, 0},
	} {
		_, err := Pack(make([]float32, c.weights), make([]float32, c.biases), c.outputs, c.inputs)
		require.ErrorContains(t, err, "do not make a matrix", "%+v", c)
	}
}

func random(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

// guarded returns n guards with more of them up to its capacity.
func guarded(n int) []float32 {
	v := make([]float32, n+64)
	for i := range v {
		v[i] = guard
	}
	return v[:n]
}

func BenchmarkTile(b *testing.B) {
	const depth = 576
	for _, k := range kernels() {
		b.Run(k.isa.String(), func(b *testing.B) {
			x, y := make([]float32, k.rows*depth), make([]float32, k.rows*k.columns)
			panel := make([]float32, (depth+1)*k.columns)
			for b.Loop() {
				k.tile(Rows{y, k.columns, k.rows}, Rows{x, depth, k.rows}, panel)
			}
			macs := float64(k.rows * k.columns * depth)
			b.ReportMetric(macs*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
		})
	}
}
