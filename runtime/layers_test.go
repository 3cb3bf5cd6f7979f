package runtime

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
)

func TestLayersGiveTheReferencesTensors(t *testing.T) {
	for _, kernel := range Kernels() {
		for seed := range seeds(20) {
			checkLayers(t, nettest.Random(seed), kernel.Name)
			checkLayers(t, nettest.Int16(seed), kernel.Name)
			checkLayers(t, nettest.Operations(seed), kernel.Name)
			checkLayers(t, nettest.Channels(seed).Network, kernel.Name)
			checkLayers(t, nettest.Taught(seed).Network, kernel.Name)
		}
	}
}

func checkLayers(t *testing.T, n *int8.Network, kernel string) {
	image := nettest.Image(n, 1)
	var want [][]int32
	_, err := n.Reference(image, func(_ *int8.Layer, values []int32) { want = append(want, values) })
	require.NoError(t, err)
	p, err := Compile(n, Options{Threads: 2, Kernel: kernel, Layerwise: true})
	require.NoError(t, err)
	s := p.NewSession()
	defer s.Close()
	for range 2 {
		layers, err := s.Layers(image)
		require.NoError(t, err)
		for range layers {
			break // ends early without harm to the next run
		}
		i := 0
		for l, output := range layers {
			require.Equal(t, want[i], output(), "%s, %s, layer %q", kernel, n.Name, l.Name)
			i++
		}
		require.Len(t, want, i)
		logits, err := s.Run(image)
		require.NoError(t, err)
		require.Equal(t, want[i-1], logits)
	}
}

func TestLayersFailAsRunDoes(t *testing.T) {
	n := nettest.Random(1)
	p, err := Compile(n, Options{Threads: 2})
	require.NoError(t, err)
	s := p.NewSession()
	_, err = s.Layers(make([]uint8, 5))
	require.ErrorContains(t, err, "the picture has 5 bytes")
	s.Close()
	_, err = s.Layers(nettest.Image(n, 1))
	require.ErrorContains(t, err, "closed")
}
