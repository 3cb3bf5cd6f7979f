package main

import (
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/onnx"
	"edgeclassify/q8"
)

func TestInspectTellsLabels(t *testing.T) {
	code, out, errs := execute("inspect", day(t))
	require.Zero(t, code, errs)
	require.Contains(t, out, "labels   night to day, by sigmoid\n")
	nameless := nettest.Lights()
	nameless.Classes = labels.Default(3)
	file := filepath.Join(t.TempDir(), "m.q8")
	require.NoError(t, q8.Write(file, nameless))
	code, out, errs = execute("inspect", file)
	require.Zero(t, code, errs)
	require.Contains(t, out, "labels   class 0 to class 2, by sigmoid: none or several in a picture; 'quantize label' gives them names\n")
	code, out, errs = execute("inspect", "-json", file)
	require.Zero(t, code, errs)
	require.Contains(t, out, `"activation": "sigmoid"`)
}

// Whatever shows or reads a model file takes a taught one.
func TestTaughtModel(t *testing.T) {
	dir, m := t.TempDir(), nettest.Taught(0)
	for seed := uint64(1); len(m.Layers[len(m.Layers)-2].Inputs) < 2 || onnx.WriteQuantized(io.Discard, m, onnx.Options{}) != nil; seed++ {
		m = nettest.Taught(seed)
	}
	file := filepath.Join(dir, "taught.q8")
	require.NoError(t, q8.Write(file, m))
	code, out, errs := execute("inspect", file)
	require.Zero(t, code, errs)
	require.Regexp(t, `base +model file of SHA-256 `+m.Provenance.Base+"\n", out)
	require.Regexp(t, `made by +nettest, taught by random from `, out)
	code, out, errs = execute("inspect", "-plan", file)
	require.Zero(t, code, errs)
	require.Regexp(t, `layer\d+\.embedding +embedding`, out)
	code, out, errs = execute("inspect", "-json", file)
	require.Zero(t, code, errs)
	var r inspection
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, m.Provenance, r.Provenance)
	for _, args := range [][]string{
		{"export", "-onnx", filepath.Join(dir, "taught.onnx"), file},
		{"eval", "-model", file, "-images", "../../testdata/photos"},
	} {
		code, _, errs := execute(args...)
		require.Zero(t, code, errs)
	}
}

func TestInspectShowsInt16Layers(t *testing.T) {
	n, layer := nettest.Model(0, true), -1
	for seed := uint64(1); layer < 0; seed++ {
		n = nettest.Model(seed, true)
		layer = slices.IndexFunc(n.Layers, func(l int8.Layer) bool {
			conv, ok := l.Op.(*int8.Conv)
			return ok && l.Out.Type == int8.Int16 && conv.ResidualShift > 0
		})
	}
	file := filepath.Join(t.TempDir(), "mixed.q8")
	require.NoError(t, q8.Write(file, n))
	code, out, errs := execute("inspect", "-json", file)
	require.Zero(t, code, errs)
	var r inspection
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	got, want := r.Layers[layer], &n.Layers[layer]
	low, high := want.Out.Limits()
	require.Equal(t, int8.Int16, got.Type)
	require.Equal(t, []int32{low, high}, got.Limits)
	require.Equal(t, want.Op.(*int8.Conv).ResidualShift, got.ResidualShift)

	for _, flags := range [][]string{nil, {"-plan"}} {
		code, out, errs = execute(append([]string{"inspect", file}, flags...)...)
		require.Zero(t, code, errs)
		require.Regexp(t, want.Name+` .*int16`, out)
	}
}
