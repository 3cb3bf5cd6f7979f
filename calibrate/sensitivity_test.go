package calibrate

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/models"
)

// A convolution with doubled weights and bias doubles its output to the bit,
// which is therefore what runs from such an output on must give.
func TestReplay(t *testing.T) {
	g, pictures := residualClassifier(rand.New(rand.NewPCG(1, 7)))
	units, err := lower(g)
	require.NoError(t, err)
	p, err := compile(g, observed(units))
	require.NoError(t, err)
	rgb, err := pictures.Load(0)
	require.NoError(t, err)
	image := make([]float32, len(rgb))
	g.Preprocess.Float(image, rgb)
	r := newReplay(p)
	plain := floatLogits(t, g, rgb)
	require.Equal(t, plain, r.run(image))
	for i, s := range p.steps {
		require.Equal(t, plain, r.from(i, func(y, x []float32) { copy(y, x) }), s.name)
	}
	for _, name := range []string{"stem", "aside", "a1", "c", "a2"} {
		step := slices.IndexFunc(p.steps, func(s step) bool { return s.name == name || s.name == name+"+" })
		require.GreaterOrEqual(t, step, 0, name)
		got := r.from(step, func(y, x []float32) {
			for i, v := range x {
				y[i] = 2 * v
			}
		})
		require.Equal(t, floatLogits(t, doubled(g, name), rgb), got, name)
	}
	require.Equal(t, plain, r.run(image))
}

// doubled is g with twice the output of a convolution.
func doubled(g *models.Graph, name string) *models.Graph {
	d := *g
	d.Nodes = slices.Clone(g.Nodes)
	for i, n := range d.Nodes {
		if c, ok := n.Op.(*models.Conv); ok && n.Name == name {
			twice := *c
			twice.Weight, twice.Bias = slices.Clone(c.Weight), slices.Clone(c.Bias)
			for _, values := range [][]float32{twice.Weight, twice.Bias} {
				for k := range values {
					values[k] *= 2
				}
			}
			d.Nodes[i].Op = &twice
		}
	}
	return &d
}

func TestSensitivitiesAreThoseOfSimulations(t *testing.T) {
	g, n, pictures := quantized(t, 4)
	g.Preprocess.Mean = wholeMean()
	n.Preprocess = g.Preprocess
	got, err := Sensitivities(context.Background(), g, n, pictures, AnalyzeOptions{Threads: 1, Limit: 8})
	require.NoError(t, err)
	require.Len(t, got, 8)
	exact, err := Simulate(g, n, noError)
	require.NoError(t, err)
	total := simulatedNoise(t, g, g, n, pictures, nil)
	for _, s := range got {
		alone := simulatedNoise(t, exact, g, n, pictures, func(layer string) Precision {
			return Precision{FloatWeights: true, Unrounded: layer != s.Layer, Unclipped: layer != s.Layer}
		})
		want := 0.0
		for i, v := range alone {
			want += v / total[i] / 8
		}
		require.InEpsilon(t, want, s.Share, 0.02, s.Layer)
		require.InDelta(t, math.Pow(10, -s.Gain()/10), 1-s.Share, 1e-9)
	}
	for _, threads := range []int{2, 5} {
		again, err := Sensitivities(context.Background(), g, n, pictures, AnalyzeOptions{Threads: threads, Limit: 8})
		require.NoError(t, err)
		require.Equal(t, got, again)
	}
}

// simulatedNoise is the power of the difference to exact logits for each of 8
// of 40 pictures.
func simulatedNoise(t *testing.T, exact, g *models.Graph, n *int8.Network, pictures noise, precision func(string) Precision) (noise []float64) {
	t.Helper()
	simulation, err := Simulate(g, n, precision)
	require.NoError(t, err)
	for i := 0; i < 40; i += 5 {
		rgb, err := pictures.Load(i)
		require.NoError(t, err)
		noise = append(noise, distance(floatLogits(t, exact, rgb), floatLogits(t, simulation, rgb)))
	}
	return noise
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
