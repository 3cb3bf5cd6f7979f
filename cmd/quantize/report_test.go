package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/q8"
	"edgeclassify/report"
)

// photographs are free ones.
const photographs = "../../testdata/photos"

func readReport(t *testing.T, file string) (r report.Report) {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &r))
	return r
}

// requireSections checks that a report has all that pictures tell.
func requireSections(t *testing.T, r report.Report, layers int) {
	t.Helper()
	require.Len(t, r.Layers, layers)
	require.Len(t, r.Arena, layers+1)
	require.NotEmpty(t, r.Worst)
	require.NotNil(t, r.Evaluation.Agreement)
	require.Zero(t, r.Evaluation.Seconds)
	require.Positive(t, r.Model.MACs)
	require.Positive(t, r.Model.WeightBytes)
	require.NotEmpty(t, r.Verdict.Summary)
	require.NotEmpty(t, r.Provenance.ImagesHash)
	for _, l := range r.Layers {
		require.NotNil(t, l.Histogram, l.Name)
		require.NotNil(t, l.SQNR.Cumulative, l.Name)
		if l.Op == "conv" {
			require.NotNil(t, l.Int16, l.Name)
			require.NotNil(t, l.Range, l.Name)
			require.NotNil(t, l.SQNR.Isolated, l.Name)
		}
		if l.WeightBytes > 0 {
			require.Contains(t, l.Choices, "bias correction", l.Name)
		}
	}
	for _, b := range r.Arena {
		require.LessOrEqual(t, b.Offset+b.Bytes, r.Model.ArenaBytes)
	}
}

func TestReportOfSmallModel(t *testing.T) {
	model, pictures, dir := smallModel().write(t), filepath.Dir(nettest.Images(t, 60, smallCrop)[0]), t.TempDir()
	build := func(name, threads string) (file string) {
		file = filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(file, 0o700))
		code, _, errs := execute("build", "-model", model, "-images", pictures, "-limit", "40", "-threads", threads,
			"-out", filepath.Join(file, "m.q8"), "-report", filepath.Join(file, "r.html"), "-report", filepath.Join(file, "r.json"))
		require.Zero(t, code, errs)
		require.Contains(t, errs, "of 20 pictures held out from calibration")
		return file
	}
	one, many := build("one", "1"), build("many", "3")
	for _, name := range []string{"m.q8", "r.html", "r.json"} {
		a, err := os.ReadFile(filepath.Join(one, name))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(many, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(a, b), "%s: the same inputs give the same bytes", name)
	}
	r := readReport(t, filepath.Join(one, "r.json"))
	requireSections(t, r, 4)
	require.True(t, r.Verdict.Good)
	require.NotEmpty(t, r.Ablation)
	require.False(t, r.Evaluation.OwnImages)
	require.Equal(t, 20, r.Evaluation.Images)
	m, err := q8.Open(filepath.Join(one, "m.q8"))
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, []any{"m.q8", m.SHA256, m.Size}, []any{r.Model.File, r.Model.SHA256, r.Model.FileBytes})
}

func TestModelsThatArePoorAreNotWritten(t *testing.T) {
	s := smallModel()
	for _, c := range []int{1, 7, 12} {
		s.scale(c, 1<<12, "second/kernel", "first/kernel", "first/bias")
	}
	model, pictures, dir := s.write(t), filepath.Dir(nettest.Images(t, 30, smallCrop)[0]), t.TempDir()
	out, page := filepath.Join(dir, "m.q8"), filepath.Join(dir, "r.json")
	args := []string{"build", "-model", model, "-images", pictures, "-out", out, "-report", page, "-method"}

	code, stdout, errs := execute(append(args, "minmax")...)
	require.Equal(t, cli.ExitPoor, code, errs)
	require.Empty(t, stdout)
	for _, want := range []string{"not fit for use", "its own calibration pictures", "Layer second: SQNR falls from", "-method best", "-force"} {
		require.Contains(t, errs, want)
	}
	require.NoFileExists(t, out)
	r := readReport(t, page)
	requireSections(t, r, 4)
	require.False(t, r.Verdict.Good)
	require.Empty(t, r.Model.File)
	require.True(t, r.Evaluation.OwnImages)
	require.Contains(t, r.Verdict.Advice[0], "Layer ")

	code, _, errs = execute(append(args, "minmax", "-force")...)
	require.Zero(t, code, errs)
	require.Contains(t, errs, "Layer second: SQNR falls from")
	require.FileExists(t, out)
	require.False(t, readReport(t, page).Verdict.Good)

	code, _, errs = execute(append(args, "best")...)
	require.Zero(t, code, errs)
	r = readReport(t, page)
	require.True(t, r.Verdict.Good)
	require.Contains(t, r.Layers[0].Choices, "equalization")
	require.NotContains(t, r.Layers[3].Choices, "equalization", "logits are not scaled")
}

