package diagnose

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func analyze(t *testing.T, g *models.Graph, n *int8.Network, images dataset.Images, p dataset.Pass) *Analysis {
	t.Helper()
	a, err := Analyze(t.Context(), g, n, images, p)
	require.NoError(t, err)
	return a
}

func TestAnalysisDoesNotDependOnThreads(t *testing.T) {
	g, n, pictures := quantized(t, 1)
	pictures.Missing = map[int]bool{0: true, 13: true}
	var skipped int
	options := dataset.Pass{Threads: 1, Skip: func(error) { skipped++ }}
	want := analyze(t, g, n, pictures, options)
	require.Equal(t, 38, want.Images)
	require.Len(t, want.Margins, 38)
	require.Equal(t, 2, skipped)
	for _, threads := range []int{2, 5} {
		options.Threads = threads
		require.Equal(t, want, analyze(t, g, n, pictures, options))
	}
}

func TestAnalysisOfSomePictures(t *testing.T) {
	g, n, pictures := quantized(t, 1)
	require.Equal(t, 7, analyze(t, g, n, pictures, dataset.Pass{Threads: 2, Limit: 7}).Images)
	pictures.Missing = map[int]bool{39: true}
	_, err := Analyze(t.Context(), g, n, pictures, dataset.Pass{Threads: 2})
	require.ErrorContains(t, err, "no such picture")
	pictures.N = 0
	_, err = Analyze(t.Context(), g, n, pictures, dataset.Pass{Threads: 2})
	require.ErrorContains(t, err, "no pictures")
}

// observation is what the float network and the reference give for one layer.
type observation struct {
	exact, quantized []float64 // real values
	codes            map[int32]bool
	dead             int
}

// observeBoth runs both on all pictures.
func observeBoth(t *testing.T, g *models.Graph, n *int8.Network, pictures graphtest.Images) map[string]*observation {
	t.Helper()
	units, err := quantize.Lower(g)
	require.NoError(t, err)
	tensors, all := map[tensor.ID]string{}, map[string]*observation{}
	for _, u := range units {
		tensors[u.Output], all[u.Name] = u.Name, &observation{codes: map[int32]bool{}}
	}
	e, err := fp32.NewExecutor(g, 2, slices.Collect(maps.Keys(tensors))...)
	require.NoError(t, err)
	for i := range pictures.N {
		rgb, err := pictures.Load(i)
		require.NoError(t, err)
		_, err = e.RunImage(rgb, func(id tensor.ID, values []float32) error {
			o := all[tensors[id]]
			for _, v := range values {
				o.exact = append(o.exact, float64(v))
			}
			return nil
		})
		require.NoError(t, err)
		_, err = n.Reference(rgb, func(l *int8.Layer, values []int32) {
			o := all[l.Name]
			for i, q := range values {
				scale := l.Out.Scale
				if d, ok := l.Op.(*int8.Dense); ok {
					scale = d.Scale[i]
				}
				o.codes[q] = true
				o.quantized = append(o.quantized, float64(q-int32(l.Out.ZeroAt(0)))*float64(scale))
			}
		})
		require.NoError(t, err)
	}
	for _, l := range n.Layers {
		alive := map[int]bool{}
		for i, v := range all[l.Name].quantized {
			if v != 0 {
				alive[i%l.Out.Shape.C] = true
			}
		}
		all[l.Name].dead = l.Out.Shape.C - len(alive)
	}
	return all
}

func TestAnalysisAgreesWithTheReference(t *testing.T) {
	g, _, pictures := quantized(t, 3)
	g.Preprocess.Mean = wholeMean()
	kill(t, g, "a2", 5)
	n := quantizedOn(t, g, pictures)
	pictures.N = 10
	a := analyze(t, g, n, pictures, dataset.Pass{Threads: 2})
	want := observeBoth(t, g, n, pictures)
	require.Len(t, a.Layers, len(n.Layers))
	for i, l := range a.Layers {
		w, out := want[l.Layer], n.Layers[i].Out
		require.Equal(t, n.Layers[i].Name, l.Layer)
		require.InEpsilon(t, sqnr(w.exact, w.quantized), *l.Cumulative.SQNR(), 1e-2, l.Layer)
		require.InDelta(t, slices.Min(w.exact), l.Seen.Min, 1e-4, l.Layer)
		require.InDelta(t, slices.Max(w.exact), l.Seen.Max, 1e-4, l.Layer)
		require.Equal(t, w.dead, l.Dead, l.Layer)
		if out.Type == int8.Int32 {
			require.Zero(t, l.Codes)
		} else {
			require.Len(t, w.codes, l.Codes, l.Layer)
		}
		if _, conv := n.Layers[i].Op.(*int8.Conv); conv {
			require.InDelta(t, beyond(w.exact, &out), l.Saturated, 2e-5, l.Layer)
		}
		requireHistogram(t, w.exact, l.Histogram)
	}
	at := slices.IndexFunc(a.Layers, func(l LayerAnalysis) bool { return l.Layer == "a2" })
	require.Positive(t, a.Layers[at].Dead)
}

