package diagnose

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

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
