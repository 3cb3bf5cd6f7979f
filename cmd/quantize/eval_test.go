package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/evaluate"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/stats"
	"edgeclassify/q8"
)

func TestPrintResult(t *testing.T) {
	ratio := 26.5
	r := &evaluate.Result{
		Images: 100, Labelled: 100, SQNR: &ratio,
		ByImage:   &evaluate.Distribution{Worst: "hen.jpg", Deciles: [11]float64{7.75, 20, 21, 22, 23, 24.5, 25, 26, 27, 28, 30}},
		Top1:      &stats.Share{Count: 80, Of: 100, Value: 0.8, Low: 0.7112, High: 0.8666},
		FloatTop1: &stats.Share{Count: 95, Of: 100, Value: 0.95, Low: 0.8882, High: 0.9785},
		Agreement: &stats.Share{Count: 70, Of: 100, Value: 0.7, Low: 0.6042, High: 0.7811},
		Flips:     &evaluate.Flips{RightToWrong: 20, WrongToRight: 5, WrongToWrong: 5, McNemar: 0.004},
		Classes:   []evaluate.Class{{Index: 7, Name: "cock", Images: 3, Top1: 1, FloatTop1: 2, Agree: 3}},
	}
	text := func() string {
		var b bytes.Buffer
		require.NoError(t, printResult(&b, r))
		return strings.Join(strings.Fields(b.String()), " ")
	}
	for _, want := range []string{
		"top-1 80.00 % 71.12 to 86.66 %, 80 of 100", "of float 95.00 %", "logit SQNR 26.50 dB of all pictures together worst picture 7.75 dB hen.jpg",
		"median 24.50 dB deciles: [20.0 21.0 22.0 23.0 24.5 25.0 26.0 27.0 28.0]", "20 right to wrong", "5 wrong to right",
		"p = 0.004 int8 is right less often than float, by more than chance", "7 3 33.3 % 66.7 % 100.0 % cock",
	} {
		require.Contains(t, text(), want)
	}
	r.Flips.RightToWrong, r.Flips.WrongToRight = 5, 20
	require.Contains(t, text(), "int8 is right more often")
	r.Flips.McNemar = 0.4
	require.Contains(t, text(), "no difference beyond chance")
	r.Labelled, r.Flips.Unlabelled = 0, 30
	require.NotContains(t, text(), "McNemar")
	require.Contains(t, text(), "30 of unknown class")
	r.FloatTop1, r.Flips = nil, nil
	require.Contains(t, text(), "class pictures top-1 name 7 3 33.3 % cock")
}

// True classes are those that folders are named by; others are told.
func TestEvalOnFoldersNamedByLabels(t *testing.T) {
	dir := t.TempDir()
	model, photo := filepath.Join(dir, "lights.q8"), "../../testdata/photos/rocket.jpg"
	require.NoError(t, q8.Write(model, nettest.Lights()))
	file, err := os.ReadFile(photo)
	require.NoError(t, err)
	for _, folder := range []string{"Blue_Light", "green light/more", "holidays"} {
		folder = filepath.Join(dir, "set", folder)
		require.NoError(t, os.MkdirAll(folder, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "rocket.jpg"), file, 0o600))
	}
	code, out, errs := execute("eval", "-model", model, "-images", filepath.Join(dir, "set"), "-json", "-classes")
	require.Zero(t, code, errs)
	require.Contains(t, errs, `1 folders are not named by a label, or by one that several classes have, such as "holidays"`)
	var r evaluate.Result
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, []int{3, 2}, []int{r.Images, r.Labelled})
	require.Equal(t, 0, r.Classes[0].Top1+r.Classes[1].Top1-r.Top1.Count)
	require.ElementsMatch(t, []string{"green light", "blue light"}, []string{r.Classes[0].Name, r.Classes[1].Name})
}

// The whole program with real weights on the photographs of this project,
// interrupted before and resumed.
func TestEvalOnPhotographs(t *testing.T) {
	dir := t.TempDir()
	model, truth, journal := shippedModel(t), filepath.Join(dir, "truth.txt"), filepath.Join(dir, "journal")
	require.NoError(t, os.WriteFile(truth, []byte("cat.jpg n02123045\nespresso.jpg espresso\nrocket.jpg missile\ntripod.jpg 872\nastronaut.jpg space shuttle\n"), 0o600))
	args := []string{"eval", "-model", model, "-images", "../../testdata/photos", "-float", "resnet50-keras", "-truth", truth, "-resume", journal}

	code, out, errs := execute(append(args, "-limit", "2", "-classes")...)
	require.Zero(t, code, errs)
	require.Contains(t, out, "pictures         2 ")
	code, out, errs = execute(append(args, "-json", "-classes")...)
	require.Zero(t, code, errs)
	var r evaluate.Result
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	t.Log(out)
	require.Equal(t, []int{5, 5, 0}, []int{r.Images, r.Labelled, r.Skipped})
	require.Len(t, r.Classes, 5)
	require.GreaterOrEqual(t, r.Top5.Count, 4)
	require.Equal(t, 5, r.Agreement.Count)
	require.Greater(t, *r.SQNR, 20.0)
	lines, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.Equal(t, 6, bytes.Count(lines, []byte("\n")))

	code, _, errs = execute("eval", "-model", model, "-images", "../../testdata/photos", "-truth", truth, "-resume", journal)
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "another float network")
}
