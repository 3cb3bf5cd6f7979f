package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/nettest"
	"edgeclassify/q8"
	"edgeclassify/report"
	"edgeclassify/teach"
)

// toys is a folder of pictures around a colour for each class.
func toys(t *testing.T, classes map[string]color.RGBA, each int) string {
	t.Helper()
	dir := t.TempDir()
	for label, c := range classes {
		require.NoError(t, os.Mkdir(filepath.Join(dir, label), 0o755))
		for i := range each {
			img := image.NewRGBA(image.Rect(0, 0, 16, 16))
			for at := range 256 {
				img.Set(at%16, at/16, color.RGBA{c.R + uint8(3*i), c.G + uint8(5*i%7), c.B + uint8(at%9), 255})
			}
			var file bytes.Buffer
			require.NoError(t, png.Encode(&file, img))
			require.NoError(t, os.WriteFile(filepath.Join(dir, label, fmt.Sprintf("%02d.png", i)), file.Bytes(), 0o600))
		}
	}
	return dir
}

// threeToys are told apart by the network of colours.
func threeToys(t *testing.T) string {
	return toys(t, map[string]color.RGBA{"brick": {180, 30, 20, 255}, "leaf": {20, 170, 40, 255}, "sky": {40, 60, 200, 255}}, 6)
}

// colours is a file of the network to teach.
func colours(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "colours.q8")
	require.NoError(t, q8.Write(path, nettest.Colours()))
	return path
}

func TestTeachMakesAModelOfOwnClasses(t *testing.T) {
	base, dir := colours(t), threeToys(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sky", "half.png"), []byte("\x89PNG\r\n\x1a\n"), 0o600))
	out := filepath.Join(t.TempDir(), "toys.q8")
	page, data := filepath.Join(t.TempDir(), "toys.html"), filepath.Join(t.TempDir(), "toys.json")
	code, stdout, stderr := execute("teach", "-model", base, "-images", dir, "-out", out, "-report", page, "-report", data)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "quantize: left out: sky/half.png: ")
	require.Contains(t, stdout, "toys, 3 classes by 18 photographs")
	require.Contains(t, stdout, "18 of 18 (95")

	m, err := classify.Open(out, classify.Options{Threads: 1})
	require.NoError(t, err)
	defer m.Close()
	for _, class := range []string{"brick", "leaf", "sky"} {
		top, err := m.ClassifyFile(filepath.Join(dir, class, "03.png"))
		require.NoError(t, err)
		require.Equal(t, class, top[0].Label)
	}
	require.Equal(t, teach.Unknown, m.Classes()[3].Name)
	f := m.File()
	logits, err := m.Session().Run(f.SelfTest.Image(f.Network))
	require.NoError(t, err)
	require.NoError(t, f.SelfTest.Check(logits))
	origin, err := q8.Open(base)
	require.NoError(t, err)
	defer origin.Close()
	require.Equal(t, "toys", f.Name)
	require.Equal(t, origin.SHA256, f.Provenance.Base)
	require.Equal(t, origin.Provenance.Source, f.Provenance.Source)
	require.Equal(t, 18, f.Provenance.Images)

	html, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Contains(t, string(html), "18 of 18")
	var r report.Teaching
	text, err := os.ReadFile(data)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &r))
	require.Equal(t, f.SHA256, r.Model.SHA256)
	require.Equal(t, f.Provenance, r.Provenance)
	require.True(t, r.Good)
	require.Len(t, r.Taught.Confusion, 3)

	for _, args := range [][]string{{"-threads", "3"}, {"-json", "-threads", "1"}} { // the same file again
		again := filepath.Join(t.TempDir(), "toys.q8")
		code, stdout, stderr = execute(append([]string{"teach", "-model", base, "-images", dir, "-out", again}, args...)...)
		require.Zero(t, code, stderr)
		want, err := os.ReadFile(out)
		require.NoError(t, err)
		got, err := os.ReadFile(again)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))

	code, stdout, stderr = execute("inspect", out)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "brick to unknown, by softmax")
	require.Contains(t, stdout, "embedding")

	code, _, stderr = execute("eval", "-model", out, "-images", dir, "-float", base)
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, stderr, "toys.q8 was taught, and no float network has its classes: leave -float out")
}

