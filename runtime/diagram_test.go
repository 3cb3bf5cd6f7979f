package runtime_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/nettest"
	"edgeclassify/runtime"
)

func TestBuffers(t *testing.T) {
	for seed := range uint64(90) {
		n := nettest.Taught(seed / 3).Network
		switch seed % 3 {
		case 1:
			n = nettest.Random(seed / 3)
		case 2:
			n = nettest.Operations(seed / 3)
		}
		p, err := runtime.Compile(n, runtime.Options{Threads: 1})
		require.NoError(t, err)
		buffers, end := p.Buffers(), 0
		require.Len(t, buffers, len(n.Layers)+1)
		for i, a := range buffers {
			end = max(end, a.Offset+a.Bytes)
			require.LessOrEqual(t, a.First, i)
			require.LessOrEqual(t, i, a.Last)
			for _, b := range buffers[i+1:] {
				apart := a.Bytes*b.Bytes == 0 || a.Last < b.First || a.Offset+a.Bytes <= b.Offset || b.Offset+b.Bytes <= a.Offset
				over := a.Last == b.First && a.Offset == b.Offset // b is written over a
				require.True(t, apart || over, "seed %d: %+v %+v", seed, a, b)
			}
		}
		require.Equal(t, p.ArenaBytes(), end)
	}
}