func TestWarnings(t *testing.T) {
	s := smallModel()
	for c := range 6 { // of 16
		for i := c; i < len(s.tensors["first/kernel"]); i += 16 {
			s.tensors["first/kernel"][i] = 0
		}
		s.tensors["first/bias"][c] = -1
	}
	model, files, dir := s.write(t), nettest.Images(t, 20, smallCrop), t.TempDir()
	first, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(files[19], first, 0o600))
	require.NoError(t, os.WriteFile(files[5], []byte("no picture"), 0o600))
	out := filepath.Join(dir, "m.q8")
	build := func(more ...string) string {
		code, _, errs := execute(append([]string{"build", "-model", model, "-preprocess", "keras-caffe", "-images", filepath.Dir(files[0]), "-method", "fast", "-out", out}, more...)...)
		require.Zero(t, code, errs)
		return errs
	}
	errs := build("-report", filepath.Join(dir, "r.html"))
	require.Contains(t, errs, "1 of the calibration pictures show the same as others, such as "+filepath.Base(files[19]))
	require.Contains(t, errs, "left out: ")
	require.Contains(t, errs, "first (6 of 16)")
	require.Contains(t, errs, "on 100.0 % of 19 pictures")
	errs = build("-limit", "1", "-force")
	require.NotContains(t, errs, "show the same")
	require.Contains(t, errs, "Calibrated on one picture")

	for _, file := range files {
		require.NoError(t, os.WriteFile(file, []byte("no picture"), 0o600))
	}
	code, _, errs := execute("build", "-model", model, "-images", filepath.Dir(files[0]), "-out", filepath.Join(dir, "none.q8"))
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "none of the pictures could be loaded")
	require.NoFileExists(t, filepath.Join(dir, "none.q8"))
}

func TestReportFlag(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-report r.txt -images x", "FILE.html or FILE.json"},
		{"-report r.html", "-images DIR"},
		{"-report r.html -data-free", "-images DIR"},
	} {
		out := filepath.Join(t.TempDir(), "m.q8")
		code, _, errs := execute(append(strings.Fields("build -model resnet50-keras "+c.args), "-out", out)...)
		require.Equal(t, cli.ExitUsage, code, errs)
		require.Contains(t, errs, c.want)
	}
}

func TestReportOfResNet50(t *testing.T) {
	needWeights(t)
	dir := t.TempDir()
	page, data := filepath.Join(dir, "r.html"), filepath.Join(dir, "r.json")
	code, _, errs := execute("build", "-model", "resnet50-keras", "-images", photographs, "-limit", "1", "-method", "fast",
		"-out", filepath.Join(dir, "m.q8"), "-report", page, "-report", data)
	require.Zero(t, code, errs)
	r := readReport(t, data)
	requireSections(t, r, 56)
	require.True(t, r.Verdict.Good)
	require.Equal(t, 1, r.Evaluation.Images)
	const charts = 4 + 56 // a histogram for each layer
	info, err := os.Stat(page)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(3<<20))

	program := testneed.Program(t, "chromium", "apt-get install chromium")
	cmd := exec.CommandContext(t.Context(), program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--dump-dom", "file://"+page)
	var dom, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &dom, &log
	require.NoError(t, cmd.Run(), "%s", &log)
	require.NotContains(t, log.String(), "CONSOLE")
	require.Equal(t, charts, strings.Count(dom.String(), "<svg"))
	require.Contains(t, dom.String(), "calibrated on them")
	for _, section := range []string{"depth", "layers", "ranges", "sensitivity", "worst", "evaluation", "arena", "provenance"} {
		require.Contains(t, dom.String(), fmt.Sprintf(`<section id="%s">`, section))
	}
}

func TestCorruptedResNet50(t *testing.T) {
	needWeights(t)
	out := filepath.Join(t.TempDir(), "m.q8")
	code, _, errs := execute("build", "-model", corrupted(t), "-images", photographs, "-limit", "2", "-method", "minmax", "-out", out)
	require.Equal(t, cli.ExitPoor, code, errs)
	require.Contains(t, errs, "Layer res2a_branch2b: SQNR falls from 30.0")
	require.NoFileExists(t, out)
}
