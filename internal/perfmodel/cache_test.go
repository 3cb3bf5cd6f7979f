package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is two levels of 2 and 4 sets of 2 lines, for so many cores.
func small(cores int, victims bool) *caches {
	c := newCaches([]level{{1, 8, 0}, {1, 4, 10}}, victims, cores)
	for i := range c.own {
		c.own[i][0] = cache{sets: 2, ways: 2, entries: make([]entry, 4)}
	}
	c.shared = cache{sets: 4, ways: 2, entries: make([]entry, 8)}
	return c
}

// where is the levels at which lines are found.
func where(c *caches, k kind, lines ...uint64) (found []int) {
	for _, l := range lines {
		f, _ := c.access(0, l, k)
		found = append(found, f)
	}
	return found
}

func TestCacheSizes(t *testing.T) {
	for _, b := range boards() {
		for _, l := range b.Levels {
			c := newCache(l.KB, l.Ways)
			require.Len(t, c.entries, l.KB*1024/lineBytes)
			require.Zero(t, c.sets&(c.sets-1), "%s: sets are a power of two", b.Name)
			require.Equal(t, len(c.entries), int(c.sets*c.ways))
		}
	}
}

func TestLeastRecentlyUsedIsReplaced(t *testing.T) {
	c := small(1, false)
	// Even lines share the first cache's first set; 2, 6 and 10 the second's third.
	require.Equal(t, []int{2, 2, 0, 2}, where(c, load, 2, 4, 2, 6), "4 is replaced, not 2")
	require.Equal(t, []int{0, 0, 1}, where(c, load, 2, 6, 4))
	require.Equal(t, []int{0, 1}, where(c, load, 4, 2), "2 came before 6")
	require.Equal(t, []int{2, 0}, where(c, load, 10, 2), "10 replaces 6 in the second cache, where 2 was used later")
	require.Equal(t, []int{2}, where(c, load, 6))
	require.Equal(t, int64(5), c.Read)
	require.Zero(t, c.Wrote)
}

func TestChangedLinesAreWrittenBackOnce(t *testing.T) {
	c := small(1, false)
	where(c, store, 2, 2, 2)
	where(c, load, 6, 10, 14, 18) // through both caches' sets of 2
	require.Equal(t, int64(1), c.Wrote)
	require.Equal(t, int64(5), c.Read, "a store reads its line first")
	where(c, load, 2, 6, 10, 14)
	require.Equal(t, int64(1), c.Wrote, "2 is not changed any more")
}

func TestPrefetchBringsLinesNearer(t *testing.T) {
	c := small(1, false)
	where(c, prefetch, 2)
	found, awaited := c.access(0, 2, load)
	require.Equal(t, 0, found)
	require.True(t, awaited, "its first use may have to wait")
	_, awaited = c.access(0, 2, load)
	require.False(t, awaited)
	where(c, prefetch2, 4)
	found, awaited = c.access(0, 4, load)
	require.Equal(t, 1, found, "in the second cache only")
	require.True(t, awaited)
	where(c, prefetch, 2) // there already
	require.Equal(t, int64(2), c.Prefetched)
	require.Equal(t, int64(2), c.Read)
}

func TestVictimCache(t *testing.T) {
	c := small(1, true)
	where(c, load, 2)
	require.Nil(t, c.shared.find(2), "memory fills the first cache alone")
	where(c, load, 4, 6)
	require.NotNil(t, c.shared.find(2))
	require.Equal(t, []int{1}, where(c, load, 2))
	require.Nil(t, c.shared.find(2))
	where(c, store, 2)
	where(c, load, 4, 6)
	where(c, load, 2)
	require.NotZero(t, *c.own[0][0].find(2)&dirty, "it takes the change with it")
}

func TestCoresTakeLinesFromEachOther(t *testing.T) {
	c := small(2, false)
	c.access(0, 2, store)
	found, _ := c.access(1, 2, load)
	require.Equal(t, 1, found)
	require.Equal(t, int64(1), c.Read, "the other core's")
	require.Zero(t, *c.own[0][0].find(2)&dirty)
	require.NotZero(t, *c.shared.find(2)&dirty, "to be written back from there")
	c.access(1, 2, store)
	require.Nil(t, c.own[0][0].find(2), "only the writer has it")
}

func TestPagesRepeat(t *testing.T) {
	a, b := newPages(4096), newPages(4096)
	addresses := []uint64{1 << 40, 1<<40 + 64, 1<<40 + 4096, 7 << 40, 1 << 40}
	var lines []uint64
	for _, at := range addresses {
		lines = append(lines, a.line(at))
		require.Equal(t, lines[len(lines)-1], b.line(at+3<<50), "only the order counts")
	}
	require.Equal(t, lines[0]+1, lines[1], "a page stays together")
	require.Equal(t, lines[0], lines[4])
	require.Len(t, a.frames, 3)
	slices.Sort(lines)
	require.Len(t, slices.Compact(lines), 4)
	require.NotZero(t, lines[0])
}

