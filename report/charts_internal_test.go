package report

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gonum.org/v1/plot/plotter"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/runtime"
)

func value(x float64) *float64 { return &x }

func TestTicksAreRound(t *testing.T) {
	values := func(low, high float64, count int) (v []string) {
		for _, tick := range ticks(low, high, count, significantTick) {
			v = append(v, tick.Label)
		}
		return v
	}
	require.Equal(t, []string{"0", "20", "40", "60", "80", "100"}, values(0, 100, 5))
	require.Equal(t, []string{"−0.5", "0", "0.5", "1"}, values(-0.7, 1.3, 4))
	require.Equal(t, []string{"2e+300", "4e+300"}, values(1e300, 5e300, 3))
	require.Empty(t, values(1, 1, 3))
	require.Empty(t, values(-math.MaxFloat64, math.MaxFloat64, 3))
	require.LessOrEqual(t, len(values(1e9, math.Nextafter(1e9, 2e9), 3)), 8)
}

func TestLayersHaveWholeNumbers(t *testing.T) {
	var labels []string
	for _, tick := range wholeTicks(1, 3.75, 12) {
		labels = append(labels, tick.Label)
	}
	require.Equal(t, []string{"1", "2", "3"}, labels)
}

func TestRunsBreakWhereNumbersAreMissing(t *testing.T) {
	layers := make([]Layer, 6)
	for i, v := range []*float64{value(10), value(20), nil, value(math.Inf(1)), value(1e9), value(-1e9)} {
		layers[i].SQNR.Isolated = v
	}
	require.Equal(t, []plotter.XYs{{{X: 1, Y: 10}, {X: 2, Y: 20}}, {{X: 5, Y: highestDB}, {X: 6, Y: lowestDB}}},
		runs(layers, isolated))
}

func TestSharesOfNoise(t *testing.T) {
	s := SQNR{Weights: value(30), Activations: value(20)}
	parts, ok := s.shares()
	require.True(t, ok)
	require.InDeltaSlice(t, []float64{1. / 11, 10. / 11, 0}, parts[:], 1e-12, "10 dB less is ten times the noise")
	_, ok = (&SQNR{Isolated: value(30), Clipping: value(math.NaN())}).shares()
	require.False(t, ok)
}

func TestHistogramDividesAtTheRange(t *testing.T) {
	l := Layer{Histogram: &diagnose.Histogram{From: -10, Width: 10, Counts: []uint64{0, 99, 9, 0, 0}}, Range: &quantize.Range{Min: 0, Max: 10}}
	left, right, ok := l.extent()
	require.True(t, ok)
	require.Equal(t, []float64{0, 20}, []float64{left, right}, "empty bins at the ends are left out")
	inside, outside := l.bars(left, right)
	require.Len(t, inside, 1)
	require.Len(t, outside, 1)
	height := func(b plotter.XYer) float64 { _, y := b.XY(1); return y }
	require.InDelta(t, 1, height(inside[0]), 1e-12)
	require.InDelta(t, 0.5, height(outside[0]), 1e-12, "log 10 beside log 100")

	l.Range = &quantize.Range{Min: 0, Max: 40}
	_, right, _ = l.extent()
	require.Equal(t, 40., right, "all of the range is shown")
}

func TestHistogramsThatCannotBeDrawn(t *testing.T) {
	for name, h := range map[string]*diagnose.Histogram{
		"none": nil, "no bins": {Width: 1}, "no counts": {Width: 1, Counts: []uint64{0, 0}}, "no width": {Counts: []uint64{1}},
		"negative width": {Width: -1, Counts: []uint64{1}}, "endless": {Width: math.Inf(1), Counts: []uint64{1}},
		"too wide": {From: -math.MaxFloat64, Width: math.MaxFloat64, Counts: []uint64{1, 1, 1}},
	} {
		chart, err := histogramChart(Layer{Histogram: h})
		require.NoError(t, err, name)
		require.Empty(t, chart, name)
	}
}

func TestPicturesChartOfFewPictures(t *testing.T) {
	for name, c := range map[string]struct {
		counts []uint64
		want   string
	}{
		"one picture": {[]uint64{1}, "7.0 to 8.0\u00a0dB: 1<"},
		"all alike":   {[]uint64{40}, "7.0 to 8.0\u00a0dB: 40<"},
		"far apart":   {append(make([]uint64, 300), 2), "307.0 to 308.0\u00a0dB: 2<"},
		"none":        {nil, ""},
	} {
		chart, err := picturesChart(&evaluate.Distribution{Histogram: diagnose.Histogram{From: 7, Width: 1, Counts: c.counts}})
		require.NoError(t, err, name)
		require.Equal(t, c.want == "", chart == "", name)
		require.Contains(t, string(chart), c.want, name)
		require.LessOrEqual(t, strings.Count(string(chart), "dB: "), 1, name)
	}
}

func TestChartsFollowThePage(t *testing.T) {
	layers := []Layer{{Name: "<b>", SQNR: SQNR{Isolated: value(30), Cumulative: value(20), Weights: value(33), Activations: value(33)}}, {Name: "two"}}
	for _, draw := range []func([]Layer) (string, error){
		func(l []Layer) (string, error) { c, err := depthChart(l); return string(c), err },
		func(l []Layer) (string, error) { c, err := noiseChart(l); return string(c), err },
	} {
		chart, err := draw(layers)
		require.NoError(t, err)
		require.Contains(t, chart, "var(--accent)")
		require.NotRegexp(t, `#[0-9A-Fa-f]{3,6}|Liberation|width="[\d.]+pt"`, chart, "no colour, font or size of its own")
		require.Contains(t, chart, "<title>1 &lt;b&gt;: ")
		require.Equal(t, strings.Count(chart, "<g"), strings.Count(chart, "</g>"))

		empty, err := draw([]Layer{{}, {}})
		require.NoError(t, err)
		require.Empty(t, empty)
	}
}

func TestDepthChartNeedsOneKindOfNumber(t *testing.T) {
	for name, s := range map[string]SQNR{"isolated": {Isolated: value(30)}, "cumulative": {Cumulative: value(30)}} {
		chart, err := depthChart([]Layer{{SQNR: s}, {SQNR: s}})
		require.NoError(t, err, name)
		require.NotEmpty(t, chart, name)
	}
}

func TestDepthChartNumbersTheLowest(t *testing.T) {
	layers := make([]Layer, 30)
	for i := range layers {
		layers[i].SQNR.Isolated = value(40 + float64(i))
	}
	layers[16].SQNR.Isolated = value(21)
	chart, err := depthChart(layers)
	require.NoError(t, err)
	require.Contains(t, string(chart), ">17</text>", "which is no round number of the axis")
	require.NotContains(t, string(chart), ">18</text>")
}

func TestArenaHasEachBuffer(t *testing.T) {
	chart, err := arenaChart([]runtime.Buffer{{Name: "a", Bytes: 3000, Last: 1}, {Name: "b", Offset: 3000, Bytes: 1000, First: 1, Last: 2}})
	require.NoError(t, err)
	require.Contains(t, string(chart), "<title>a: 3.00\u00a0kB at 0\u00a0B, steps 0 to 1</title>")
	require.Contains(t, string(chart), "<title>b: 1.00\u00a0kB at 3.00\u00a0kB, steps 1 to 2</title>")
	require.Equal(t, 2, strings.Count(string(chart), `class="tip"`))
}
