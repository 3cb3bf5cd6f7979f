package report

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/evaluate"
	"edgeclassify/internal/stats"
)

func TestStepsStartAtTheKeptTrial(t *testing.T) {
	got := steps([]calibrate.Trial{
		{Name: "plain", MeanSQNR: 20, Kept: true}, {Name: "worse", MeanSQNR: 18}, {Name: "better", MeanSQNR: 24, Kept: true}, {Name: "best", MeanSQNR: 30, Kept: true},
	})
	var gains []float64
	for _, s := range got {
		gains = append(gains, s.Gain)
	}
	require.Equal(t, []float64{0, -2, 4, 6}, gains)
	require.True(t, got[0].First)
	require.False(t, got[1].First)
	// The line goes from 17.4 to 30.6 dB: a margin of a twentieth at each end.
	require.Equal(t, bar{Left: 19.7, Width: 0}, got[0].Bar)
	require.Equal(t, bar{Left: 4.55, Width: 15.15}, got[1].Bar, "from 20 down to 18")
	require.Equal(t, bar{Left: 19.7, Width: 30.3}, got[2].Bar, "from 20 up to 24")
	require.Equal(t, bar{Left: 50, Width: 45.45}, got[3].Bar)
}

func TestBarsStayOnTheirLine(t *testing.T) {
	require.Equal(t, bar{Left: 0, Width: 100}, barOf(-5, 5, 0, 1))
	require.Equal(t, bar{}, barOf(1, 1, 1, 1), "a line of no length")
	require.Equal(t, bar{}, barOf(math.NaN(), math.Inf(1), 0, 1))
}

func TestAccuracyLeavesOutWhatIsMissing(t *testing.T) {
	got := accuracy(&evaluate.Result{Top1: &stats.Share{Value: 0.8, Low: 0.7, High: 0.9}, Agreement: &stats.Share{Value: 1, Low: 0.95, High: 1}})
	require.Len(t, got, 2)
	require.Equal(t, "Top-1, int8", got[0].Name)
	require.Equal(t, bar{Left: 25, Width: 50}, got[0].Bar, "on a line from 0.6")
	require.Equal(t, 50., got[0].Dot.Left)
	require.Equal(t, "Agreement", got[1].Name)
}

func TestChanceInWords(t *testing.T) {
	for want, f := range map[string]evaluate.Flips{
		"accuracy is the same":                    {WrongToWrong: 5, McNemar: 1},
		"73.0\u00a0%: there is no evidence":       {RightToWrong: 4, WrongToRight: 3, McNemar: 0.73},
		"0.40\u00a0%): quantization has cost":     {RightToWrong: 12, WrongToRight: 1, McNemar: 0.004},
		"quantized network is the more accurate":  {RightToWrong: 1, WrongToRight: 12, McNemar: 0.004},
		"<\u00a00.01\u00a0%): quantization":       {RightToWrong: 90, McNemar: 1e-12},
		"difference of at least this size would ": {RightToWrong: 1, McNemar: 1},
	} {
		require.Contains(t, chance(&f), want)
	}
	require.Empty(t, chance(&evaluate.Flips{RightToWrong: 1, McNemar: math.NaN()}))
}

func TestClassesAreSortedWorstFirst(t *testing.T) {
	e := evaluate.Result{FloatTop1: &stats.Share{}, Classes: []evaluate.Class{
		{Index: 1, Images: 9, Top1: 9, FloatTop1: 9, Agree: 9},
		{Index: 2, Images: 9, Top1: 1, FloatTop1: 1, Agree: 9},
		{Index: 3, Images: 9, Top1: 8, FloatTop1: 8, Agree: 7},
		{Index: 4, Images: 9, Top1: 6, FloatTop1: 9, Agree: 6},
	}}
	order := func() (indices []int) {
		for _, c := range worstFirst(&e) {
			indices = append(indices, c.Index)
		}
		return indices
	}
	require.Equal(t, []int{4, 3, 1, 2}, order(), "what int8 has lost")
	e.FloatTop1 = nil
	require.Equal(t, []int{2, 4, 3, 1}, order(), "what int8 has wrong")
}

func TestInt16OutputsAreRanked(t *testing.T) {
	require.Nil(t, rankInt16([]Layer{{}}))
	layers := make([]Layer, 20)
	for i := range layers {
		layers[i].Int16 = &calibrate.Int16Output{Gain: float64(i%10) - 1}
	}
	r := rankInt16(layers)
	require.Len(t, r.Best, listed)
	require.Len(t, r.Rest, 20-listed)
	require.Equal(t, 10, r.Best[0].Number)
	require.Equal(t, 20, r.Best[1].Number, "of equals the earlier layer is first")
	require.Equal(t, bar{Left: 11.11, Width: 88.89}, r.Best[0].Bar, "on a line from -1 to 8")
	require.Equal(t, bar{Left: 0, Width: 11.11}, r.Rest[7].Bar)
}

func TestRightGuessesAreMarked(t *testing.T) {
	list := guesses("int8", []evaluate.Prediction{{Class: "cat", Probability: 0.5}, {Class: "dog", Probability: 0.25}}, "dog").List
	require.False(t, list[0].Right)
	require.True(t, list[1].Right)
	require.Equal(t, 25., list[1].Bar.Width)
	require.False(t, guesses("int8", []evaluate.Prediction{{}}, "").List[0].Right, "an unknown truth is not an unnamed class")
}
