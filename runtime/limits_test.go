package runtime

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/tensor"
)

// grouped has a convolution with one output channel in each of its groups, for which
// kernels pad panels to many times the weights.
func grouped(t *testing.T) *int8.Network {
	const groups = 1024
	b := newBuilder(tensor.Shape{H: 2, W: 2, C: 3}, nil)
	x := b.conv(tensor.Input, tensor.Square(1, 1, 0), 2*groups)
	y := b.conv(x, tensor.Square(1, 1, 0), groups)
	c := b.layers[y.Node()].Op.(*int8.Conv)
	c.Groups, c.Weight = groups, c.Weight[:2*groups]
	return b.network(t, "grouped", y, 2)
}

func TestMemoryIsCheckedBeforeItIsTaken(t *testing.T) {
	n := grouped(t)
	for _, kernel := range Kernels() {
		o := Options{Threads: 2, Kernel: kernel.Name}
		p, err := Compile(n, o)
		require.NoError(t, err)
		packed := int64(0)
		for _, o := range p.operators {
			packed += int64(o.packedBytes())
		}
		if kernel.Name != int8.Generic().Name {
			layer := tensor.ID(2)
			require.Greater(t, p.operators[layer].packedBytes(), 10*n.Layers[layer.Node()].WeightBytes(), "a network that shows what padding costs")
			require.Greater(t, p.PackedBytes(), packed, "and the classifier's")
		} else {
			require.EqualValues(t, p.WeightBytes(), p.PackedBytes())
		}
		for _, released := range []bool{false, true} {
			o.MemoryLimit = packed + int64(p.ArenaBytes())
			if released {
				o.Packed = func([]int8.Value) { t.Error("weights were packed") }
			}
			_, err = Compile(n, o)
			require.ErrorContains(t, err, `runtime: network "grouped": it takes `)
			require.ErrorContains(t, err, kernel.Name)
			o.Packed = nil
			o.MemoryLimit = packed + 2*int64(p.WeightBytes()+p.ArenaBytes()) + int64(p.ScratchBytes())
			_, err = Compile(n, o)
			require.NoError(t, err)
		}
	}
	_, err := Compile(n, Options{Threads: 1, MemoryLimit: 1})
	require.ErrorContains(t, err, "and there are 0.0 MB")
}

// closing closes the session in its first run and counts the others.
type closing struct {
	int8.Convolution
	run func()
}

func (c closing) Run(*int8.ConvTask, int8.Part, []int64) { c.run() }

func TestCloseEndsARun(t *testing.T) {
	var s *Session
	runs := 0
	kernel := int8.Generic()
	kernel.Convolution = func(l *int8.Layer) int8.Convolution {
		return closing{int8.Generic().Convolution(l), func() { runs++; s.Close() }}
	}
	n := resNet50(t)
	p, err := CompileFor(n, kernel, Options{Threads: 1})
	require.NoError(t, err)
	s = p.NewSession()
	_, err = s.Run(nettest.Image(n, 1))
	require.ErrorIs(t, err, errClosed)
	require.Equal(t, 1, runs)
}
