package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/onnx"
	"edgeclassify/q8"
)

func TestExport(t *testing.T) {
	dir := t.TempDir()
	model, file := filepath.Join(dir, "n.q8"), filepath.Join(dir, "n.onnx")
	n := nettest.Model(1, false)
	require.NoError(t, q8.Write(model, n))
	for _, c := range []struct {
		flags   []string
		options onnx.Options
	}{
		{nil, onnx.Options{}},
		{[]string{"-format", "s8s8"}, onnx.Options{Format: onnx.S8S8}},
		{[]string{"-exact"}, onnx.Options{Exact: true}},
	} {
		code, _, errs := execute(append([]string{"export", "-onnx", file, model}, c.flags...)...)
		require.Zero(t, code, errs)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		var want bytes.Buffer
		require.NoError(t, onnx.WriteQuantized(&want, n, c.options))
		require.Equal(t, want.Bytes(), got)
	}
}

func TestExportFloat(t *testing.T) {
	needWeights(t)
	file := filepath.Join(t.TempDir(), "f.onnx")
	code, _, errs := execute("export", "-onnx", file, "-float", "resnet50-keras")
	require.Zero(t, code, errs)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.InDelta(t, 4*25_557_000, info.Size(), 1e5) // parameters in float32
}

func TestExportRefuses(t *testing.T) {
	dir := t.TempDir()
	model, file := filepath.Join(dir, "n.q8"), filepath.Join(dir, "n.onnx")
	n := nettest.Model(1, false)
	first := &n.Layers[0]
	first.Op.(*int8.Conv).Multiplier[0], first.Op.(*int8.Conv).Shift = 1, 0
	first.Out.Zero = []int8.Value{-128}
	require.NoError(t, q8.Write(model, n))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{model}, cli.ExitUsage, "-onnx FILE"},
		{[]string{"-onnx", file, "-format", "s8u8", model}, cli.ExitUsage, "want one of [u8u8 s8s8 u8s8]"},
		{[]string{"-onnx", file}, cli.ExitUsage, "want one model file"},
		{[]string{"-onnx", file, "-float", "x", model}, cli.ExitUsage, "exclude each other"},
		{[]string{"-onnx", file, "-float", filepath.Join(dir, "none")}, cli.ExitFailure, "no such file"},
		{[]string{"-onnx", file, filepath.Join(dir, "none")}, cli.ExitFailure, "none"},
		{[]string{"-onnx", file, model}, cli.ExitFailure, model},
	} {
		code, _, errs := execute(append([]string{"export"}, c.args...)...)
		require.Equal(t, c.code, code, "%v: %s", c.args, errs)
		require.Contains(t, errs, c.want, "%v", c.args)
		require.NoFileExists(t, file)
	}
}
