package arm64

import (
	"math"

	"edgeclassify/int8"
)

// Steps of the kernel neon_a53: of each of four channels, 16 weights. Its flags
// for slower sums are of two steps.
const (
	a53Channels = 4
	a53Depth    = 16

	// wideSteps is tile.Micro.WideSteps of the kernel neon_a53.
	wideSteps = 2
)

// wideA53 is tile.Micro.Wide of the kernel neon_a53: it reports whether four
// products can be too much for a 16-bit lane. Given the weights of two steps, a
// lane adds up values k and k+8 of both, for a channel, in any order: it is safe
// if the greatest and the least sum that inputs in [-128, 127] can give fit.
func wideA53(weights []int8.Value) bool {
	const step, half = a53Channels * a53Depth, a53Depth / 2
	for channel := 0; channel < step; channel += a53Depth {
		for k := channel; k < channel+half; k++ {
			if !fitsLane(weights[k], weights[k+half], weights[step+k], weights[step+k+half]) {
				return true
			}
		}
	}
	return false
}

func fitsLane(weights ...int8.Value) bool {
	positive, negative := 0, 0
	for _, w := range weights {
		positive += max(int(w), 0)
		negative += max(-int(w), 0)
	}
	return 127*positive+128*negative <= math.MaxInt16 && -128*positive-127*negative >= math.MinInt16
}
