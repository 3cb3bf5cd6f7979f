package runtime

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/tensor"
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
		channels := func(seed uint64) *int8.Network { return nettest.Channels(seed).Network }
		n := []func(uint64) *int8.Network{nettest.Random, nettest.Int16, nettest.Operations, channels}[seed%4](seed)
		random := rand.New(rand.NewPCG(seed, 1))
		image := nettest.Image(n, 1)
		want, err := n.Reference(image, nil)
		require.NoError(t, err)
		for _, kernel := range Kernels() {
			threads := 1 + random.IntN(5)
			p, err := CompileFor(n, kernel, Options{Threads: threads, gain: anyChain(random)})
			require.NoError(t, err)
			require.Equal(t, p.ArenaLowerBound(), p.ArenaBytes(), n.Name)
			layers := 0
			for i := range p.steps {
				layers += len(p.Layers(i))
				if c, ok := p.steps[i].operator.(*chain); ok {
					chains++
					kinds := strings.Split(p.Kind(i), "+")
					require.Len(t, kinds, len(c.operators))
					for _, kind := range kinds {
						operations[kind] = true
					}
				}
			}
			require.Equal(t, len(n.Layers), layers)
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
	for _, kind := range []string{"image", "conv", "lookup", "mul", "add", "maxpool", "avgpool"} {
		require.Contains(t, operations, kind)
	}
}

// A run goes on in another session from a state before any layer: of a chain, from its
// first.
func TestStatesOfChains(t *testing.T) {
	for seed := range seeds(30) {
		n := nettest.Operations(seed)
		image := nettest.Image(n, 1)
		want, err := n.Reference(image, nil)
		require.NoError(t, err)
		random := rand.New(rand.NewPCG(seed, 2))
		p, err := Compile(n, Options{Threads: 1, gain: anyChain(random)})
		require.NoError(t, err)
		a, b := p.NewSession(), p.NewSession()
		for next := tensor.Output(0); int(next) <= len(n.Layers); next++ {
			var state State
			require.NoError(t, a.Resume(image, &state))
			a.Advance(next)
			a.Save(&state)
			require.Equal(t, p.steps[p.stepOf[next]].first, state.Next())
			require.NoError(t, b.Resume(image, &state))
			require.Equal(t, want, b.Finish(), "%s, from %d", n.Name, next)
		}
		a.Close()
		b.Close()
	}
}

func TestChainsDoNotAllocate(t *testing.T) {
	for seed := range uint64(8) {
		for _, kernel := range Kernels() {
			for _, threads := range []int{1, 4} {
				o := Options{Threads: threads, Kernel: kernel.Name, gain: anyChain(rand.New(rand.NewPCG(seed, 3)))}
				require.Zero(t, allocations(t, nettest.Operations(seed), o), "seed %d, kernel %s, %d threads", seed, kernel.Name, threads)
			}
		}
	}
}

// invertedResiduals has the first shapes of MobileNetV2, and weights of zero.
func invertedResiduals(t *testing.T) *int8.Network {
	b := newBuilder(tensor.Shape{H: 224, W: 224, C: 3}, nil)
	one := tensor.Square(1, 1, 0)
	x := b.depthwise(b.conv(tensor.Input, tensor.Square(3, 2, 1), 32), 1)
	x = b.conv(b.depthwise(b.conv(b.conv(x, one, 16), one, 96), 2), one, 24)
	x = b.conv(b.depthwise(b.conv(x, one, 144), 1), one, 24, x)
	x = b.conv(b.depthwise(b.conv(x, one, 144), 2), one, 32)
	return b.network(t, "inverted residuals", b.pool(&int8.MaxPool{Window: tensor.Square(3, 3, 0)}, x), 10)
}

// depthwise adds one of 3x3.
func (b *builder) depthwise(in tensor.ID, stride int) tensor.ID {
	id := b.conv(in, tensor.Square(3, stride, 1), b.shape(in).C)
	c := b.layers[id.Node()].Op.(*int8.Conv)
	c.Groups, c.Weight = c.InC, c.Weight[:9*c.OutC]
	return id
}

// Without chains the first expansion lies beside what it becomes, and with them nowhere.
func TestChainsKeepWideTensorsOutOfTheArena(t *testing.T) {
	n := invertedResiduals(t)
	wide := (113*113*96+align-1)/align*align + 56*56*96 // the first expansion, with its halo, and what it becomes
	for _, threads := range []int{1, 4} {
		kernel := int8.Generic()
		kernel.Cache = 128 << 10
		o := Options{Threads: threads}
		p, err := CompileFor(n, kernel, o)
		require.NoError(t, err)
		require.Less(t, p.ArenaBytes(), wide/4, "%d threads", threads)
		require.Equal(t, p.ArenaLowerBound(), p.ArenaBytes())
		require.Less(t, p.ScratchBytes(), threads*kernel.Cache)
		var b bytes.Buffer
		require.NoError(t, p.WriteDiagram(&b))
		require.Contains(t, b.String(), " is a chain: 3conv..5conv\n")
		o.Layerwise = true
		l, err := CompileFor(n, kernel, o)
		require.NoError(t, err)
		require.Equal(t, len(n.Layers)+1, len(l.Steps()))
		require.Equal(t, wide, l.ArenaBytes())
	}
	kernel := int8.Generic()
	kernel.Cache = 64 << 20
	p, err := CompileFor(n, kernel, Options{Threads: 1})
	require.NoError(t, err)
	require.Len(t, p.Steps(), len(n.Layers)+1, "all of it stays in the cache as it is")
}
