//go:build !purego

package observe

import (
	"slices"

	"golang.org/x/sys/cpu"
)

// surveyed does what survey does, if there is a kernel for so many channels.
func surveyed(sums []float64, peaks []uint32, values []float32, least *uint32, greatest *int32) bool {
	if !cpu.X86.HasAVX2 || len(sums)%8 != 0 || len(values) == 0 || len(values)%len(sums) != 0 || len(peaks) < len(sums) {
		return false
	}
	var low [8]uint32
	var high [8]int32
	surveyAVX2(&sums[0], &peaks[0], &values[0], len(sums), len(values)/len(sums), &low, &high)
	*least, *greatest = slices.Max(low[:]), slices.Max(high[:])
	return true
}

// numbered does what number does with the first values, and returns how many.
func numbered(places []uint16, values []float32, inverse float32) int {
	sixteens := min(len(places), len(values)) / 16
	if !cpu.X86.HasAVX2 || sixteens == 0 {
		return 0
	}
	numberAVX2(&places[0], &values[0], sixteens, inverse)
	return sixteens * 16
}

//go:noescape
func surveyAVX2(sums *float64, peaks *uint32, values *float32, channels, pixels int, low *[8]uint32, high *[8]int32)

//go:noescape
func numberAVX2(places *uint16, values *float32, sixteens int, inverse float32)
