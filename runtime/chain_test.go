package runtime

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
)

// anyChain makes chains of all that can be one, of any length, with bands and chunks of
// any height.
func anyChain(random *rand.Rand) func(*chain) int64 {
	return func(c *chain) int64 {
		rows := c.layer.Out.Shape.H
		c.cost = cost{height: 1 + random.IntN(min(rows, 6)), chunk: 1 + random.IntN(rows)}
		return random.Int64N(100)
	}
}

func TestChainsGiveTheReferencesBits(t *testing.T) {
	chains, operations := 0, map[string]bool{}
	for seed := range seeds(300) {
		n := []func(uint64) *int8.Network{nettest.Random, nettest.Int16, nettest.Operations}[seed%3](seed)
		random := rand.New(rand.NewPCG(seed, 1))
		image := nettest.Image(n, 1)
		want, err := n.Reference(image, nil)
		require.NoError(t, err)
		for _, kernel := range Kernels() {
			threads := 1 + random.IntN(5)
			p, err := CompileFor(n, kernel, Options{Threads: threads, gain: anyChain(random)})
			require.NoError(t, err)
			require.Equal(t, p.ArenaLowerBound(), p.ArenaBytes(), n.Name)
			for i := range p.steps {
				if c, ok := p.steps[i].operator.(*chain); ok {
					chains++
					for _, o := range p.Layers(i)[max(0, len(p.Layers(i))-len(c.operators)):] {
						operations[o.Op.Kind()] = true
					}
				}
			}
			s := p.NewSession()
			for range 2 {
				got, err := s.Run(image)
				require.NoError(t, err)
				require.Equal(t, want, got, "%s, kernel %s, %d threads", n.Name, kernel.Name, threads)
			}
			s.Close()
		}
	}
	require.Greater(t, chains, 100)
	for _, kind := range []string{"conv", "lookup", "mul", "add", "maxpool", "avgpool"} {
		require.Contains(t, operations, kind)
	}
}
