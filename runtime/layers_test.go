package runtime

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
)

func TestLayersGiveTheReferencesTensors(t *testing.T) {
	for _, kernel := range Kernels() {
		for seed := range uint64(20) {
			n := nettest.Random(seed)
			rgb := nettest.Image(n, 1)
			var want [][]int32
			_, err := n.Reference(rgb, func(_ *int8.Layer, values []int32) { want = append(want, values) })
			require.NoError(t, err)
			p, err := Compile(n, Options{Threads: 2, Kernel: kernel.Name})
			require.NoError(t, err)
			s := p.NewSession()
			for range 2 {
				for range s.Layers(rgb) {
					break // ends early without harm to the next run
				}
				i := 0
				for l, output := range s.Layers(rgb) {
					require.Equal(t, want[i], output(), "%s, seed %d, layer %q", kernel.Name, seed, l.Name)
					i++
				}
				require.Len(t, want, i)
				logits, err := s.Run(rgb)
				require.NoError(t, err)
				require.Equal(t, want[i-1], logits)
			}
			s.Close()
		}
	}
}
