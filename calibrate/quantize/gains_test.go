package quantize

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/graphtest"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

func TestGains(t *testing.T) {
	b := models.NewBuilder("image", tensor.Shape{H: 2, W: 2, C: 1})
	add := func(name string, op models.Op, inputs ...string) { _, _ = b.Add(name, op, inputs...) }
	pointwise := func(in, out int, weight ...float32) *models.Conv {
		return &models.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: in, OutC: out, Weight: weight}
	}
	add("a", pointwise(1, 2, 1, 1), "image")
	add("b", pointwise(2, 2, 2, 0, 3, 1), "a")
	add("sum", models.Add{}, "b", "a")
	add("relu", models.ReLU{}, "sum")
	add("pool", models.GlobalAveragePool{}, "relu")
	add("fc", &models.Dense{In: 2, Out: 3, Weight: []float32{1, 0, 0, 2, 3, 0}}, "pool")
	g := graphtest.Graph(t, b, "gains")
	got := errorGains(g)
	require.Equal(t, []float64{10, 4}, got[graphtest.ID(t, g, "sum")])
	require.Equal(t, []float64{4*10 + 9*4 + 10, 4 + 4}, got[graphtest.ID(t, g, "a")])

	units, err := Lower(g)
	require.NoError(t, err)
	require.Equal(t, map[tensor.ID][]uint64{
		graphtest.ID(t, g, "a"): {1024, 95}, graphtest.ID(t, g, "relu"): {1024, 410},
	}, ChannelWeights(g, units))
}
