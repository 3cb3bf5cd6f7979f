package sgemm

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWinogradIsAConvolution of one window, of which four pixels follow.
func TestWinogradIsAConvolution(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, c := range []struct{ channels, outputs int }{{8, 8}, {32, 40}, {40, 72}} {
		weight, bias := random(rng, c.outputs*9*c.channels), random(rng, c.outputs)
		window, residual := random(rng, 16*c.channels), random(rng, 4*c.outputs)
		w := PackWinograd(weight, bias, c.outputs, c.channels)
		in, products := make([]float32, 16*c.channels), make([]float32, 16*c.outputs)
		WinogradIn(in, c.channels, window, 4*c.channels, c.channels)
		for i := range w {
			for from := 0; from < c.outputs; from += 32 {
				w.Mul(i, Results{Values: products[i*c.outputs:], Stride: max(c.outputs, maxColumns)},
					Windows{in[i*c.channels:], 1, 1, 0, c.channels, 0}, from, min(from+32, c.outputs))
			}
		}
		y := make([]float32, 4*c.outputs)
		out, z := quarters(y), quarters(residual)
		WinogradOut(&out, &z, products, c.outputs, Results{}.limits())
		for at, got := range y {
			pixel, o := at/c.outputs, at%c.outputs
			var x []float32
			for row := range 3 {
				x = append(x, window[((pixel/2+row)*4+pixel%2)*c.channels:][:3*c.channels]...)
			}
			want, magnitude := dot(x, weight[o*9*c.channels:], bias[o])
			require.InDelta(t, want+float64(residual[at]), got, magnitude*float64(c.channels)*0x1p-24)
		}
	}
}

func quarters(v []float32) (q [4][]float32) {
	for i := range q {
		q[i] = v[i*len(v)/4:][:len(v)/4]
	}
	return q
}

// The order of sums is the package's promise: kernels and portable code have the same bits.
func TestWinogradTransforms(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, channels := range []int{8, 24} {
		apart, pitch := channels+rng.IntN(5), 4*channels+rng.IntN(5)
		src, dst := random(rng, 3*pitch+4*channels), guarded(15*apart+channels)
		WinogradIn(dst, apart, src, pitch, channels)
		m, y, limits := random(rng, 15*apart+channels), make([]float32, 4*channels), Limits{-1, 1.5}
		out := quarters(y)
		WinogradOut(&out, nil, m, apart, limits)
		for c := range channels {
			var t0, t1, h [4][4]float32
			for x := range 4 {
				d := func(i int) float32 { return src[i*pitch+x*channels+c] }
				t0[0][x], t0[1][x], t0[2][x], t0[3][x] = d(0)-d(2), d(1)+d(2), d(2)-d(1), d(1)-d(3)
			}
			for i, d := range t0 {
				t1[i] = [4]float32{d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]}
				p := func(x int) float32 { return m[(4*i+x)*apart+c] }
				h[i][0], h[i][1] = p(0)+p(1)+p(2), p(1)-p(2)-p(3)
			}
			for i := range 16 {
				requireSame(t, t1[i/4][i%4], dst[i*apart+c])
			}
			for x := range 2 {
				requireSame(t, limits.clip(h[0][x]+h[1][x]+h[2][x]), y[x*channels+c])
				requireSame(t, limits.clip(h[1][x]-h[2][x]-h[3][x]), y[(2+x)*channels+c])
			}
		}
	}
}
