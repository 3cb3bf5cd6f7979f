package arm64

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
)

const a53Step = a53Channels * a53Depth

// TestWideA53IsExact compares with all sums of extreme inputs. Few weights are
// large, so that about half of the panels just fit.
func TestWideA53IsExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	count := map[bool]int{}
	for range 2000 {
		weights := make([]int8.Value, 2*a53Step)
		for i := range weights {
			weights[i] = int8.Value(random.IntN(61) - 30)
		}
		lane := random.IntN(len(weights))
		for _, at := range []int{lane, lane ^ a53Depth/2, lane ^ a53Step, lane ^ a53Step ^ a53Depth/2} {
			weights[at] = int8.Value(random.IntN(255) - 127)
		}
		wide := wideA53(weights)
		require.Equal(t, overflows(weights), wide, "%v", weights)
		count[wide]++
	}
	require.Greater(t, count[true], 500)
	require.Greater(t, count[false], 500)
}

// overflows adds up each 16-bit lane of the kernel for each choice of -128 and
// 127 as its inputs.
func overflows(weights []int8.Value) bool {
	lanes := map[[2]int]*[4]int{}
	for i, w := range weights {
		step, channel, k := i/a53Step, i%a53Step/a53Depth, i%a53Depth
		lane := [2]int{channel, k % 8}
		if lanes[lane] == nil {
			lanes[lane] = new([4]int)
		}
		lanes[lane][2*step+k/8] = int(w)
	}
	for _, weights := range lanes {
		for choice := range 1 << len(weights) {
			sum := 0
			for i, w := range weights {
				sum += w * []int{-128, 127}[choice>>i&1]
			}
			if sum < math.MinInt16 || sum > math.MaxInt16 {
				return true
			}
		}
	}
	return false
}

func TestWideA53AtTheLimits(t *testing.T) {
	for _, test := range []struct {
		name    string
		weights [4]int8.Value
		wide    bool
	}{
		{"least sum -32768", [4]int8.Value{127, 127, 2, 0}, false},
		{"least sum -32896", [4]int8.Value{127, 127, 2, 1}, true},
		{"greatest sum 32640", [4]int8.Value{-127, -127, -1, 0}, false},
		{"greatest sum 32768", [4]int8.Value{-127, -127, -1, -1}, true},
		{"both signs, sums up to 32640", [4]int8.Value{127, -127, 1, 0}, false},
		{"all signs cancel, but not for every input", [4]int8.Value{127, -127, 127, -127}, true},
	} {
		weights := make([]int8.Value, 2*a53Step)
		lane := 3*a53Depth + 5 // of the last channel
		for i, at := range []int{0, 8, a53Step, a53Step + 8} {
			weights[lane+at] = test.weights[i]
		}
		require.Equal(t, test.wide, wideA53(weights), test.name)
	}
}
