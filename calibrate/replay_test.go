package calibrate

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// A network that differs in later layers gives the logits of a whole run, wherever the
// one before it has differed, within any memory.
func TestReplayGivesTheLogitsOfWholeRuns(t *testing.T) {
	residual, residualImages := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(14, 1)))
	every, everyImages := mobile(t, rand.New(rand.NewPCG(14, 9)))
	for _, c := range []struct {
		graph  *models.Graph
		images graphtest.Images
	}{{residual, residualImages}, {every, everyImages}} {
		q, err := quantize.New(c.graph, nil)
		require.NoError(t, err)
		table := seen(t, c.graph, c.images).Table(quantize.MSE)
		best, err := q.Network(table)
		require.NoError(t, err)
		var images [][]uint8
		for i := range 5 {
			rgb, err := c.images.Load(i)
			require.NoError(t, err)
			images = append(images, rgb)
		}
		for _, share := range []float64{0, 0.5, 1} {
			checkReplay(t, q, table, best, images, share)
		}
	}
}

func checkReplay(t *testing.T, q *quantize.Quantizer, table *quantize.RangeTable, best *int8.Network, images [][]uint8, share float64) {
	t.Helper()
	plan, err := runtime.Compile(best, runtime.Options{Threads: 1, Layerwise: true})
	require.NoError(t, err)
	most := 0
	for id := range best.Topology().Len() {
		most = max(most, plan.StateBytes(tensor.ID(id)))
	}
	r := newReplay(images, 2)
	r.memory = int(share * float64(most*len(images)))
	rng, kept, ran := rand.New(rand.NewPCG(1, 1)), 0, 0
	for range 25 {
		units := quantize.Activations(q.Units())
		wider := *table
		wider.Ranges = map[string]quantize.Range{}
		for layer, v := range table.Ranges {
			wider.Ranges[layer] = v
		}
		name := units[rng.IntN(len(units))].Name
		wider.Ranges[name] = wider.Ranges[name].Scaled(1.3, 1.3)
		n, err := q.Network(&wider)
		require.NoError(t, err)
		first := shared(best, n)
		require.Less(t, first, len(n.Layers))
		changed, err := runtime.Compile(n, runtime.Options{Threads: 1, Like: plan, Layerwise: true})
		require.NoError(t, err)
		want, err := int8Logits(t.Context(), n, images, 1)
		require.NoError(t, err)
		got, err := r.logits(t.Context(), changed, tensor.Output(first), 0, len(images))
		require.NoError(t, err)
		require.Equal(t, want, got, "from layer %d", first)
		bytes := 0
		for i := range r.states {
			bytes += plan.StateBytes(r.states[i].Next())
		}
		require.LessOrEqual(t, bytes, r.memory)
		if ran++; bytes > 0 {
			kept++
		}
		if rng.IntN(3) == 0 { // it becomes the best one
			best, plan, table = n, changed, &wider
		}
	}
	require.Equal(t, share > 0, kept > 0)
	require.Equal(t, share == 1, kept == ran)
}