func TestTeachMulti(t *testing.T) {
	dir, out := threeToys(t), filepath.Join(t.TempDir(), "toys.q8")
	both, err := os.ReadFile(filepath.Join(dir, "sky", "01.png"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "leaf", "sky.png"), both, 0o600))
	args := []string{"teach", "-model", colours(t), "-images", dir, "-out", out, "-name", "garden"}
	code, _, stderr := execute(args...)
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, stderr, "leaf/sky.png and sky/01.png are the same picture in two classes")
	require.NoFileExists(t, out)
	code, stdout, stderr := execute(append(args, "-multi")...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "garden, 3 classes")
	m, err := q8.Open(out)
	require.NoError(t, err)
	defer m.Close()
	require.True(t, m.Independent())
	require.Len(t, m.Classes, 3)
}

// What cannot be told apart is not written, unless that is wanted.
func TestTeachRefusesWhatIsNotFitForUse(t *testing.T) {
	dir := toys(t, map[string]color.RGBA{"one": {90, 90, 90, 255}}, 8)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "two"), 0o755))
	for i := 0; i < 8; i += 2 { // every second picture is of the other class
		name := fmt.Sprintf("%02d.png", i)
		require.NoError(t, os.Rename(filepath.Join(dir, "one", name), filepath.Join(dir, "two", name)))
	}
	out, page := filepath.Join(t.TempDir(), "two.q8"), filepath.Join(t.TempDir(), "two.html")
	args := []string{"teach", "-model", colours(t), "-images", dir, "-out", out, "-report", page}
	code, _, stderr := execute(args...)
	require.Equal(t, cli.ExitPoor, code, stderr)
	require.Contains(t, stderr, "two.q8 is not written: the network is not fit for use: right on ")
	require.NoFileExists(t, out)
	require.FileExists(t, page)
	code, _, stderr = execute(append(args, "-force")...)
	require.Zero(t, code, stderr)
	require.FileExists(t, out)
}

func TestTeachUsage(t *testing.T) {
	base, dir, out := colours(t), threeToys(t), filepath.Join(t.TempDir(), "out.q8")
	unknown := toys(t, map[string]color.RGBA{"cup": {}, teach.Unknown: {}}, 1) // the same picture, which nobody has seen
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-images", dir, "-out", out}, cli.ExitUsage, "-model BASE.q8"},
		{[]string{"-model", base, "-out", out}, cli.ExitUsage, "-images DIR"},
		{[]string{"-model", base, "-images", dir}, cli.ExitUsage, "-out FILE.q8"},
		{[]string{"-model", base, "-images", dir, "-out", out, "toys"}, cli.ExitUsage, `unexpected argument "toys"`},
		{[]string{"-model", base, "-images", dir, "-out", out, "-threads", "0"}, cli.ExitUsage, "-threads 0: want 1 to"},
		{[]string{"-model", base, "-images", dir, "-out", base}, cli.ExitUsage, "is the file of -model, too"},
		{[]string{"-model", base, "-images", dir, "-out", out, "-report", "r.txt"}, cli.ExitUsage, "FILE.html or FILE.json"},
		{[]string{"-model", base, "-images", filepath.Join(dir, "brick"), "-out", out}, cli.ExitFailure, "it has no folders: want one for each class"},
		{[]string{"-model", base, "-images", unknown, "-out", out}, cli.ExitFailure, `label "unknown" is the answer to what was not taught`},
		{[]string{"-model", filepath.Join(dir, "brick", "00.png"), "-images", dir, "-out", out}, cli.ExitFailure, "00.png"},
	} {
		code, _, errs := execute(append([]string{"teach"}, c.args...)...)
		require.Equal(t, c.code, code, "%v: %s", c.args, errs)
		require.Contains(t, errs, c.want, "%v", c.args)
		require.NoFileExists(t, out)
	}
	code, help, _ := execute("teach", "-h")
	require.Zero(t, code)
	require.Contains(t, help, "quantize teach -model resnet50.q8 -images toys/ -out toys.q8")
}
