package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/testneed"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// execute runs the program and returns exit code and streams.
func execute(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cli.Run(context.Background(), "quantize", args, cli.Streams{In: &bytes.Buffer{}, Out: &out, Err: &errs}, run)
	return code, out.String(), errs.String()
}

func needWeights(t *testing.T) {
	testneed.Long(t, "runs whole networks")
	testneed.Weights(t, "resnet50-keras")
}

// shipped is the model of the shipped table, built once for all tests.
var shipped struct {
	sync.Once
	file []byte
}

// shippedModel writes it.
func shippedModel(t *testing.T) (path string) {
	needWeights(t)
	path = filepath.Join(t.TempDir(), "r.q8")
	shipped.Do(func() {
		code, _, errs := execute("build", "-model", "resnet50-keras", "-out", path)
		require.Zero(t, code, errs)
		var err error
		shipped.file, err = os.ReadFile(path)
		require.NoError(t, err)
	})
	require.NoError(t, os.WriteFile(path, shipped.file, 0o600))
	return path
}

func TestArenaMeetsTheLowerBound(t *testing.T) {
	file := shippedModel(t)
	code, out, errs := execute("inspect", "-json", file)
	require.Zero(t, code, errs)
	var r inspection
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Len(t, r.Layers, 56)
	require.Equal(t, r.ArenaLowerBound, r.ArenaBytes)
	require.Equal(t, int64(3857973248), r.MACs)

	m, err := q8.Open(file)
	require.NoError(t, err)
	defer m.Close()
	p, err := runtime.Compile(m.Network, runtime.Options{Threads: 2})
	require.NoError(t, err)
	s := p.NewSession()
	defer s.Close()
	rgb := make([]uint8, m.Network.Input.Shape.Elements())
	require.Zero(t, testing.AllocsPerRun(1, func() {
		if _, err := s.Run(rgb); err != nil {
			t.Fatal(err)
		}
	}))
}

func TestWrongUsageAndBadInput(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.q8")
	text := filepath.Join(dir, "text.q8")
	require.NoError(t, os.WriteFile(text, []byte("not a model"), 0o600))
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, cli.ExitUsage, "no command"},
		{[]string{"knit"}, cli.ExitUsage, `unknown command "knit"`},
		{[]string{"fetch"}, cli.ExitUsage, "want the name"},
		{[]string{"fetch", "resnet9"}, cli.ExitFailure, "resnet9"},
		{[]string{"build", "-out", out}, cli.ExitUsage, "-model PATH"},
		{[]string{"build", "-model", "x", "-out", out, "-method", "magic"}, cli.ExitUsage, "unknown method"},
		{[]string{"build", "-model", "x", "-out", out, "-budget", "5m"}, cli.ExitUsage, `invalid value "5m" for flag -budget: want a number of candidates`},
		{[]string{"build", "-model", "x", "-out", out, "-budget", "-1"}, cli.ExitUsage, "want a number of candidates"},
		{[]string{"build", "-model", "x", "-out", out, "-images", "a", "-ranges", "b"}, cli.ExitUsage, "exclude each other"},
		{[]string{"build", "-model", "x", "-out", out, "-max-drop", "1"}, cli.ExitUsage, "it needs -images"},
		{[]string{"build", "-model", "x", "-out", out, "-images", "a", "-max-drop", "-1"}, cli.ExitUsage, "want 0 or more"},
		{[]string{"build", "-model", filepath.Join(dir, "none"), "-out", out}, cli.ExitFailure, "no such file"},
		{[]string{"build", "-model", dir, "-out", out}, cli.ExitFailure, "has no network in it"},
		{[]string{"build", "-model", text, "-out", text}, cli.ExitUsage, "text.q8 is the file of -model, too"},
		{[]string{"build", "-model", "x", "-out", out, "-save-ranges", filepath.Join(dir, ".", "out.q8")}, cli.ExitUsage, "out.q8 is the file of -out, too"},
		{[]string{"build", "-model", "x", "-out", filepath.Join(dir, "no", "out.q8")}, cli.ExitFailure, "-out: atomicfile: " + filepath.Join(dir, "no", "out.q8") + ": there is no folder"},
		{[]string{"build", "-model", "x", "-out", dir}, cli.ExitFailure, "is a folder: want the name of a file"},
		{[]string{"build", "-model", "x", "-out", out, "-images", "a", "-report", filepath.Join(dir, "no", "r.html")}, cli.ExitFailure, "-report: atomicfile: "},
		{[]string{"label", text, "-labels", "x", "-out", "x"}, cli.ExitUsage, "x is the file of -labels, too"},
		{[]string{"export", "-onnx", text, text}, cli.ExitUsage, "text.q8 is the file of the model, too"},
		{[]string{"export", "-onnx", text, "-float", text}, cli.ExitUsage, "text.q8 is the file of -float, too"},
		{[]string{"eval", "-model", text, "-images", dir}, cli.ExitFailure, "text.q8"},
		{[]string{"inspect", text}, cli.ExitFailure, "text.q8"},
		{[]string{"inspect"}, cli.ExitUsage, "want one model file"},
	} {
		code, _, errs := execute(c.args...)
		require.Equal(t, c.code, code, "%v: %s", c.args, errs)
		require.Contains(t, errs, c.want, "%v", c.args)
		require.NoFileExists(t, out)
	}
	code, help, _ := execute("build", "-h")
	require.Zero(t, code)
	require.Contains(t, help, "Usage: quantize build")
}
