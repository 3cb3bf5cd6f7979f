package observe

import "math"

// survey adds values in HWC order to the sums of their channels and raises the channels'
// peaks to their magnitudes' bits, as which floats of one sign compare. It returns the
// bits of the least and of the greatest value, or zero where that is more or less.
func survey(sums []float64, peaks []uint32, values []float32) (least uint32, greatest int32) {
	if surveyed(sums, peaks, values, &least, &greatest) {
		return least, greatest
	}
	for ; len(values) > 0; values = values[len(sums):] {
		for c, v := range values[:len(sums)] {
			bits := math.Float32bits(v)
			least, greatest = max(least, bits), max(greatest, int32(bits))
			sums[c] += float64(v)
			peaks[c] = max(peaks[c], bits&math.MaxInt32)
		}
	}
	return least, greatest
}

// number writes the places of values in counts, given 1 / width, which is exact; those of
// zeros in turn among their lanes.
func number(places []uint16, values []float32, inverse float32) {
	for i := numbered(places, values, inverse); i < len(values); i++ {
		bits := int32(math.Float32bits(values[i] + 0))
		zero := int(uint32(bits|-bits)>>31) - 1 // all bits of it, or none
		places[i] = uint16(bin(values[i], inverse) + zero&(half+1+i%lanes))
	}
}
