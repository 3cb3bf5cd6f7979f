package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

func repeated(v float32, n int) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = v
	}
	return values
}

// Whatever a tensor holds, its range has a usable scale and is no wider than
// the values.
func TestEveryMethodGivesAFiniteScale(t *testing.T) {
	outlier := append(gaussian(5000, 0, false), 1e6)
	for name, values := range map[string][]float32{
		"zeros": repeated(0, 100), "constant": repeated(3, 100), "negative": repeated(-0.1, 100),
		"tiny": repeated(math.SmallestNonzeroFloat32, 100), "great": repeated(1e25, 10),
		"one value": {7}, "one of many": append(repeated(0, 100_000), 2), "both signs": {-1, 1e-9},
		"outlier": outlier, "normal": gaussian(5000, 1, true), "rectified": gaussian(5000, 1, false),
	} {
		h := newHistogram()
		require.NoError(t, h.add(values))
		for _, m := range Methods() {
			r := m.choose(h)
			require.NoError(t, r.check(), "%s: %s", name, m)
			scale, zero := r.params()
			require.Greater(t, scale, 0.0, "%s: %s", name, m)
			require.InDelta(t, 0, r.Min+float64(int(zero)+128)*scale, scale, "%s: %s: zero has a code", name, m)
			if h.max > 1e-20 || h.min < -1e-20 {
				require.LessOrEqual(t, r.Max, float64(h.max), "%s: %s", name, m)
				require.GreaterOrEqual(t, r.Min, float64(h.min), "%s: %s", name, m)
			}
		}
	}
}

func TestRangesDoNotDependOnRepetition(t *testing.T) {
	values := gaussian(3000, 2, true)
	once, often := newHistogram(), newHistogram()
	require.NoError(t, once.add(values))
	for range 8 {
		require.NoError(t, often.add(values))
	}
	for _, m := range []Method{ClipMSE, MSE, Entropy, MinMax} {
		require.Equal(t, m.choose(once), m.choose(often), m)
	}
}

func TestEntropyCutsOutliersAndKeepsTheRest(t *testing.T) {
	h := newHistogram()
	require.NoError(t, h.add(append(gaussian(100_000, 0, false), 40)))
	require.InDelta(t, 4.5, Entropy.choose(h).Max, 2.5) // of a normal distribution

	even := newHistogram()
	for i := range 200_000 {
		require.NoError(t, even.add([]float32{float32(i) / 200_000}))
	}
	require.InDelta(t, 1, Entropy.choose(even).Max, 1e-3)
}

// The divergence by its definition, of counts small enough to do by hand.
func TestDivergence(t *testing.T) {
	// p = 1/8 3/8 2/8 2/8, q = 2/6 2/6 2/6, 0 without the clipped values.
	require.True(t, math.IsInf(divergence([]float64{1, 3, 2, 0, 2}, 4, 4), 1))
	// Levels of two bins: q = 2/8 2/8 2/8 2/8.
	want := 1./8*math.Log(1./2) + 3./8*math.Log(3./2)
	require.InDelta(t, want, divergence([]float64{1, 3, 2, 2}, 4, 2), 1e-12)
	// Two clipped values on the last bin: p = 1/10 3/10 2/10 4/10, q as before.
	want = .1*math.Log(.1*4) + .3*math.Log(.3*4) + .2*math.Log(.2*4) + .4*math.Log(.4*4)
	require.InDelta(t, want, divergence([]float64{1, 3, 2, 2, 1, 1}, 4, 2), 1e-12)
	require.Zero(t, divergence([]float64{5, 0, 0, 5}, 4, 2), "empty bins stay empty")
}

func TestGains(t *testing.T) {
	pointwise := func(in, out int, weight ...float32) *models.Conv {
		return &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: in, OutC: out, Weight: weight}
	}
	g := &models.Graph{Name: "gains", InputName: "image", Input: tensor.Shape{H: 2, W: 2, C: 1}, Nodes: []models.Node{
		{Name: "a", Inputs: []string{"image"}, Op: pointwise(1, 2, 1, 1)},
		{Name: "b", Inputs: []string{"a"}, Op: pointwise(2, 2, 2, 0, 3, 1)},
		{Name: "sum", Inputs: []string{"b", "a"}, Op: models.Add{}},
		{Name: "relu", Inputs: []string{"sum"}, Op: models.ReLU{}},
		{Name: "pool", Inputs: []string{"relu"}, Op: models.GlobalAveragePool{}},
		{Name: "fc", Inputs: []string{"pool"}, Op: &models.Dense{In: 2, Out: 3, Weight: []float32{1, 0, 0, 2, 3, 0}}},
	}}
	shapes, err := g.Shapes()
	require.NoError(t, err)
	got := errorGains(g, shapes)
	require.Equal(t, []float64{10, 4}, got["sum"])
	require.Equal(t, []float64{4*10 + 9*4 + 10, 4 + 4}, got["a"])

	units, err := lower(g)
	require.NoError(t, err)
	weights, err := channelWeights(g, units)
	require.NoError(t, err)
	require.Equal(t, map[string][]uint64{"a": {1024, 95}, "relu": {1024, 410}}, weights)
}

// A channel that hardly matters does not make the others' steps coarse.
func TestChannelWeightsNarrowTheRange(t *testing.T) {
	g, pictures := classifier(rand.New(rand.NewPCG(21, 1)))
	stem, reader := g.Nodes[0].Op.(*models.Conv), g.Nodes[2].Op.(*models.Conv)
	for i := range stem.Weight[:27] {
		stem.Weight[i] *= 30 // of channel 0
	}
	for i := range reader.Weight {
		if i/(len(reader.Weight)/2) == 0 && i%12 == 0 {
			reader.Weight[i] = 0 // which nobody reads
		}
	}
	reach := func(m Method) float64 {
		return seen(t, g, pictures, 3).Table(m).Ranges["conv0"].Max
	}
	require.Less(t, reach(ChannelMSE), 0.7*reach(ClipMSE))
}
