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

// multiplierBits are the fraction bits of a multiplier without shift: mulHigh
// takes 31 away, the last rounding outBits.
const multiplierBits = 31 + outBits

// OneOut is one step of the output before the last rounding.
const OneOut = 1 << outBits

// QuantizeMultiplier turns the real factor between accumulator and output into
// a multiplier for the given shift: round(scale * 2^(37-shift)). The factor
// must be positive and below 2^(shift-6).
func QuantizeMultiplier(scale float64, shift uint8) (int32, error) {
	m := math.Round(math.Ldexp(scale, multiplierBits-int(shift)))
	if !(m >= 1 && m <= math.MaxInt32) {
		return 0, fmt.Errorf("int8: scale %g does not fit a multiplier with shift %d", scale, shift)
	}
	return int32(m), nil
}

// ShiftFor is the smallest shift with which QuantizeMultiplier takes scale.
func ShiftFor(scale float64) uint8 {
	var shift uint8
	for math.Round(math.Ldexp(scale, multiplierBits-int(shift))) > math.MaxInt32 && shift < 31 {
		shift++
	}
	return shift
}

// RealMultiplier is the factor that a multiplier stands for.
func RealMultiplier(m int32, shift uint8) float64 {
	return math.Ldexp(float64(m), int(shift)-multiplierBits)
}

// mulHigh is SQRDMULH: the rounded high half of 2*a*m. With m positive it
// never saturates.
func mulHigh(a, m int32) int32 {
	return int32((2*int64(a)*int64(m) + 1<<31) >> 32)
}

// QuantizeResidual turns the real ratio of an int16 residual's scale to the
// output's into Conv.Residual, with as many fraction bits as it can have: its
// relative error is below 2^-14.
func QuantizeResidual(ratio float64) (residual int32, shift uint8, err error) {
	at := func(shift uint8) float64 { return math.Round(math.Ldexp(ratio, outBits+int(shift))) }
	if !(ratio > 0 && at(0) <= math.MaxInt16 && at(maxResidualShift) >= 1) {
		return 0, 0, fmt.Errorf("int8: the residual's scale is %g times the output's, which no ratio can say", ratio)
	}
	for shift < maxResidualShift && at(shift+1) <= math.MaxInt16 {
		shift++
	}
	return int32(at(shift)), shift, nil
}

// maxResidualShift keeps the rounded product of an int16 residual and its ratio
// within int32.
const maxResidualShift = 30

// ScaleResidual is what a residual adds to an output before its last rounding.
func ScaleResidual(value, ratio int32, shift uint8) int32 {
	return (value*ratio + 1<<shift>>1) >> shift
}

// BoundFor is the largest Bound that an int16 activation can have so that a
// convolution that reads it stays within int32: absSum is the AbsSum of one
// output channel's weights, bias and shift are the convolution's. It is below 1
// where there is none.
func BoundFor(absSum int64, bias int32, shift uint8) int32 {
	room := math.MaxInt32>>shift - abs64(bias)
	return int32(min(math.MaxInt16, room/max(absSum, 1)))
}

// Requantize is the epilogue of a convolution with an int8 output: acc is the
// biased accumulator, residual what ScaleResidual gives, or 0.
func Requantize(acc, multiplier int32, shift uint8, residual int32) int8 {
	return int8(RequantizeWithin(acc, multiplier, shift, residual, math.MinInt8, math.MaxInt8))
}

// RequantizeWithin is Requantize for an output with these limits.
func RequantizeWithin(acc, multiplier int32, shift uint8, residual, low, high int32) int32 {
	return max(low, min(high, (mulHigh(acc<<shift, multiplier)+residual+half)>>outBits))
}

// Range is the limits of an activation and its zero point.
type Range struct{ Low, High, Zero int32 }

// Range is that of an activation but the image.
func (t *Tensor) Range() Range {
	low, high := t.Limits()
	return Range{low, high, int32(t.ZeroAt(0))}
}

// Clamp is the q within the limits whose q - Zero is nearest to v.
func (r Range) Clamp(v int32) int32 { return max(r.Low, min(r.High, v+r.Zero)) }

// requantize is Clamp of an accumulator into which no zero point is folded.
func (r Range) requantize(acc, multiplier int32, shift uint8) int32 {
	return r.Clamp((mulHigh(acc<<(shift&31), multiplier) + half) >> outBits)
}

// checkRequantization proves that no intermediate of requantize leaves int32 for
// accumulators up to a magnitude.
func checkRequantization(acc int64, multiplier int32, shift uint8) error {
	switch {
	case shift > 24:
		return fmt.Errorf("shift %d is not in 0..24", shift)
	case multiplier < 1:
		return fmt.Errorf("multiplier %d is not positive", multiplier)
	case acc > math.MaxInt32>>shift:
		return fmt.Errorf("the accumulator can reach %d << %d, beyond int32", acc, shift)
	}
	if v := (acc<<shift*int64(multiplier))>>31 + 1 + half; v > math.MaxInt32 {
		return fmt.Errorf("the requantized value can reach %d, beyond int32", v)
	}
	return nil
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

// Averages divides sums by one count without a division for each: what Average gives,
// by a multiplication with the rounded reciprocal, which is exact for sums of up to
// maxWindow int16 values. (Granlund, Montgomery: Division by Invariant Integers using
// Multiplication, 1994.)
type Averages struct{ reciprocal, half int64 }

const (
	reciprocalBits = 40
	averageOffset  = 1 << 17 // makes what is divided positive
)

// AveragesOf is for a count of 1 to maxWindow.
func AveragesOf(count int32) Averages {
	d := 2 * int64(count)
	return Averages{(1<<reciprocalBits + d - 1) / d, int64(count) + d*averageOffset}
}

// Of is the average for a sum.
func (a Averages) Of(sum int32) int32 {
	return int32((2*int64(sum)+a.half)*a.reciprocal>>reciprocalBits) - averageOffset
}