// kill makes a channel of a convolution zero everywhere.
func kill(t *testing.T, g *models.Graph, name string, channel int) {
	t.Helper()
	c, ok := graphtest.Node(t, g, name).Op.(*models.Conv)
	require.True(t, ok)
	depth := len(c.Weight) / c.OutC
	clear(c.Weight[channel*depth : (channel+1)*depth])
	c.Bias[channel] = -1
}

func sqnr(exact, values []float64) float64 {
	var signal, noise float64
	for i, v := range exact {
		signal += v * v
		noise += (v - values[i]) * (v - values[i])
	}
	return 10 * math.Log10(signal/noise)
}

// beyond is the share of values that no code stands for.
func beyond(values []float64, t *int8.Tensor) float64 {
	n := 0
	for _, v := range values {
		if q := math.Round(v/float64(t.Scale)) + float64(t.Zero[0]); q < -128 || q > 127 {
			n++
		}
	}
	return float64(n) / float64(len(values))
}

func requireHistogram(t *testing.T, values []float64, h Histogram) {
	t.Helper()
	require.LessOrEqual(t, len(h.Counts), 256)
	var total uint64
	for i, n := range h.Counts {
		total += n
		from := h.From + float64(i)*h.Width
		inside := 0
		for _, v := range values {
			if v >= from && v < from+h.Width {
				inside++
			}
		}
		// The float network and its simulation round differently, so that a
		// value near an edge may change bins.
		require.InDelta(t, inside, n, 3+0.02*float64(inside))
	}
	require.Equal(t, uint64(len(values)), total)
}

func TestSplitOfOneLayersNoise(t *testing.T) {
	g, pictures := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(5, 7)))
	table := observed(t, g, pictures)
	table.Means = nil
	n, err := quantize.Network(g, table)
	require.NoError(t, err)
	a := analyze(t, g, n, pictures, dataset.Pass{Threads: 2})
	for i, l := range a.Layers {
		switch n.Layers[i].Op.(type) {
		case *int8.Conv:
			split := l.Weights.Noise + l.Rounding.Noise + l.Clipping.Noise
			require.InEpsilon(t, split, l.Isolated.Noise, 0.1, l.Layer)
			require.InEpsilon(t, weightNoise(t, g, n, i, pictures), *l.Weights.SQNR(), 0.01, l.Layer)
		case *int8.MaxPool, int8.GlobalAveragePool:
			require.Nil(t, l.Isolated.SQNR(), l.Layer)
		case *int8.AveragePool:
			require.Zero(t, l.Clipping.Noise)
			require.Equal(t, l.Rounding, l.Isolated)
		case *int8.Dense:
			require.Equal(t, l.Weights, l.Isolated)
			require.Nil(t, l.Rounding.SQNR())
		}
	}
}

// weightNoise is the SQNR of the output of layer i in a float network that has
// this one layer's weights rounded.
func weightNoise(t *testing.T, g *models.Graph, n *int8.Network, i int, pictures graphtest.Images) float64 {
	t.Helper()
	layer := n.Layers[i]
	rounded := graphtest.Replace(t, g, layer.Name, dequantized(t, g, graphtest.Node(t, g, layer.Name), layer))
	exact, quantized := observeBoth(t, g, n, pictures)[layer.Name].exact, observeBoth(t, rounded, n, pictures)[layer.Name].exact
	return sqnr(exact, quantized)
}

func dequantized(t *testing.T, g *models.Graph, node models.Node, layer int8.Layer) *models.Conv {
	t.Helper()
	conv, ok := layer.Op.(*int8.Conv)
	require.True(t, ok)
	op := *node.Op.(*models.Conv)
	op.Weight = floats(conv.Weight)
	for k := range op.Weight {
		op.Weight[k] *= conv.Scale[k/(len(op.Weight)/op.OutC)]
	}
	if node.Inputs[0] == tensor.Input { // of RGB pixels
		channels := slices.Clone(op.Weight)
		for k := range op.Weight {
			c := k % 3
			op.Weight[k] = channels[k-c+g.Preprocess.Channel(c)] * g.Preprocess.Std[c]
		}
	}
	return &op
}

func TestHeadroom(t *testing.T) {
	_, n, _ := quantized(t, 1)
	for i := range n.Layers {
		l := &n.Layers[i]
		in, p := n.Inputs(l)[0], l.Op.Parameters()
		got := headroom(p, in)
		if len(p.Weight) == 0 {
			require.Zero(t, got)
			continue
		}
		require.Positive(t, got) // which NewNetwork has proved
		if _, conv := l.Op.(*int8.Conv); conv {
			p.Bias = slices.Clone(p.Bias)
			p.Bias[0] = math.MaxInt32
			require.Negative(t, headroom(p, in))
		}
	}
}
