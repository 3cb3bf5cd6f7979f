package runtime

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/tensor"
)

// A run that is left before any step goes on in another session, of a plan that has
// taken the packed weights over.
func TestStatesGoOnAnywhere(t *testing.T) {
	for _, kernel := range Kernels() {
		for seed := range seeds(20) {
			for _, n := range []*int8.Network{nettest.Random(seed), nettest.Int16(seed), nettest.Operations(seed), nettest.Channels(seed).Network, nettest.Taught(seed).Network} {
				checkStates(t, n, kernel.Name)
			}
		}
	}
}

func checkStates(t *testing.T, n *int8.Network, kernel string) {
	t.Helper()
	image, other := nettest.Image(n, 1), nettest.Image(n, 2)
	want := map[string][]int32{}
	logits, err := n.Reference(image, func(l *int8.Layer, values []int32) { want[l.Name] = values })
	require.NoError(t, err)
	first, err := Compile(n, Options{Threads: 1, Kernel: kernel})
	require.NoError(t, err)
	second, err := Compile(n, Options{Threads: 1, Kernel: kernel, Like: first})
	require.NoError(t, err)
	a, b := first.NewSession(), second.NewSession()
	defer a.Close()
	defer b.Close()
	var state State
	require.NoError(t, a.Resume(image, &state))
	for next := tensor.Output(0); int(next) <= len(n.Layers); next++ {
		a.Advance(next)
		a.Save(&state)
		require.Equal(t, next, state.Next())
		require.Len(t, state.bytes, first.StateBytes(next))
		_, err := b.Run(other) // leaves other values
		require.NoError(t, err)
		require.NoError(t, b.Resume(image, &state))
		for _, in := range n.Layers[next.Node()].Inputs {
			if in != tensor.Input {
				require.Equal(t, want[n.Topology().Name(in)], b.Output(in), "%s, %s", kernel, n.Name)
			}
		}
		require.Equal(t, logits, b.Finish(), "%s, %s, from %d", kernel, n.Name, next)
		require.NoError(t, a.Resume(image, &state))
	}
}

func TestStateOfAnotherNetwork(t *testing.T) {
	n := nettest.Random(1)
	p, err := Compile(n, Options{Threads: 1})
	require.NoError(t, err)
	s := p.NewSession()
	state := State{next: 1, bytes: make([]byte, 3)}
	require.ErrorContains(t, s.Resume(nettest.Image(n, 1), &state), "the state has 3 bytes")
	require.ErrorContains(t, s.Resume(nil, &state), "the picture has 0 bytes")
	s.Close()
	require.ErrorContains(t, s.Resume(nettest.Image(n, 1), &state), "closed")
}

// Packed weights of operations that two networks share are in memory once.
func TestPlansShareWhatIsPacked(t *testing.T) {
	n := nettest.Random(3)
	changed, convolutions := -1, 0
	layers := append([]int8.Layer(nil), n.Layers...)
	for i := range layers {
		if c, ok := layers[i].Op.(*int8.Conv); ok {
			if convolutions++; changed < 0 {
				copied := *c
				layers[i].Op, changed = &copied, i
			}
		}
	}
	require.Greater(t, convolutions, 1)
	m, err := int8.NewNetwork(n.Name, n.Input, layers)
	require.NoError(t, err)
	for _, kernel := range Kernels() {
		first, err := Compile(n, Options{Threads: 1, Kernel: kernel.Name})
		require.NoError(t, err)
		second, err := Compile(m, Options{Threads: 2, Kernel: kernel.Name, Like: first})
		require.NoError(t, err)
		for i := range layers {
			if c, ok := first.operators[i+1].(*conv); ok && !c.hasInt16() {
				require.Equal(t, i != changed, c.packed == second.operators[i+1].(*conv).packed, "layer %d", i)
			}
		}
	}
}
