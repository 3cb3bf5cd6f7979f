package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/stats"
)

// Numbers on the page. What is not known, or is no number, is a dash.
const (
	unknown = "–"
	minus   = "−"
	space   = "\u00a0" // does not break between a number and its unit
)

// fixed is a number with so many decimals.
func fixed(x float64, decimals int) string {
	switch {
	case !finite(x):
		return unknown
	case math.Abs(x) >= 1e7:
		return signed(strconv.FormatFloat(x, 'g', 3, 64))
	}
	return signed(strconv.FormatFloat(x, 'f', decimals, 64))
}

// significant is a number with three significant digits.
func significant(x float64) string {
	switch exponent := math.Floor(math.Log10(math.Abs(x))); {
	case !finite(x):
		return unknown
	case x == 0:
		return "0"
	case exponent < -4 || exponent > 5:
		return signed(strconv.FormatFloat(x, 'g', 3, 64))
	default:
		return fixed(x, max(0, 2-int(exponent)))
	}
}

// signed has minus signs that are as wide as digits, and none before zero.
func signed(digits string) string {
	if strings.Trim(digits, "-0.") == "" {
		return strings.TrimPrefix(digits, "-")
	}
	return strings.ReplaceAll(digits, "-", minus)
}

// number is a ratio in dB, or a number of bits, without its unit.
func number(x float64) string { return fixed(x, 1) }

// optional is a number that may be missing.
func optional(x *float64) string {
	if x == nil {
		return unknown
	}
	return number(*x)
}

// decibels is a number with its unit.
func decibels(x float64) string {
	if !finite(x) {
		return unknown
	}
	return number(x) + space + "dB"
}

// gain is a difference in dB, with its sign.
func gain(x float64) string {
	s := fixed(x, 2)
	if s == unknown || strings.HasPrefix(s, minus) || strings.Trim(s, "0.") == "" {
		return s
	}
	return "+" + s
}

// percent shows a share, a small one with more decimals.
func percent(share float64) string {
	p := 100 * share
	switch {
	case !finite(p):
		return unknown
	case p == 0 || p == 100:
		return fixed(p, 0) + space + "%"
	case p > 0 && p < 0.005:
		return "<" + space + "0.01" + space + "%"
	case math.Abs(p) < 1:
		return fixed(p, 2) + space + "%"
	}
	return fixed(p, 1) + space + "%"
}

// size is a number of bytes in decimal units, as on a disk's label.
func size(n int64) string { return scaled(float64(n), []string{"B", "kB", "MB", "GB", "TB"}) }

// amount is a number in steps of a thousand: thousand, million, billion.
func amount(n int64) string {
	return strings.TrimSuffix(scaled(float64(n), []string{"", "k", "M", "G", "T"}), space)
}

func scaled(x float64, units []string) string {
	i := 0
	for ; i+1 < len(units) && math.Abs(x) >= 999.5; i++ {
		x /= 1000
	}
	if i == 0 {
		return fixed(x, 0) + space + units[0]
	}
	decimals := 2
	switch {
	case math.Abs(x) >= 99.95:
		decimals = 0
	case math.Abs(x) >= 9.995:
		decimals = 1
	}
	return fixed(x, decimals) + space + units[i]
}

// span is a range of real values.
func span(r *quantize.Range) string {
	if r == nil || !finite(r.Min, r.Max) {
		return unknown
	}
	return significant(r.Min) + space + "…" + space + significant(r.Max)
}

// interval is the 95 % interval of a share.
func interval(s *stats.Share) string {
	if s == nil || !finite(100*s.Low, 100*s.High) {
		return unknown
	}
	return between(s.Low, s.High)
}

func shape(s [3]int) string { return fmt.Sprintf("%d×%d×%d", s[0], s[1], s[2]) }
