package int8

import (
	"fmt"
	"math"
)

// outBits is the number of fraction bits that the last rounding removes, and
// half the value that makes it round to nearest.
const (
	outBits = 6
	half    = 1 << (outBits - 1)
)

// OneOut is one step of the output before the last rounding.
const OneOut = 1 << outBits

// QuantizeMultiplier turns the real factor between accumulator and output into
// a multiplier for the given shift: round(scale * 2^(37-shift)). The factor
// must be positive and below 2^(shift-6).
func QuantizeMultiplier(scale float64, shift uint8) (int32, error) {
	m := math.Round(math.Ldexp(scale, 31+outBits-int(shift)))
	if !(m >= 1 && m <= math.MaxInt32) {
		return 0, fmt.Errorf("int8: scale %g does not fit a multiplier with shift %d", scale, shift)
	}
	return int32(m), nil
}

// ShiftFor is the smallest shift with which QuantizeMultiplier takes scale.
func ShiftFor(scale float64) uint8 {
	var shift uint8
	for math.Round(math.Ldexp(scale, 31+outBits-int(shift))) > math.MaxInt32 && shift < 31 {
		shift++
	}
	return shift
}

// mulHigh is SQRDMULH: the rounded high half of 2*a*m. With m positive it
// never saturates.
func mulHigh(a, m int32) int32 {
	return int32((2*int64(a)*int64(m) + 1<<31) >> 32)
}

// Requantize is the epilogue of a convolution: acc is the biased accumulator,
// residual the product of residual value and ratio, or 0.
func Requantize(acc, multiplier int32, shift uint8, residual int32) int8 {
	return saturate((mulHigh(acc<<shift, multiplier) + residual + half) >> outBits)
}

func saturate(v int32) int8 {
	return int8(max(-128, min(127, v)))
}

// Average divides sum by count, rounding half up (towards positive infinity).
func Average(sum, count int32) int32 {
	n := 2*sum + count
	q := n / (2 * count)
	if n%(2*count) < 0 {
		q--
	}
	return q
}
