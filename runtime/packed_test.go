package runtime

import (
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
)

// Weights reported as packed may change without any effect.
func TestPackedWeightsAreNotReadAgain(t *testing.T) {
	for _, kernel := range Kernels() {
		for seed := range uint64(10) {
			n := nettest.Int16(seed)
			rgb := nettest.Image(n, 1)
			want, err := n.Reference(rgb, nil)
			require.NoError(t, err)

			var calls atomic.Int64
			p, err := Compile(n, Options{Threads: 2, Kernel: kernel.Name, Packed: func(weights []int8.Value) {
				calls.Add(1)
				clear(weights)
			}})
			require.NoError(t, err)
			convolutions := 0
			for _, o := range p.operators {
				if c, ok := o.(*conv); ok && c.packed.Bytes() > 0 {
					convolutions++
				}
			}
			require.EqualValues(t, convolutions, calls.Load(), "kernel %s", kernel.Name)

			s := p.NewSession()
			got, err := s.Run(rgb)
			require.NoError(t, err)
			require.Equal(t, want, got, "kernel %s, seed %d", kernel.Name, seed)
			s.Close()
		}
	}
}

// Threads share the packing, too.
func TestPackedWeightsDoNotDependOnThreads(t *testing.T) {
	for _, kernel := range Kernels() {
		for seed := range uint64(10) {
			n := nettest.Random(seed)
			var plans []*Plan
			for _, threads := range []int{1, 2, 7} {
				p, err := CompileFor(n, kernel, Options{Threads: threads})
				require.NoError(t, err)
				plans = append(plans, p)
			}
			for i, o := range plans[0].operators {
				if want, ok := o.(*conv); ok {
					for _, p := range plans[1:] {
						require.Equal(t, want.packed, p.operators[i].(*conv).packed, "kernel %s, seed %d", kernel.Name, seed)
					}
				}
			}
		}
	}
}
