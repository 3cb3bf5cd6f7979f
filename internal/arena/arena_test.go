package arena

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlaceNeverOverlapsAndMeetsTheBound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		buffers := draw(random)
		offsets, peak, bound := Place(buffers)
		require.Equal(t, bound, peak, "round %d", round)
		checkPlaces(t, buffers, offsets, peak)
	}
}

func checkPlaces(t *testing.T, buffers []Buffer, offsets []int, peak int) {
	for i, a := range buffers {
		if offsets[i]+a.Size > peak {
			t.Fatalf("buffer %d ends behind the peak", i)
		}
		for j, b := range buffers[:i] {
			if takesOver(buffers, i, j) {
				require.Equal(t, offsets[j], offsets[i], "buffer %d over %d", i, j)
			} else if a.First <= b.Last && b.First <= a.Last && offsets[i]+a.Size > offsets[j] && offsets[j]+b.Size > offsets[i] {
				t.Fatalf("buffers %d and %d overlap", i, j)
			}
		}
	}
}

func TestThousandsOfBuffers(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	buffers := make([]Buffer, 5000)
	for i := range buffers {
		buffers[i] = Buffer{First: i, Last: i + 1 + random.IntN(5), Size: 64 * (1 + random.IntN(100)), Over: -1}
	}
	offsets, peak, bound := Place(buffers)
	checkPlaces(t, buffers, offsets, peak)
	require.Less(t, peak, bound*5/4)
	_, _, spent := search(buffers, bound)
	require.Less(t, spent, 2*maxComparisons) // all rounds would take a thousand times as many
}

// draw makes buffers, about a third of which want the memory of an earlier one.
func draw(random *rand.Rand) []Buffer {
	var buffers []Buffer
	taken := map[int]bool{}
	for i := range 1 + random.IntN(20) {
		first := random.IntN(20)
		b := Buffer{First: first, Last: first + random.IntN(6), Size: 64 * (1 + random.IntN(100)), Over: -1}
		if over := random.IntN(3*i + 1); over < i && !taken[over] {
			b.Over, b.Size, taken[over] = over, buffers[over].Size, true
			b.First = buffers[over].Last + random.IntN(2) // in time, or too late
			b.Last = b.First + 1 + random.IntN(5)
		}
		buffers = append(buffers, b)
	}
	return buffers
}

func takesOver(buffers []Buffer, i, j int) bool {
	return buffers[i].Over == j && buffers[j].Last == buffers[i].First
}

func TestPlaceSharesMemory(t *testing.T) {
	for _, c := range []struct {
		name    string
		buffers []Buffer
		offsets []int
		peak    int
	}{
		{"one after the other", []Buffer{{0, 1, 10, -1}, {1, 2, 20, -1}, {2, 3, 10, -1}}, []int{20, 0, 20}, 30},
		{"one over the other", []Buffer{{0, 1, 10, -1}, {1, 2, 10, 0}, {2, 3, 10, 1}}, []int{0, 0, 0}, 10},
		{"in use later", []Buffer{{0, 2, 10, -1}, {1, 2, 10, 0}}, []int{0, 10}, 20},
		{"nothing", nil, []int{}, 0},
	} {
		offsets, peak, bound := Place(c.buffers)
		require.Equal(t, c.offsets, offsets, c.name)
		require.Equal(t, c.peak, peak, c.name)
		require.Equal(t, c.peak, bound, c.name)
	}
}
