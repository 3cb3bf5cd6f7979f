package teach_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/teach"
	"edgeclassify/tensor"
)

// TestTrainingTakesLittleMemory trains on 1,000 samples as wide as ResNet50's. With the
// variable COST, such as 2x20, it trains on so many labels with so many samples each, for
// scripts/icount.sh to count instructions.
func TestTrainingTakesLittleMemory(t *testing.T) {
	const limit = 60e6
	labels, samples, cost := 10, 100, os.Getenv("COST")
	if cost != "" {
		_, err := fmt.Sscanf(cost, "%dx%d", &labels, &samples)
		require.NoError(t, err, "COST")
	} else if runtime.GOOS != "linux" {
		t.Skip("the system does not tell the peak of memory")
	}
	n, set := wide(t), wideSet(labels, samples)
	before := restartPeak(t, cost)
	start := time.Now()
	_, _, err := teach.Train(t.Context(), n, set, teach.Options{Threads: 1})
	require.NoError(t, err)
	took, peak := time.Since(start), peakMemory(t)-before
	t.Logf("%d labels x %d samples: %.1f MB, %.2f s", labels, samples, float64(peak)/1e6, took.Seconds())
	if cost == "" {
		require.Less(t, peak, int64(limit))
	}
	runtime.KeepAlive(n)
}

// restartPeak has the peak of memory begin from what there is now.
func restartPeak(t *testing.T, cost string) int64 {
	if cost != "" {
		return 0
	}
	debug.FreeOSMemory()
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // see proc(5)
	return peakMemory(t)
}

// peakMemory is the most that was resident, in bytes.
func peakMemory(t *testing.T) int64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return n << 10
}

// Of ResNet50's last layers.
const wideSide, wideFeatures, wideClasses = 7, 2048, 1000

// wide is a random network whose classifier is as wide as ResNet50's.
func wide(t *testing.T) *int8.Network {
	rng := rand.New(rand.NewPCG(1, 0))
	weights := func(n int) []int8.Value {
		w := make([]int8.Value, n)
		for i := range w {
			w[i] = int8.Value(rng.IntN(255) - 127)
		}
		return w
	}
	scales := func(n int, s float32) []float32 {
		all := make([]float32, n)
		for i := range all {
			all[i] = s
		}
		return all
	}
	multipliers := make([]int32, wideFeatures)
	for i := range multipliers {
		multipliers[i] = 1 << 21
	}
	conv := &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 3, OutC: wideFeatures, Weight: weights(3 * wideFeatures),
		Bias: make([]int32, wideFeatures), Multiplier: multipliers, Scale: scales(wideFeatures, 1), Shift: 10}
	maps := int8.Tensor{Shape: tensor.Shape{H: wideSide, W: wideSide, C: wideFeatures}, Type: int8.Int8, Scale: 1, Zero: []int8.Value{0}}
	n, err := int8.NewNetwork("wide", int8.Tensor{Shape: tensor.Shape{H: wideSide, W: wideSide, C: 3}, Type: int8.Int8, Zero: make([]int8.Value, 3)}, []int8.Layer{
		{Name: "maps", Inputs: []tensor.ID{tensor.Input}, Op: conv, Out: maps},
		{Name: "sums", Inputs: []tensor.ID{1}, Op: int8.GlobalAveragePool{}, Out: int8.Tensor{
			Shape: tensor.Shape{H: 1, W: 1, C: wideFeatures}, Type: int8.Int16, Scale: 1. / (wideSide * wideSide), Bound: int32(maps.SumBound())}},
		{Name: "classes", Inputs: []tensor.ID{2}, Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: wideClasses}, Type: int8.Int32},
			Op: &int8.Dense{In: wideFeatures, Out: wideClasses, Weight: weights(wideFeatures * wideClasses), Bias: make([]int32, wideClasses), Scale: scales(wideClasses, 1e-6)}},
	})
	require.NoError(t, err)
	return n
}

// wideSet are samples that lie around their labels' centres, like features behind a ReLU.
func wideSet(labels, samples int) *teach.Set {
	rng, set := rand.New(rand.NewPCG(2, 0)), &teach.Set{}
	for label := range labels {
		set.Labels = append(set.Labels, fmt.Sprint("label ", label))
		centre := make([]float64, wideFeatures)
		for i := range centre {
			centre[i] = 400 * rng.NormFloat64()
		}
		for range samples {
			features := make([]int16, wideFeatures)
			for i, c := range centre {
				features[i] = int16(max(0, c+800*rng.NormFloat64()))
			}
			set.Samples = append(set.Samples, teach.Sample{Features: features, Classes: []int{label}, Group: len(set.Samples), Name: fmt.Sprint(label)})
		}
	}
	return set
}
