package sgemm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// guard is a NaN that no product makes, so that a touched byte shows.
var guard = math.Float32frombits(0x7fc0beef)

func forEachKernel(t *testing.T, test func(t *testing.T, k kernel)) {
	for _, k := range kernels() {
		t.Run(k.isa.String(), func(t *testing.T) { test(t, k) })
	}
}

// mulCase is a product to check.
type mulCase struct {
	rows, outputs, runs, depth int
	residual, clip             bool
}

func TestMulMatchesReference(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k kernel) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, rows := range []int{1, 2, k.small - 1, k.small, k.small + 1, k.large, k.large + 1, 3*k.large - 1, 3*k.large + k.small} {
			for _, outputs := range []int{1, 2, k.columns - 1, k.columns, k.columns + 1, 3*k.columns - 1} {
				for _, depth := range []int{1, 2, 3, 4, 5, 7, 16, 129} {
					checkMul(t, k, rng, mulCase{rows, outputs, 1 + rng.IntN(3), depth, rng.IntN(2) == 0, rng.IntN(2) == 0})
				}
			}
		}
	})
}

func checkMul(t *testing.T, k kernel, rng *rand.Rand, c mulCase) {
	inputs := c.runs * c.depth
	weight, bias := random(rng, c.outputs*inputs), random(rng, c.outputs)
	// Windows may overlap, and so may the runs of one.
	xStride, pitch, yStride := rng.IntN(c.depth+5), rng.IntN(2*c.depth+1), c.outputs+rng.IntN(5)
	length := 1 + rng.IntN(c.rows)
	step := length*xStride + rng.IntN(5)
	x := random(rng, (c.rows-1)/length*step+(length-1)*xStride+(c.runs-1)*pitch+c.depth)
	y := guarded((c.rows-1)*yStride + c.outputs)
	before := guarded(len(y))
	results := Results{Values: y, Stride: yStride}
	if c.clip {
		results.Limits = &Limits{0, 1}
	}
	if c.residual {
		for i := range c.rows {
			copy(y[i*yStride:], random(rng, c.outputs))
		}
		copy(before, y)
		results.Residual = y
	}
	w, err := pack(k, weight, bias, c.outputs, inputs, c.runs)
	require.NoError(t, err)
	for p := range w.Panels() {
		w.Mul(results, Windows{x, c.rows, length, step, xStride, pitch}, p)
	}
	for at, got := range y[:cap(y)] {
		i, j := at/yStride, at%yStride
		if i >= c.rows || j >= c.outputs {
			require.Equal(t, math.Float32bits(guard), math.Float32bits(got), "%+v: value %d was touched", c, at)
			continue
		}
		var window []float32
		for run := range c.runs {
			window = append(window, x[i/length*step+i%length*xStride+run*pitch:][:c.depth]...)
		}
		want := inOrder(k, window, weight[j*inputs:], bias[j])
		exact, magnitude := dot(window, weight[j*inputs:], bias[j])
		require.InDelta(t, exact, want, magnitude*float64(inputs+1)*0x1p-24, "%+v at %d,%d", c, i, j)
		if c.residual {
			want += before[at]
		}
		if c.clip {
			want = max(min(want, 1), 0)
		}
		require.Equal(t, math.Float32bits(want), math.Float32bits(got), "%+v at %d,%d", c, i, j)
	}
}

// TestLimitsKeepNaN and -0, in every row of every kind of tile.
func TestLimitsKeepNaN(t *testing.T) {
	nan, zero := float32(math.NaN()), float32(math.Copysign(0, -1))
	values, limited := []float32{-1, zero, nan, 2}, []float32{0, zero, nan, 1.5}
	forEachKernel(t, func(t *testing.T, k kernel) {
		rows := 2*k.large + k.small + 1
		for _, columns := range []int{1, k.columns} {
			w, err := pack(k, slices.Repeat([]float32{1}, columns), slices.Repeat([]float32{zero}, columns), columns, 1, 1)
			require.NoError(t, err)
			for _, residual := range []bool{false, true} {
				y := Results{Values: make([]float32, rows*columns), Stride: columns, Limits: &Limits{0, 1.5}}
				if residual {
					y.Residual = slices.Repeat([]float32{zero}, len(y.Values))
				}
				x := slices.Repeat(values, rows)[:rows]
				w.Mul(y, Windows{x, rows, rows, 0, 1, 0}, 0)
				for i := range y.Values {
					requireSame(t, limited[i/columns%4], y.Values[i])
				}
			}
		}
	})
}

// requireSame compares bits, but for those of NaN.
func requireSame(t *testing.T, want, got float32) {
	t.Helper()
	if want != want {
		require.True(t, got != got, "got %v, want NaN", got)
		return
	}
	require.Equal(t, math.Float32bits(want), math.Float32bits(got), "got %v, want %v", got, want)
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

func TestMulOfOnePanelLeavesTheOthers(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k kernel) {
		rng := rand.New(rand.NewPCG(3, 4))
		outputs, inputs, rows := 3*k.columns, 5, k.large+1
		w, err := pack(k, random(rng, outputs*inputs), nil, outputs, inputs, 1)
		require.NoError(t, err)
		x, y := random(rng, rows*inputs), guarded(rows*outputs)
		w.Mul(Results{Values: y, Stride: outputs}, Windows{x, rows, rows, 0, inputs, 0}, 1)
		for at, got := range y {
			touched := math.Float32bits(got) != math.Float32bits(guard)
			require.Equal(t, at%outputs/k.columns == 1, touched, "value %d", at)
		}
	})
}

