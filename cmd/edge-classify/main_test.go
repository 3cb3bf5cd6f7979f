package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/importer"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/q8"
)

const photos = "../../testdata/photos"

// quantized is ResNet50 with the shipped range table, once for all tests.
var quantized struct {
	sync.Once
	model *q8.Model
}

// realModel writes it.
func realModel(t *testing.T) string {
	weights := testneed.Weights(t, "resnet50-keras")
	quantized.Do(func() {
		imported, err := importer.Import(weights, models.ImportOptions{})
		require.NoError(t, err)
		g, err := imported.Fold()
		require.NoError(t, err)
		tables, err := models.RangeTables()
		require.NoError(t, err)
		table, err := quantize.ReadRanges(bytes.NewReader(tables["resnet50-keras.json"]))
		require.NoError(t, err)
		quantized.model, err = calibrate.Model(g, table, q8.Provenance{}, 2)
		require.NoError(t, err)
	})
	return write(t, "resnet50.q8", quantized.model)
}

// classifyHere runs the program and returns exit code and streams.
func classifyHere(t *testing.T, stdin []byte, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Run(context.Background(), "edge-classify", args, cli.Streams{In: bytes.NewReader(stdin), Out: &out, Err: &errs}, run)
	return code, out.String(), errs.String()
}

func parseResults(t *testing.T, out string) map[string]result {
	t.Helper()
	results := map[string]result{}
	d := json.NewDecoder(strings.NewReader(out))
	for d.More() {
		var r result
		require.NoError(t, d.Decode(&r))
		results[filepath.Base(r.Path)] = r
	}
	return results
}

func TestPhotographsGetTheirLabelsAndTheSameBitsEverywhere(t *testing.T) {
	testneed.Long(t, "runs whole networks")
	model := realModel(t)
	code, out, errs := classifyHere(t, nil, "-model", model, "-json", photos)
	require.Zero(t, code, errs)
	want := parseResults(t, out)
	require.GreaterOrEqual(t, len(want), 5)
	require.Contains(t, []string{"n02123045", "n02123159", "n02124075"}, want["cat.jpg"].Top[0].ID, "a cat")
	require.Equal(t, "n07920052", want["espresso.jpg"].Top[0].ID)

	code, out, _ = classifyHere(t, nil, "-model", model, "-json", "-threads", "4", photos)
	require.Zero(t, code)
	requireSameBits(t, want, parseResults(t, out), "4 threads")

	qemu := testneed.Program(t, "qemu-aarch64", "apt-get install qemu-user")
	program := buildProgram(t, forBoards...)
	// An emulated frame takes seconds: each photograph is tried somewhere. Each is
	// on every core in 'make demo'.
	names := slices.Sorted(maps.Keys(want))
	for i, core := range []string{"cortex-a53", "cortex-a72", "cortex-a76", "max"} {
		for j, threads := range []string{"1", "4"} {
			name := names[(2*i+j)%len(names)]
			got, err := exec.Command(qemu, "-cpu", core, program, "-model", model, "-json", "-threads", threads, filepath.Join(photos, name)).Output()
			require.NoError(t, err)
			requireSameBits(t, map[string]result{name: want[name]}, parseResults(t, string(got)), core+" with "+threads+" threads")
		}
	}
}

func requireSameBits(t *testing.T, want, got map[string]result, where string) {
	t.Helper()
	require.Len(t, got, len(want), where)
	for name, r := range want {
		require.Len(t, r.LogitsHash, 64)
		require.Equal(t, r.LogitsHash, got[name].LogitsHash, "%s on %s", name, where)
	}
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	model := filepath.Join(dir, "small.q8")
	require.NoError(t, q8.Write(model, nettest.Model(1, false)))
	whole, err := os.ReadFile(model)
	require.NoError(t, err)
	photo, err := os.ReadFile(filepath.Join(photos, "cat.jpg"))
	require.NoError(t, err)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1
	empty := filepath.Join(dir, "folder")
	require.NoError(t, os.Mkdir(empty, 0o700))

	good := file("good.jpg", photo)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"missing picture", []string{"-model", model, filepath.Join(dir, "none.jpg")}, cli.ExitFailure, "none.jpg"},
		{"folder without pictures", []string{"-model", model, empty}, cli.ExitFailure, "has no pictures"},
		{"empty picture", []string{"-model", model, file("empty.jpg", nil)}, cli.ExitFailure, "no data"},
		{"truncated picture", []string{"-model", model, file("cut.jpg", photo[:len(photo)/2])}, cli.ExitFailure, "truncated or damaged"},
		{"text as picture", []string{"-model", model, file("text.jpg", []byte("hello, world\n"))}, cli.ExitFailure, "not a picture"},
		{"missing model", []string{"-model", filepath.Join(dir, "none.q8"), good}, cli.ExitFailure, "none.q8"},
		{"truncated model", []string{"-model", file("cut.q8", whole[:len(whole)-7]), good}, cli.ExitFailure, "cut.q8"},
		{"flipped bit", []string{"-model", file("flipped.q8", flipped), good}, cli.ExitFailure, "flipped.q8"},
		{"unknown kernel", []string{"-model", model, "-kernel", "abacus", good}, cli.ExitFailure, `no kernel "abacus"`},
		{"no model", []string{good}, cli.ExitUsage, "no model given"},
		{"no picture", []string{"-model", model}, cli.ExitUsage, "no pictures and no camera given"},
		{"no threads", []string{"-model", model, "-threads", "0", good}, cli.ExitUsage, "want 1 to"},
		{"too many threads", []string{"-model", model, "-threads", "1000", good}, cli.ExitUsage, "want 1 to"},
		{"unknown flag", []string{"-colour", "red"}, cli.ExitUsage, "-colour"},
	} {
		code, _, errs := classifyHere(t, nil, c.args...)
		require.Equal(t, c.code, code, c.name)
		require.Contains(t, errs, c.want, c.name)
	}

	// One bad picture among good ones does not stop the others.
	code, out, _ := classifyHere(t, photo, "-model", model, "-json", filepath.Join(dir, "text.jpg"), good, "-")
	require.Equal(t, cli.ExitFailure, code)
	results := parseResults(t, out)
	require.NotEmpty(t, results["text.jpg"].Error)
	require.NotEmpty(t, results["good.jpg"].LogitsHash)
	require.Equal(t, results["good.jpg"].LogitsHash, results["-"].LogitsHash)
}
