package report

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/stats"
)

// plain has ordinary spaces, which are easier to write.
func plain(s string) string { return strings.ReplaceAll(s, space, " ") }

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0.0", 26.64: "26.6", -3.25: "−3.2", -0.04: "0.0", 1e7: "1e+07", -1e300: "−1e+300", math.Inf(1): "–", math.Inf(-1): "–",
	} {
		require.Equal(t, want, number(x), "%g", x)
	}
	require.Equal(t, "–", number(math.NaN()))
	require.Equal(t, "–", optional(nil))
	require.Equal(t, "–", decibels(math.NaN()))
	require.Equal(t, "−1.5 dB", plain(decibels(-1.5)))
}

func TestGain(t *testing.T) {
	for x, want := range map[float64]string{1.6: "+1.60", -2.9: "−2.90", 0.001: "0.00", -0.001: "0.00", math.Inf(1): "–"} {
		require.Equal(t, want, gain(x), "%g", x)
	}
}

func TestSignificant(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 3.7: "3.70", 0.0141592: "0.0142", -12.345: "−12.3", 123456: "123456", 1.5e9: "1.5e+09", -2e-7: "−2e−07",
		math.SmallestNonzeroFloat64: "4.94e−324", math.Inf(-1): "–",
	} {
		require.Equal(t, want, significant(x), "%g", x)
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{
		0: "0 %", 1: "100 %", 0.9866: "98.7 %", 0.99999: "100.0 %", 0.0043: "0.43 %", 0.00005: "0.01 %", 1e-9: "< 0.01 %", -0.5: "−50.0 %", math.Inf(1): "–",
	} {
		require.Equal(t, want, plain(percent(share)), "%g", share)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.00 kB", 9996: "10.0 kB", 99_960: "100 kB", 999_499: "999 kB", 999_500: "1.00 MB",
		25_927_680: "25.9 MB", math.MaxInt64: "9223372 TB", -2_000_000: "−2.00 MB",
	} {
		require.Equal(t, want, plain(size(n)), "%d", n)
	}
	require.Equal(t, "512", amount(512))
	require.Equal(t, "3.86 G", plain(amount(3_858_000_000)))
}

func TestSpans(t *testing.T) {
	require.Equal(t, "−1.50 … 6.00", plain(span(&quantize.Range{Min: -1.5, Max: 6})))
	require.Equal(t, "–", span(nil))
	require.Equal(t, "–", span(&quantize.Range{Max: math.Inf(1)}))
	require.Equal(t, "96.9–99.4 %", plain(interval(&stats.Share{Low: 0.9689, High: 0.9942})))
	require.Equal(t, "–", interval(&stats.Share{Low: math.NaN()}))
}
