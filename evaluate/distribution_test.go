package evaluate

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of twenty images with 1.5 to 20.5 dB, in no order, and two that have no noise.
func TestDistributionOfImages(t *testing.T) {
	e := &Evaluation{}
	for i := range 22 {
		db := float64((i*7)%20) + 1.5
		e.images.Files = append(e.images.Files, fmt.Sprintf("folder/%g.jpg", db))
		e.verdicts = append(e.verdicts, verdict{known: true, Signal: 5, Noise: 5 * math.Pow(10, -db/10)})
	}
	e.verdicts[20].Noise, e.verdicts[21].Signal = 0, 0
	d := e.distribution()
	require.Equal(t, "1.5.jpg", d.Worst)
	for i, want := range []float64{1.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5, 16.5, 18.5, 20.5} {
		require.InDelta(t, want, d.Deciles[i], 1e-9, i)
	}
	require.InDelta(t, 10.5, d.Median(), 1e-9)
	require.Equal(t, 1.0, d.Histogram.From)
	require.Len(t, d.Histogram.Counts, 20)
	for _, n := range d.Histogram.Counts {
		require.Equal(t, uint64(1), n)
	}

	require.Nil(t, (&Evaluation{verdicts: []verdict{{known: true, Signal: 1}}}).distribution())
}
