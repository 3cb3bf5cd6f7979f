package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/evaluate"
	"edgeclassify/internal/testneed"
)

// evaluated builds ResNet50 by the flags and compares it with its float network
// on some of the photographs that it has not seen.
func evaluated(t *testing.T, photographs string, flags ...string) evaluate.Result {
	t.Helper()
	out := filepath.Join(t.TempDir(), "a.q8")
	code, _, errs := execute(append([]string{"build", "-model", "resnet50-keras", "-out", out}, flags...)...)
	require.Zero(t, code, errs)
	eval := []string{"eval", "-model", out, "-images", photographs, "-float", "resnet50-keras", "-limit", "100", "-seed", "7", "-json"}
	if slices.Contains(flags, "-images") {
		eval = append(eval, "-holdout")
	}
	code, text, errs := execute(eval...)
	require.Zero(t, code, errs)
	var r evaluate.Result
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	t.Logf("%d pictures: agreement %.4f, SQNR %.1f dB", r.Images, r.Agreement.Value, *r.SQNR)
	require.GreaterOrEqual(t, r.Images, 90)
	return r
}

func TestDataFreeModelAgreesWithFloat(t *testing.T) {
	needWeights(t)
	require.GreaterOrEqual(t, evaluated(t, testneed.Sample(t, "images"), "-data-free").Agreement.Value, 0.97)
}

func TestEightPicturesAreEnough(t *testing.T) {
	needWeights(t)
	photographs := testneed.Sample(t, "images")
	require.GreaterOrEqual(t, evaluated(t, photographs, "-images", photographs, "-limit", "8").Agreement.Value, 0.985)
}
