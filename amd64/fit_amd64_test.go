//go:build !purego

package amd64

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/cpu"

	"edgeclassify/int8"
	"edgeclassify/int8/tile"
)

// laneSums are those of positive and of negative weights, and of all.
func laneSums(step *[64]int8.Value) (sums [64]int, all int) {
	for i, w := range step {
		lane := i / 2
		if w < 0 {
			lane += 32
		}
		sums[lane] += max(int(w), -int(w))
		all += max(int(w), -int(w))
	}
	return sums, all
}

// Steps of small and of large weights go into the first bin that has room, as plain
// sums say.
func TestFitIsExact(t *testing.T) {
	if !cpu.X86.HasAVX2 {
		t.Skip("this CPU has no AVX2")
	}
	const bins = 5
	random := rand.New(rand.NewPCG(1, 2))
	var rooms [bins + 2][64]byte
	var want [bins][64]int
	found := map[int]int{}
	for open := 0; found[-1] < 100 || found[bins] < 1000; {
		var step [64]int8.Value
		largest := 1 + random.IntN(40)
		for i := range step {
			step[i] = int8.Value(random.IntN(2*largest+1) - largest)
		}
		if random.IntN(8) == 0 {
			step[random.IntN(64)] = int8.Value(random.IntN(256) - 128)
		}
		sums, all := laneSums(&step)
		fits := func(bin [64]int) bool {
			for i, s := range sums {
				if bin[i]+s > tile.BinRoom {
					return false
				}
			}
			return true
		}
		first := 0
		for first < open && !fits(want[first]) {
			first++
		}
		if !fits([64]int{}) {
			first, all = -1, 0
		}
		bin, sum := fitAVX2(unsafe.Pointer(&step), unsafe.Pointer(&rooms), open)
		require.Equal(t, first, bin)
		require.Equal(t, all, sum)
		found[first]++
		switch {
		case first == bins: // a bin too many: start again
			open, want = 0, [bins][64]int{}
		case first >= 0:
			open = max(open, first+1)
			for i, s := range sums {
				want[first][i] += s
			}
		}
	}
	require.Zero(t, rooms[bins+1], "behind the rooms")
	require.Greater(t, found[0], 1000)
}