// reading is a chunk that reads or prefetches lines, one after the other or apart.
func reading(cycles float64, k kind, from, lines, apart int) op {
	o := op{cycles: span{cycles, cycles}, base: []uint64{1 << 40}}
	for i := range lines {
		o.accesses = append(o.accesses, access{int32((from + i*apart) * lineBytes), 0, 16, k})
	}
	return o
}

func simulate(s side, cores int, chunks ...[]op) (cycles, waited float64, t traffic) {
	b := boards()[3]
	b.Threads = cores
	return newSimulation(b, modelled()[2], s).step(chunks)
}

func TestMissesAreWaitedFor(t *testing.T) {
	const lines = 64
	b, c := boards()[3], modelled()[2]
	each := b.DRAM*b.GHz - c.Hides[best]
	cycles, waited, traffic := simulate(best, 1, []op{reading(1e5, load, 0, lines, 3)})
	require.InDelta(t, lines*each, waited, lines, "nobody foresees lines apart")
	require.InDelta(t, 1e5+waited, cycles, 1e-6)
	require.Equal(t, int64(lines), traffic.Read)
	require.Zero(t, traffic.Streams)

	_, waited, traffic = simulate(best, 1, []op{reading(1e5, load, 0, lines, 1)})
	require.InDelta(t, 2*each, waited, 2, "the second line shows the order")
	require.Equal(t, int64(lines-1), traffic.Streams)

	_, waited, traffic = simulate(best, 1, []op{reading(1e5, prefetch, 0, lines, 3), reading(1e5, load, 0, lines, 3)})
	require.Zero(t, waited, "prefetched in time")
	require.Equal(t, int64(lines), traffic.Prefetched)
	require.Equal(t, int64(lines), traffic.Read)
	require.Zero(t, traffic.Misses)
	_, waited, _ = simulate(best, 1, []op{reading(1, prefetch, 0, lines, 3), reading(1, load, 0, lines, 3)})
	require.Greater(t, waited, 0.9*lines*lineBytes/b.Stream[best], "prefetched too late: as long as memory takes")

	_, waited, traffic = simulate(best, 1, []op{reading(1e5, store, 0, lines, 3)})
	require.Zero(t, waited, "stores are buffered")
	require.Equal(t, int64(lines), traffic.Read)
}

// Four cores that read at once share what memory gives.
func TestCoresShareMemory(t *testing.T) {
	const lines = 512
	b := boards()[3]
	var chunks [][]op
	for i := range 4 {
		chunks = append(chunks, []op{reading(1, load, i<<12, lines, 1)})
	}
	cycles, _, traffic := simulate(best, 4, chunks...)
	require.Equal(t, int64(4*lines), traffic.Read)
	require.Greater(t, cycles, 4*lines*lineBytes*b.GHz/b.Stream[best]*0.99)
}

// The worse side is never the quicker one.
func TestSpansAreInOrder(t *testing.T) {
	for _, b := range boards() {
		require.GreaterOrEqual(t, b.Stream[best], b.Stream[worst])
		c := modelled()[slices.IndexFunc(modelled(), func(c core) bool { return c.name == b.Core })]
		require.GreaterOrEqual(t, c.Hides[best], c.Hides[worst])
		require.GreaterOrEqual(t, c.Ahead[best], c.Ahead[worst])
		require.Less(t, c.Ahead[best], len(stream{}.times))
		require.Less(t, c.Published, c.peak())
	}
	for apart := 1; apart < 4; apart++ {
		for _, cycles := range []float64{1, 1e3, 1e5} {
			chunks := [][]op{{reading(cycles, load, 0, 300, apart)}, {reading(cycles, load, 1<<12, 300, apart)}}
			low, _, _ := simulate(best, 2, chunks...)
			high, _, _ := simulate(worst, 2, chunks...)
			require.LessOrEqual(t, low, high)
		}
	}
}

func TestAccessesOfARoutine(t *testing.T) {
	f := assemble(t,
		"ldp x1, x2, [sp, #0x8]", // source, destination
		"ldr x3, [sp, #0x18]",    // count
		"prfm pldl1keep, [x1, #0x100]",
		"ldp q0, q1, [x1], #0x20", // 0x100c
		"ldr d2, [x1, #-8]",
		"subs x3, x3, #0x1",
		"b.ne 0x100c",
		"st1 { v0.16b, v1.16b }, [x2]",
		"prfm pldl2strm, [x2]",
		"ret")
	got, err := routine{function: f}.accesses([]uint64{0xc000123450, 0xc000999990, 2}, 3)
	require.NoError(t, err)
	require.Equal(t, []access{
		{256, 0, 1, prefetch}, {0, 0, 32, load}, {24, 0, 8, load}, {32, 0, 32, load}, {56, 0, 8, load},
		{0, 1, 32, store}, {0, 1, 1, prefetch2},
	}, got)
}
