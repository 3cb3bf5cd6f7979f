package diagnose

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPromote(t *testing.T) {
	s := []Sensitivity{{"a", 0.19}, {"b", 0.36}, {"c", 0.09}, {"d", 0}}
	require.Empty(t, Promote(s, 0.01, 0.02))
	got := Promote(s, 0.01, 0.009)
	require.Len(t, got, 1)
	require.Equal(t, "b", got[0].Layer)
	require.InDelta(t, 0.008, got[0].Disagreement, 1e-12)
	require.InDelta(t, 10*math.Log10(1/0.64), got[0].Gain, 1e-12)
	got = Promote(s, 0.01, 0)
	require.Len(t, got, 3, "d makes no noise")
	require.Equal(t, "c", got[2].Layer)
	require.InDelta(t, 0.006, got[2].Disagreement, 1e-12)
	got = Promote([]Sensitivity{{"a", 0.7}, {"b", 0.8}, {"c", 0.6}}, 0.01, 0)
	require.Len(t, got, 2, "shares that overlap")
	require.InDelta(t, 20, got[1].Gain, 1e-9)
}

func TestMargin(t *testing.T) {
	require.Equal(t, Margin{Float: 2, Error: 0.5}, NewMargin([]float32{1, 7, 5, 5}, []float32{9, 7, 4.5, 0}))
	require.Equal(t, Margin{Float: 2, Error: 0.5}, NewMargin([]float32{7, 5}, []float32{7, 4.5}))
	require.Equal(t, Margin{Float: 3, Error: -4}, NewMargin([]float32{1, 2, 5}, []float32{0, 2, 1}))
	require.Zero(t, Disagreement([]Margin{NewMargin([]float32{1}, []float32{2})}))
}

// Of many pictures with known margins the estimate from a few must give the
// share that changes.
func TestDisagreement(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const sigma = 0.1
	draw := func(n int) []Margin {
		margins := make([]Margin, n)
		for i := range margins {
			margins[i] = Margin{Float: 4 * rng.ExpFloat64(), Error: sigma * rng.NormFloat64()}
		}
		return margins
	}
	changed, all := 0, draw(400_000)
	for _, m := range all {
		if m.Float+m.Error < 0 {
			changed++
		}
	}
	want := float64(changed) / float64(len(all))
	require.InEpsilon(t, want, Disagreement(all), 0.05)
	require.InEpsilon(t, want, Disagreement(draw(400)), 0.4)
	require.Zero(t, Disagreement(nil))
}
