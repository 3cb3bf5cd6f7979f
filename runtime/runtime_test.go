package runtime

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
)

// seeds is so many, or a third with -short: emulators run ten times as long.
func seeds(n uint64) uint64 {
	if testing.Short() {
		return n / 3
	}
	return n
}

func TestSessionsGiveTheReferencesBits(t *testing.T) {
	for seed := range seeds(60) {
		checkBits(t, nettest.Random(seed), 1, 2, 3, 8)
	}
}

func TestInt16SessionsGiveTheReferencesBits(t *testing.T) {
	for seed := range seeds(60) {
		checkBits(t, nettest.Int16(seed), 1, 2, 3, 4)
	}
}

func TestOperationsGiveTheReferencesBits(t *testing.T) {
	for seed := range seeds(150) {
		checkBits(t, nettest.Operations(seed), 1, 2, 5)
	}
}

func TestChannelsGiveTheReferencesBits(t *testing.T) {
	for seed := range seeds(90) {
		checkBits(t, nettest.Channels(seed).Network, 1, 3)
	}
}

func TestTaughtNetworksGiveTheReferencesBits(t *testing.T) {
	for seed := range seeds(90) {
		checkBits(t, nettest.Taught(seed).Network, 1, 3)
	}
}

// checkBits compares every kernel with the reference, for these numbers of
// threads.
func checkBits(t *testing.T, n *int8.Network, threads ...int) {
	const images = 3
	var want [images][]int32
	var features [images][]int16
	id, ok := n.Features()
	for image := range want {
		var err error
		want[image], err = n.Reference(nettest.Image(n, uint64(image)), func(l *int8.Layer, values []int32) {
			if ok && l == &n.Layers[id.Node()] {
				for _, q := range values {
					features[image] = append(features[image], int16(q-int32(l.Out.ZeroAt(0))))
				}
			}
		})
		require.NoError(t, err)
	}
	for _, kernel := range Kernels() {
		for _, threads := range threads {
			p, err := Compile(n, Options{Threads: threads, Kernel: kernel.Name})
			require.NoError(t, err)
			s := p.NewSession()
			for image, want := range want {
				got, err := s.Run(nettest.Image(n, uint64(image)))
				require.NoError(t, err)
				require.Equal(t, want, got, "%s, kernel %s, %d threads, image %d", n.Name, kernel.Name, threads, image)
				require.Equal(t, features[image], s.Features(), "%s, kernel %s, %d threads, image %d", n.Name, kernel.Name, threads, image)
			}
			s.Close()
		}
	}
}

func TestConcurrentSessionsOfOnePlan(t *testing.T) {
	n := nettest.Random(5)
	p, err := Compile(n, Options{Threads: 2})
	require.NoError(t, err)
	want, err := n.Reference(nettest.Image(n, 1), nil)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s := p.NewSession()
			defer s.Close()
			for range 20 {
				got, err := s.Run(nettest.Image(n, 1))
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("concurrent session: error %v or other logits", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestFramesDoNotAllocate(t *testing.T) {
	for _, n := range []*int8.Network{nettest.Random(3), nettest.Int16(3), nettest.Int16(8),
		nettest.Operations(1), nettest.Operations(2), nettest.Operations(3), nettest.Operations(4),
		nettest.Channels(1).Network, nettest.Channels(2).Network, nettest.Channels(4).Network,
		nettest.Taught(1).Network, nettest.Taught(2).Network, nettest.Taught(3).Network} {
		for _, kernel := range Kernels() {
			for _, threads := range []int{1, 4} {
				require.Zero(t, allocations(t, n, Options{Threads: threads, Kernel: kernel.Name}), "%s, kernel %s, %d threads", n.Name, kernel.Name, threads)
			}
		}
	}
}

// allocations is the number per frame, once all threads have begun to work.
func allocations(t *testing.T, n *int8.Network, o Options) float64 {
	p, err := Compile(n, o)
	require.NoError(t, err)
	s := p.NewSession()
	defer s.Close()
	rgb := nettest.Image(n, 1)
	frame := func() {
		if _, err := s.Run(rgb); err != nil {
			t.Fatal(err)
		}
		s.Features()
	}
	for range 20 {
		frame()
	}
	return testing.AllocsPerRun(50, frame)
}

func TestCompileAndRunRejectBadArguments(t *testing.T) {
	n := nettest.Random(1)
	_, err := Compile(n, Options{Threads: 0})
	require.ErrorContains(t, err, "0 threads: want 1 to 256")
	_, err = Compile(n, Options{Threads: 1000})
	require.ErrorContains(t, err, "1000 threads")
	_, err = Compile(n, Options{Threads: 1, Kernel: "abacus"})
	require.ErrorContains(t, err, `no kernel "abacus" for this CPU, which has: `)
	_, err = Compile(&int8.Network{Name: "copy", Input: n.Input, Layers: n.Layers}, Options{Threads: 1})
	require.ErrorContains(t, err, `network "copy" was not made by int8.NewNetwork`)

	p, err := Compile(n, Options{Threads: 2})
	require.NoError(t, err)
	s := p.NewSession()
	_, err = s.Run(make([]uint8, 5))
	require.ErrorContains(t, err, "the picture has 5 bytes")
	s.Close()
	_, err = s.Run(nettest.Image(n, 1))
	require.ErrorContains(t, err, "closed")
}

func TestDiagramShowsEveryStep(t *testing.T) {
	n := nettest.Random(4)
	p, err := Compile(n, Options{Threads: 2})
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, p.WriteDiagram(&b))
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	require.Len(t, lines, 3+len(n.Layers))
	for i, l := range n.Layers {
		require.Contains(t, string(lines[3+i]), l.Name)
		require.Contains(t, string(lines[3+i]), "#")
	}
	t.Log("\n" + b.String())
}
