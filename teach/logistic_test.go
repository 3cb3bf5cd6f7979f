package teach

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSoftplus(t *testing.T) {
	for x := -60.0; x < 60; x += 0.37 {
		require.InDelta(t, math.Log1p(math.Exp(x)), softplus(x), 1e-13*max(1, x))
	}
}

// The solution is scikit-learn's, recorded by testdata/logistic.py.
func TestSolutionIsScikitLearns(t *testing.T) {
	raw, err := os.ReadFile("testdata/logistic.json")
	require.NoError(t, err)
	var want struct {
		Pooled, Classes int
		Vectors         [][]int16
		Target          []int
		Weight          []float64
		Fits            []struct {
			Share, Strength float64
			Logits          [][]float64
		}
	}
	require.NoError(t, json.Unmarshal(raw, &want))
	v := &vectors{samples: len(want.Vectors), pooled: want.Pooled, width: len(want.Vectors[0])}
	l := &logistic{samples: v.samples, classes: want.Classes, weight: want.Weight, target: make([]float64, want.Classes*v.samples)}
	for i, row := range want.Vectors {
		v.values = append(v.values, row...)
		l.target[want.Target[i]*v.samples+i] = 1
	}
	g, err := newGram(t.Context(), v, 2)
	require.NoError(t, err)
	require.Len(t, want.Fits, 9)
	for _, fit := range want.Fits {
		for _, p := range []products{g.mix(fit.Share, upTo(v.samples), make([]float64, v.samples*v.samples)), &explicit{v, fit.Share, 2}} {
			l.products = p
			x := l.vector()
			require.NoError(t, l.solve(t.Context(), x, fit.Strength, 1e-14))
			r := v.regression(x, fit.Share, 1)
			for i, row := range fit.Logits {
				primal := r.logits(v, i) // by the weights themselves
				for k, z := range row {
					require.InDelta(t, z, x.dots[k*v.samples+i]+x.bias[k], 2e-4, "share %v, strength %v", fit.Share, fit.Strength)
					require.InDelta(t, z, primal[k], 2e-4)
				}
			}
		}
	}
}

func upTo(n int) []int {
	index := make([]int, n)
	for i := range index {
		index[i] = i
	}
	return index
}

// Products are exact, and the same by the kernel of the classifier in two halves.
func TestProducts(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 0))
	v := &vectors{samples: 9, pooled: 21, width: 34}
	for range v.samples * v.width {
		v.values = append(v.values, int16(rng.IntN(2*7000)-7000))
	}
	for j := range v.width { // one value may be all there is
		v.values[j] = 0
	}
	v.values[3], v.values[v.pooled] = unit, -unit
	g, err := newGram(t.Context(), v, 3)
	require.NoError(t, err)
	for i := range v.samples {
		for j := range v.samples {
			var pooled, logits int64
			for k, a := range v.row(i) {
				if p := int64(a) * int64(v.row(j)[k]); k < v.pooled {
					pooled += p
				} else {
					logits += p
				}
			}
			require.EqualValues(t, pooled, g.pooled[i*v.samples+j])
			require.EqualValues(t, logits, g.logits[i*v.samples+j])
		}
	}
}

func TestMinimum(t *testing.T) {
	for _, want := range []float64{1e-3, 0.5, 1, 7, 300} {
		// x - want*log(x), whose Newton steps leave the bounds.
		got := minimum(0, 1, 1e-9, func(x float64) (first, second float64) { return 1 - want/x, want / x / x })
		require.InEpsilon(t, want, got, 1e-6)
	}
}
