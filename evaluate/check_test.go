package evaluate

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/q8"
)

// Few images do not condemn a model that many would find sound, and many do
// not acquit one that few condemn.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		of, agree int
		sqnr      float64
		good      bool
	}{
		{8, 8, 27, true}, {8, 7, 20, true}, {8, 8, 14.9, false}, {8, 4, 27, false},
		{200, 198, 24, true}, {200, 190, 20, true}, {200, 170, 20, false}, {1, 1, 30, true}, {1, 0, 16, false}, {1, 1, -3, false},
	} {
		sqnr := c.sqnr
		k := Check{Evaluation: &Evaluation{}, Result: &Result{Agreement: share(c.agree, c.of), SQNR: &sqnr}}
		k.judge()
		require.Equal(t, c.good, k.Verdict.Good, "%+v", c)
	}
	// Margins of 1 that errors take half away from, beside those that they turn.
	e := &Evaluation{margins: make([]diagnose.Margin, 100), verdicts: make([]verdict, 100)}
	for i := range e.margins {
		e.verdicts[i].known = true
		e.margins[i] = diagnose.Margin{Float: float64(i) / 100, Error: -0.2}
	}
	k := Check{Evaluation: e, Result: &Result{Agreement: share(98, 100)}}
	k.judge()
	require.False(t, k.Verdict.Good, "margins tell what counting has missed: %s", k.Verdict.Summary)
	for i := range e.margins {
		e.margins[i].Error = -0.01
	}
	k.judge()
	require.True(t, k.Verdict.Good, k.Verdict.Summary)
}

// Where all images were calibrated on, logits of the float network that are known
// take the place of its run.
func TestCheckTakesKnownLogits(t *testing.T) {
	images := smallImages(t, 20)
	float := smallGraph(t) // without batch norms
	stats, err := observe.Observe(t.Context(), float, images, dataset.Pass{})
	require.NoError(t, err)
	c := &Calibration{Float: float, Table: stats.Table(quantize.MinMax), Images: images, Hashes: stats.Hashes}
	m, err := calibrate.Model(float, c.Table, q8.Provenance{}, 1)
	require.NoError(t, err)
	phases := map[string]bool{}
	check := func() *Result {
		k, err := c.Check(t.Context(), m, CheckOptions{
			Folder: filepath.Dir(images.Files[0]), Threads: 2, Progress: func(phase string, _, _ int) { phases[phase] = true },
		})
		require.NoError(t, err)
		require.Equal(t, images, k.Images)
		require.True(t, k.Result.OwnImages)
		return k.Result
	}
	want := check()
	choice, err := calibrate.ChooseInt16(t.Context(), float, c.Table, c.Sample(), calibrate.Int16Options{Threads: 2, MaxDrop: 1})
	require.NoError(t, err)
	c.Logits = choice.Logits
	require.Equal(t, want, check())
	require.Equal(t, map[string]bool{"checking": true}, phases, "a good model's layers are not looked into")
	for _, logits := range c.Logits {
		clear(logits)
	}
	require.NotEqual(t, want, check())
}

func TestSampleIsOfReadableImages(t *testing.T) {
	c := &Calibration{Images: ImageSet{Files: []string{"a", "b", "c", "d"}}, Hashes: dataset.Hashes{{1}, nil, {2}, {1}}}
	require.Equal(t, []string{"a", "c", "d"}, c.Sample().Files)
	require.Equal(t, []string{"d"}, c.copies())
}
