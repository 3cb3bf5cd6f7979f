package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/evaluate"
	"edgeclassify/internal/testneed"
)

func TestDataFreeModelAgreesWithFloat(t *testing.T) {
	needWeights(t)
	photographs, out := testneed.Sample(t, "images"), filepath.Join(t.TempDir(), "a.q8")
	code, _, errs := execute("build", "-model", "resnet50-keras", "-data-free", "-out", out)
	require.Zero(t, code, errs)
	code, text, errs := execute("eval", "-model", out, "-images", photographs, "-float", "resnet50-keras", "-limit", "100", "-seed", "7", "-json")
	require.Zero(t, code, errs)
	var r evaluate.Result
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	t.Logf("%d pictures: agreement %.4f, SQNR %.1f dB", r.Images, r.Agreement.Value, *r.SQNR)
	require.Equal(t, 100, r.Images)
	require.GreaterOrEqual(t, r.Agreement.Value, 0.97)
}

// The build's own check of the model is the judge.
func TestEightPicturesAreEnough(t *testing.T) {
	needWeights(t)
	photographs, out := testneed.Sample(t, "images"), filepath.Join(t.TempDir(), "a.q8")
	code, _, errs := execute("build", "-model", "resnet50-keras", "-images", photographs, "-limit", "8", "-out", out)
	require.Zero(t, code, errs)
	t.Log(errs)
	summary := regexp.MustCompile(`int8 agrees with float on ([\d.]+) % of 200 pictures held out`).FindStringSubmatch(errs)
	require.NotNil(t, summary)
	percent, err := strconv.ParseFloat(summary[1], 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, percent, 98.5)
}
