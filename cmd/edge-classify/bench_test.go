package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// write writes a model file of that name.
func write(t *testing.T, name string, m *q8.Model) (path string) {
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, q8.Write(path, m))
	return path
}

// smallModel writes a random network.
func smallModel(t *testing.T) string { return write(t, "small.q8", nettest.Model(1, false)) }

func TestBenchJSON(t *testing.T) {
	model := smallModel(t)
	n := nettest.Random(1)
	for _, kernel := range runtime.Kernels() {
		code, out, errs := classifyHere(t, nil, "bench", "-model", model, "-json", "-layers", "-threads", "2", "-n", "25", "-kernel", kernel.Name)
		require.Zero(t, code, errs)
		keys := map[string]any{}
		require.NoError(t, json.Unmarshal([]byte(out), &keys))
		for _, key := range []string{"kernel", "threads", "min_ms", "p50_ms", "p99_ms", "gmacs", "allocs_per_frame", "arena_bytes", "weight_bytes", "packed_bytes", "peak_rss_bytes", "load_ms", "before", "after"} {
			require.Contains(t, keys, key)
		}

		var r report
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		require.Equal(t, kernel.Name, r.Kernel)
		require.Equal(t, 2, r.Threads)
		require.Equal(t, 25, r.Frames)
		require.Positive(t, r.MinMs)
		require.LessOrEqual(t, r.MinMs, r.P50Ms)
		require.LessOrEqual(t, r.P50Ms, r.P99Ms)
		require.Zero(t, r.Allocations)
		require.Positive(t, r.ArenaBytes)

		var macs int64
		weights := 0
		for i := range n.Layers {
			macs += n.Layers[i].MACs()
			weights += n.Layers[i].WeightBytes()
		}
		require.Equal(t, macs, r.MACs)
		require.Equal(t, weights, r.WeightBytes)
		plan, err := runtime.Compile(n, runtime.Options{Threads: 2, Kernel: kernel.Name})
		require.NoError(t, err)
		require.Equal(t, plan.PackedBytes(), r.PackedBytes)
		require.InEpsilon(t, float64(macs)/1e6/r.P50Ms, r.GMACs, 1e-6)

		require.Len(t, r.Layers, len(n.Layers)+1)
		share := 0.0
		for i, l := range r.Layers {
			share += l.Share
			if i > 0 {
				require.Equal(t, n.Layers[i-1].Name, l.Name)
				require.Equal(t, n.Layers[i-1].Op.Kind(), l.Op)
			}
		}
		require.InDelta(t, 1, share, 1e-6)
	}
}

func TestBenchForPeople(t *testing.T) {
	model, picture := smallModel(t), filepath.Join(photos, "cat.jpg")
	code, out, errs := classifyHere(t, nil, "bench", "-model", model, "-n", "1", "-threads", "1", "-layers", picture)
	require.Zero(t, code, errs)
	for _, want := range []string{"model-1", "1 thread\n", "over 1 frame\n", "GMAC/s", "0 allocations a frame", "% of total", nettest.Random(1).Layers[0].Name} {
		require.Contains(t, out, want)
	}
}

func TestKernels(t *testing.T) {
	code, out, _ := classifyHere(t, nil, "kernels", "-json")
	require.Zero(t, code)
	var list kernelList
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	require.NotEmpty(t, list.CPU)
	require.Equal(t, runtime.DefaultThreads(), list.Threads)
	var want []kernelItem
	for i, k := range runtime.Kernels() {
		want = append(want, kernelItem{Name: k.Name, Picked: i == 0})
	}
	require.Equal(t, want, list.Kernels)

	code, out, _ = classifyHere(t, nil, "kernels")
	require.Zero(t, code)
	require.Contains(t, out, "\n* "+want[0].Name+"\n")
	require.Equal(t, 1, strings.Count(out, "*"))
}

func TestBadInputOfSubcommands(t *testing.T) {
	model := smallModel(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"kernel of another CPU", []string{"bench", "-model", model, "-kernel", "abacus"}, cli.ExitFailure, `no kernel "abacus" for this CPU, which has: ` + runtime.Kernels()[0].Name},
		{"missing model", []string{"bench", "-model", model + ".none"}, cli.ExitFailure, "small.q8.none"},
		{"missing picture", []string{"bench", "-model", model, "none.jpg"}, cli.ExitFailure, "none.jpg"},
		{"no model", []string{"bench"}, cli.ExitUsage, "no model given"},
		{"no threads", []string{"bench", "-model", model, "-threads", "0"}, cli.ExitUsage, "-threads 0: want 1 to 256"},
		{"too many threads", []string{"bench", "-model", model, "-threads", "1000"}, cli.ExitUsage, "-threads 1000: want 1 to 256"},
		{"no frames", []string{"bench", "-model", model, "-n", "0"}, cli.ExitUsage, "-n 0: want 1 to"},
		{"too many frames", []string{"bench", "-model", model, "-n", "1000000000"}, cli.ExitUsage, "want 1 to"},
		{"two pictures", []string{"bench", "-model", model, "a.jpg", "b.jpg"}, cli.ExitUsage, "one picture"},
		{"kernels with argument", []string{"kernels", "neon"}, cli.ExitUsage, `no arguments, found "neon"`},
	} {
		code, out, errs := classifyHere(t, nil, c.args...)
		require.Equal(t, c.code, code, c.name)
		require.Contains(t, errs, c.want, c.name)
		require.Empty(t, out, c.name)
	}
	for _, args := range [][]string{{"-h"}, {"bench", "-h"}, {"kernels", "-h"}} {
		code, out, _ := classifyHere(t, nil, args...)
		require.Zero(t, code, args)
		require.Contains(t, out, "Usage: edge-classify ")
	}
	// A picture may have a subcommand's name.
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("bench", nil, 0o600))
	_, _, errs := classifyHere(t, nil, "-model", model, "./bench")
	require.Contains(t, errs, "bench: no data")
}

func TestPercentiles(t *testing.T) {
	times := make([]time.Duration, 200)
	for i := range times {
		times[i] = time.Duration(i + 1)
	}
	require.EqualValues(t, 100, percentile(times, 50))
	require.EqualValues(t, 198, percentile(times, 99))
	require.EqualValues(t, 2, percentile(times[:3], 50))
	require.EqualValues(t, 3, percentile(times[:3], 99))
	require.EqualValues(t, 1, percentile(times[:1], 50))
}

// A board with half a gigabyte has room for the program beside others.
func TestOnePictureTakesLittleMemory(t *testing.T) {
	testneed.Long(t, "quantizes a whole network")
	const limit = 64 << 20
	model := realModel(t)
	program := buildProgram(t)
	out, err := exec.Command(program, "bench", "-model", model, "-json", "-n", "20", filepath.Join(photos, "cat.jpg")).Output()
	require.NoError(t, err)
	var r report
	require.NoError(t, json.Unmarshal(out, &r))
	packing := r.PackedBytes - int64(r.WeightBytes) // weights of Winograd's, on CPUs where they pay
	require.Less(t, packing, int64(limit))
	require.Less(t, r.PeakRSS-packing, int64(limit))
	require.Zero(t, r.Allocations)
	t.Logf("%d MB", r.PeakRSS/1e6)
}
