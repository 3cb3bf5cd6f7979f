package observe

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// special are values of every kind, so many that each kernel's tail is used.
func special(n int) []float32 {
	values := gaussian(n, 3, true)
	for i := range n / 3 {
		values[i*3] = []float32{0, float32(math.Copysign(0, -1)), math.SmallestNonzeroFloat32, -1e-39, 0}[i%5]
	}
	return values
}

func TestSurveyMatchesChannels(t *testing.T) {
	for _, channels := range []int{1, 3, 8, 12, 16, 40} {
		for _, pixels := range []int{1, 2, 9} {
			values := special(channels * pixels)
			sums, peaks := make([]float64, channels+1), make([]uint32, channels+1)
			sums[0], peaks[0] = 2, math.Float32bits(20) // what is there already counts
			least, greatest := survey(sums[:channels], peaks[:channels], values)
			for c := range channels {
				sum, peak := 0.0, 0.0
				if c == 0 {
					sum, peak = 2, 20
				}
				for i := c; i < len(values); i += channels {
					sum, peak = sum+float64(values[i]), max(peak, math.Abs(float64(values[i])))
				}
				require.Equal(t, sum, sums[c], "%d channels, %d pixels", channels, pixels)
				require.EqualValues(t, peak, math.Float32frombits(peaks[c]), "%d channels, %d pixels", channels, pixels)
			}
			require.Zero(t, sums[channels])
			require.Zero(t, peaks[channels])
			lo, hi, err := limits(least, greatest)
			require.NoError(t, err)
			require.Equal(t, min(0, slices.Min(values)), lo)
			require.Equal(t, max(0, slices.Max(values)), hi)
		}
	}
}

func TestNumbersArePlaces(t *testing.T) {
	const inverse = 64
	for n := range 70 {
		values := special(n)
		places := slices.Repeat([]uint16{math.MaxUint16}, n+16)
		number(places[:n], values, inverse)
		for i, v := range values {
			want := bin(v, inverse)
			if v == 0 {
				want += half + 1 + i%lanes
			}
			require.EqualValues(t, want, places[i], "%g", v)
		}
		require.Equal(t, slices.Repeat([]uint16{math.MaxUint16}, 16), places[n:])
	}
}