// TestTaps compares all kernels with sums in order, for windows that lose rows and
// columns of taps at the edges.
func TestTaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, channels := range []int{1, 7, 8, 9, 31, 32, 33, 45, 96} {
		for range 20 {
			kernel := [2]int{1 + rng.IntN(5), 1 + rng.IntN(5)}
			taps := PackTaps(random(rng, channels*kernel[0]*kernel[1]), random(rng, channels), channels, kernel[1])
			x := Area{Count: 1 + rng.IntN(3), Stride: rng.IntN(2 * channels), RowStride: 7*channels + rng.IntN(9), ColumnStride: channels + rng.IntN(3)}
			x.Rows[1], x.Columns[1] = rng.IntN(kernel[0]+1), rng.IntN(kernel[1]+1)
			x.Rows[0], x.Columns[0] = rng.IntN(x.Rows[1]+1), rng.IntN(x.Columns[1]+1)
			rows, columns := x.Rows[1]-x.Rows[0], x.Columns[1]-x.Columns[0]
			if rows > 0 && columns > 0 {
				x.Values = random(rng, (x.Count-1)*x.Stride+(rows-1)*x.RowStride+(columns-1)*x.ColumnStride+channels)
			}
			stride := channels + rng.IntN(3)
			y := Results{Values: guarded((x.Count-1)*stride + channels), Stride: stride}
			if rng.IntN(2) == 0 {
				y.Residual = random(rng, len(y.Values))
			}
			if rng.IntN(2) == 0 {
				y.Limits = &Limits{-0.5, 1}
			}
			taps.Mul(y, x)
			for at, got := range y.Values[:cap(y.Values)] {
				if at >= len(y.Values) || at%stride >= channels {
					require.Equal(t, math.Float32bits(guard), math.Float32bits(got), "%d channels: value %d was touched", channels, at)
					continue
				}
				requireSame(t, taps.inOrder(y, x, at/stride, at%stride), got)
			}
		}
	}
}

// inOrder is the result that Mul promises of a window's channel.
func (t *Taps) inOrder(y Results, x Area, window, c int) float32 {
	var values, weights []float32
	for row := x.Rows[0]; row < x.Rows[1]; row++ {
		for column := x.Columns[0]; column < x.Columns[1]; column++ {
			values = append(values, x.Values[window*x.Stride+(row-x.Rows[0])*x.RowStride+(column-x.Columns[0])*x.ColumnStride+c])
			weights = append(weights, t.weight[(row*t.columns+column)*t.channels+c])
		}
	}
	sum := inOrder(kernel{isa: t.isa}, values, weights, t.bias[c])
	if y.Residual != nil {
		sum += y.Residual[window*y.Stride+c]
	}
	return min(max(sum, y.limits().Least), y.limits().Greatest)
}

func TestTilesRefuseShortSlices(t *testing.T) {
	forEachKernel(t, func(t *testing.T, k kernel) {
		const runs, depth, pitch, n = 2, 4, 100, 3
		for _, rows := range []int{k.large, k.small} {
			x, y := (n*rows-1)*depth+pitch+depth, n*rows*k.columns
			panel := make([]float32, (runs*depth+1)*k.columns)
			run := func(y, res, x int, panel []float32) func() {
				m := product{kernel: k, runs: runs, panel: panel, columns: k.columns}
				return func() {
					m.run(Results{make([]float32, y), k.columns, make([]float32, res), nil}, Windows{make([]float32, x), n * rows, n * rows, 0, depth, pitch}, rows, n)
				}
			}
			require.NotPanics(t, run(y, y, x, panel))
			require.Panics(t, run(y-1, y, x, panel))
			require.Panics(t, run(y, y-1, x, panel))
			require.Panics(t, run(y, y, x-1, panel))
			require.Panics(t, run(y, y, x, panel[:k.columns]))
			require.Panics(t, run(y, y, x, panel[:2*k.columns]))
		}
	})
}

func TestPackRefusesWrongLengths(t *testing.T) {
	for _, c := range []struct {
		weights, biases, outputs, inputs, runs int
		err                                    string
	}{
		{5, 2, 2, 3, 1, "do not make a matrix"}, {6, 3, 2, 3, 1, "do not make a matrix"},
		{0, 0, 0, 3, 1, "do not make a matrix"}, {0, 2, 2, 0, 1, "do not make a matrix"},
		{6, 2, 2, 3, 2, "do not make 2 runs"}, {6, 2, 2, 3, 0, "do not make 0 runs"},
	} {
		_, err := Pack(make([]float32, c.weights), make([]float32, c.biases), c.outputs, c.inputs, c.runs)
		require.ErrorContains(t, err, c.err, "%+v", c)
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

func BenchmarkTiles(b *testing.B) {
	const depth, n = 576, 4
	for _, k := range kernels() {
		for _, rows := range []int{k.large, k.small} {
			b.Run(fmt.Sprintf("%v_%dx%d", k.isa, rows, k.columns), func(b *testing.B) {
				x, y := make([]float32, n*rows*depth), make([]float32, n*rows*k.columns)
				m := product{kernel: k, runs: 1, panel: make([]float32, (depth+1)*k.columns), columns: k.columns}
				least := time.Hour
				for b.Loop() {
					start := time.Now()
					m.run(Results{Values: y, Stride: k.columns}, Windows{x, n * rows, n * rows, 0, depth, 0}, rows, n)
					least = min(least, time.Since(start))
				}
				macs := float64(n * rows * k.columns * depth)
				b.ReportMetric(macs/float64(least.Nanoseconds()), "GMAC/s-best")
			})
		}
	}
}
