package calibrate

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/internal/testneed"
)

// outcome is what one kind of CPU makes of a network: ranges, and what follows
// from them, by layer.
type outcome struct {
	Ranges  map[string]quantize.Range
	Weights map[string][]int8.Value
	Scales  map[string][]float32 // of weights
	Biases  map[string][]int32
}

func outcomeOf(t *testing.T, n *int8.Network, table *quantize.RangeTable) outcome {
	t.Helper()
	o := outcome{table.Ranges, map[string][]int8.Value{}, map[string][]float32{}, map[string][]int32{}}
	for _, l := range n.Layers {
		switch op := l.Op.(type) {
		case *int8.Conv:
			o.Weights[l.Name], o.Scales[l.Name], o.Biases[l.Name] = op.Weight, op.Scale, op.Bias
		case *int8.Dense:
			o.Weights[l.Name], o.Scales[l.Name], o.Biases[l.Name] = op.Weight, op.Scale, op.Bias
		}
	}
	return o
}

// outcomes quantizes a small network by ranges of several methods, and by a search.
func outcomes(t *testing.T) map[string]outcome {
	t.Helper()
	g, images := graphtest.StreamClassifierOf(t, rand.New(rand.NewPCG(1, 4)), 4) // small: arm64 is emulated
	images.N = leastImages
	s := seen(t, g, images)
	tables := map[string]*quantize.RangeTable{"search": find(t, g, images, SearchOptions{Threads: 2}).Table}
	for _, m := range []quantize.Method{quantize.ChannelMSE, quantize.Entropy, quantize.MinMax} {
		tables[string(m)] = s.Table(m)
	}
	byMethod := map[string]outcome{}
	for name, table := range tables {
		byMethod[name] = outcomeOf(t, quantized(t, g, table), table)
	}
	return byMethod
}

// outcomesFile names the variable that asks TestWriteOutcomes for a file.
const outcomesFile = "CALIBRATE_OUTCOMES"

// TestWriteOutcomes is the other CPU's half of TestArm64FindsTheSameNetwork.
func TestWriteOutcomes(t *testing.T) {
	path := os.Getenv(outcomesFile)
	if path == "" {
		t.Skip("TestArm64FindsTheSameNetwork runs this as an arm64 program")
	}
	data, err := json.Marshal(outcomes(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

// On a board the same network comes out as on a desktop, but for what the order
// of float sums changes: ranges in the fifth digit, and hardly a weight.
func TestArm64FindsTheSameNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an arm64 program")
	}
	qemu := testneed.Program(t, "qemu-aarch64", "apt-get install qemu-user")
	program, file := filepath.Join(t.TempDir(), "calibrate.test"), filepath.Join(t.TempDir(), "outcomes.json")
	build := exec.Command("go", "test", "-c", "-o", program, ".")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	text, err := build.CombinedOutput()
	require.NoError(t, err, string(text))
	there := exec.Command(qemu, program, "-test.run", "^TestWriteOutcomes$")
	there.Env = append(os.Environ(), outcomesFile+"="+file)
	text, err = there.CombinedOutput()
	require.NoError(t, err, string(text))

	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var got map[string]outcome
	require.NoError(t, json.Unmarshal(data, &got))
	want := outcomes(t)
	require.Len(t, got, len(want))
	for method, o := range want {
		requireNear(t, method, o, got[method])
	}
}

func requireNear(t *testing.T, method string, want, got outcome) {
	t.Helper()
	for layer, r := range want.Ranges {
		width := r.Max - r.Min
		require.InDelta(t, r.Min, got.Ranges[layer].Min, 1e-4*width, "%s: %s", method, layer)
		require.InDelta(t, r.Max, got.Ranges[layer].Max, 1e-4*width, "%s: %s", method, layer)
	}
	moved, weights := 0, 0
	for layer, row := range want.Weights {
		require.InEpsilonSlice(t, want.Scales[layer], got.Scales[layer], 1e-4, "%s: %s", method, layer)
		require.Len(t, got.Weights[layer], len(row))
		for i, w := range row {
			require.InDelta(t, w, got.Weights[layer][i], 1, "%s: weight %d of %s", method, i, layer)
			if w != got.Weights[layer][i] {
				moved++
			}
		}
		weights += len(row)
	}
	t.Logf("%s: %d of %d weights differ by one; all the same: %t", method, moved, weights, reflect.DeepEqual(want, got))
	require.Greater(t, weights, 10_000)
	require.LessOrEqual(t, moved, 5, method)
}
