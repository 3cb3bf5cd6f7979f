package classify_test

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/classify"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

const photos = "../testdata/photos"

func write(t *testing.T, m *q8.Model) (path string) {
	path = filepath.Join(t.TempDir(), "model.q8")
	require.NoError(t, q8.Write(path, m))
	return path
}

func open(t *testing.T, m *q8.Model, o classify.Options) *classify.Model {
	opened, err := classify.Open(write(t, m), o)
	require.NoError(t, err)
	t.Cleanup(func() { opened.Close() })
	return opened
}

// files are the photographs, and images of every kind that is read.
func files(t *testing.T) []string {
	paths, err := filepath.Glob("../testdata/[op]*/*.*")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), 20)
	return paths
}

func TestFilesBytesAndImagesGiveTheReferencesBits(t *testing.T) {
	for seed, withInt16 := range []bool{false, true} {
		network := nettest.Model(uint64(seed), withInt16)
		m := open(t, network, classify.Options{Top: 3})
		for _, path := range files(t) {
			rgb, err := network.Preprocess.File(path)
			require.NoError(t, err)
			want, err := network.Reference(rgb, nil)
			require.NoError(t, err)

			top, err := m.ClassifyFile(path)
			require.NoError(t, err)
			require.Equal(t, want, m.Logits(), path)
			require.Len(t, top, min(3, len(want)))
			require.Positive(t, m.Phases().Decode)
			require.Positive(t, m.Phases().Preprocess)
			require.Positive(t, m.Phases().Infer)

			file, err := os.ReadFile(path)
			require.NoError(t, err)
			same, err := m.ClassifyBytes(file)
			require.NoError(t, err)
			require.Equal(t, want, m.Logits(), path)
			require.Equal(t, top, same)

			if base := filepath.Base(path); strings.HasPrefix(base, "turned") || base == "alpha-lossy.webp" {
				// image.Decode leaves it as it lies, or with colours of another range
				continue
			}
			img, _, err := image.Decode(bytes.NewReader(file))
			require.NoError(t, err)
			same, err = m.Classify(img)
			require.NoError(t, err)
			require.Equal(t, want, m.Logits(), path)
			require.Equal(t, top, same)
		}
	}
}

// What happens to the file in place, as by cp, changes no answer, nor that of a clone.
func TestFileOverwrittenWhileOpen(t *testing.T) {
	for _, kernel := range runtime.Kernels() {
		network := nettest.Model(3, true)
		path := write(t, network)
		m, err := classify.Open(path, classify.Options{Kernel: kernel.Name})
		require.NoError(t, err)
		picture := filepath.Join(photos, "cat.jpg")
		_, err = m.ClassifyFile(picture)
		require.NoError(t, err)
		want := slices.Clone(m.Logits())
		for _, contents := range [][]byte{bytes.Repeat([]byte{85}, int(m.File().Size)), nil} {
			require.NoError(t, os.WriteFile(path, contents, 0))
			_, err = m.ClassifyFile(picture)
			require.NoError(t, err)
			require.Equal(t, want, m.Logits(), kernel.Name)
			clone, err := m.Clone()
			require.NoError(t, err)
			_, err = clone.ClassifyFile(picture)
			require.NoError(t, err)
			require.Equal(t, want, clone.Logits(), kernel.Name)
			require.NoError(t, clone.Close())
		}
		require.NoError(t, m.Close())
	}
}

// What is turned and cropped has the bits of a picture whose pixels were moved.
func TestPicturesAreTurnedAndCropped(t *testing.T) {
	network := nettest.Model(3, false)
	rng := rand.New(rand.NewPCG(1, 2))
	stored, shown := image.NewNRGBA(image.Rect(0, 0, 90, 60)), image.NewNRGBA(image.Rect(0, 0, 40, 50))
	for i := range stored.Pix {
		stored.Pix[i] = uint8(rng.Uint32()) | 1 // not transparent
	}
	for y := range 50 {
		for x := range 40 { // of 60x90, which shows at (x, y) what is stored at (y, 59-x)
			shown.Set(x, y, stored.At(30+y, 59-(8+x)))
		}
	}
	plain := open(t, network, classify.Options{})
	_, err := plain.Classify(shown)
	require.NoError(t, err)
	turned := open(t, network, classify.Options{Orientation: 6, ROI: preprocess.ROI{X: 8, Y: 30, W: 40, H: 50}})
	_, err = turned.Classify(stored)
	require.NoError(t, err)
	require.Equal(t, plain.Logits(), turned.Logits())
	_, err = turned.Classify(shown)
	require.ErrorIs(t, err, preprocess.ErrROI)
	require.ErrorContains(t, err, "50x40", "as it is shown")
}

// Colours whose alpha is dropped are what they were, multiplied by it or not.
func TestAlphaIsDropped(t *testing.T) {
	m := open(t, nettest.Colours(), classify.Options{})
	plain, clear := image.NewNRGBA(image.Rect(0, 0, 32, 32)), image.NewRGBA(image.Rect(0, 0, 32, 32))
	for i := 0; i < len(plain.Pix); i += 4 {
		copy(plain.Pix[i:], []uint8{51, 102, 255, 5})
		copy(clear.Pix[i:], []uint8{1, 2, 5, 5})
	}
	want, err := m.Classify(plain)
	require.NoError(t, err)
	require.Equal(t, "blue", want[0].Label)
	got, err := m.Classify(clear)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestTopRanksAndNormalizes(t *testing.T) {
	m := open(t, nettest.Model(2, false), classify.Options{})
	require.Empty(t, m.Top(make([]classify.Prediction, 5)), "no picture yet")
	_, err := m.ClassifyFile(filepath.Join(photos, "cat.jpg"))
	require.NoError(t, err)
	logits := m.Logits()
	all := m.Top(make([]classify.Prediction, len(logits)+3))
	require.Len(t, all, len(logits))
	sum := 0.0
	for i, p := range all {
		sum += p.Probability
		require.Equal(t, float32(logits[p.Class])*m.File().Classifier().Scale[p.Class], p.Logit)
		require.Equal(t, m.Classes()[p.Class], labels.Class{ID: p.ID, Name: p.Label})
		if i > 0 {
			require.GreaterOrEqual(t, all[i-1].Logit, p.Logit)
		}
	}
	require.InDelta(t, 1, sum, 1e-12)
	require.Equal(t, all[:2], m.Top(make([]classify.Prediction, 2)))

	probs := make([]float64, len(logits))
	m.Probabilities(probs)
	for _, p := range all {
		require.Equal(t, p.Probability, probs[p.Class])
	}
}

// Classes with a sigmoid each are all, some or none in a picture; one logit tells
// two classes apart. Neither allocates.
func TestSigmoids(t *testing.T) {
	for _, c := range []struct {
		network *q8.Model
		level   uint8
		want    string // the classes, best first
		probs   [3]float64
	}{
		{nettest.Lights(), 255, "red light, green light, blue light", [3]float64{1, 1, 1}},
		{nettest.Lights(), 0, "red light, green light, blue light", [3]float64{0, 0, 0}},
		{nettest.Lights(), 128, "red light, green light, blue light", [3]float64{0.5, 0.5, 0.5}},
		{nettest.Day(), 255, "day, night", [3]float64{0, 1}},
		{nettest.Day(), 0, "night, day", [3]float64{1, 0}},
		{nettest.Day(), 128, "night, day", [3]float64{0.5, 0.5}},
		{nettest.Day(), 139, "day, night", [3]float64{1 / (1 + math.Exp(1.1)), 1 / (1 + math.Exp(-1.1))}},
	} {
		m := open(t, c.network, classify.Options{Threads: 1})
		require.Equal(t, len(m.Classes()) == 3, m.Independent())
		img := image.NewGray(image.Rect(0, 0, 16, 16))
		for i := range img.Pix {
			img.Pix[i] = c.level
		}
		top, err := m.Classify(img)
		require.NoError(t, err)
		var names []string
		probs := make([]float64, len(m.Classes()))
		m.Probabilities(probs)
		require.InDeltaSlice(t, c.probs[:len(probs)], probs, 1e-5, "%s of %d", c.network.Name, c.level)
		for _, p := range top {
			names = append(names, p.Label)
			require.Equal(t, probs[p.Class], p.Probability)
		}
		require.Equal(t, c.want, strings.Join(names, ", "), "%s of %d", c.network.Name, c.level)
		require.Zero(t, testing.AllocsPerRun(20, func() { m.Top(top); m.Probabilities(probs) }))
	}
}

func TestRank(t *testing.T) {
	classes := []labels.Class{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	for room, want := range []string{"", "b", "bc", "bca", "bcad", "bcad"} {
		got := ""
		for _, p := range classify.Rank(make([]classify.Prediction, room), classes, []float64{-1, 7, 7, math.Inf(-1)}) {
			got += p.Label
		}
		require.Equal(t, want, got)
	}
}

// A caller who lends all buffers pays nothing for an image.
func TestNothingIsAllocated(t *testing.T) {
	pictures := []image.Image{
		image.NewRGBA(image.Rect(0, 0, 64, 48)), image.NewNRGBA(image.Rect(0, 0, 64, 48)), image.NewGray(image.Rect(0, 0, 64, 48)),
		image.NewYCbCr(image.Rect(0, 0, 64, 48), image.YCbCrSubsampleRatio420),
	}
	for i := range 64 * 48 {
		pictures[0].(*image.RGBA).Pix[4*i+3] = 255
	}
	for _, kernel := range runtime.Kernels() {
		for _, threads := range []int{1, 4} {
			m := open(t, nettest.Taught(3), classify.Options{Kernel: kernel.Name, Threads: threads})
			top, probs := make([]classify.Prediction, 5), make([]float64, len(m.Classes()))
			for _, img := range pictures {
				var p preprocess.Image
				show := func() {
					if err := p.Set(img); err != nil {
						t.Fatal(err)
					}
					if err := m.Run(&p); err != nil {
						t.Fatal(err)
					}
					m.Top(top)
					m.Probabilities(probs)
					m.Features()
				}
				for range 20 {
					show() // until all threads have begun to work
				}
				require.Zero(t, testing.AllocsPerRun(50, show), "%T, kernel %s, %d threads", img, kernel.Name, threads)
			}
		}
	}
}

func TestClonesWorkAtTheSameTimeAndCloseInAnyOrder(t *testing.T) {
	m := open(t, nettest.Model(5, false), classify.Options{Threads: 2})
	path := filepath.Join(photos, "cat.jpg")
	_, err := m.ClassifyFile(path)
	require.NoError(t, err)
	want := fmt.Sprint(m.Logits())
	var clones sync.WaitGroup
	for range 3 {
		c, err := m.Clone()
		require.NoError(t, err)
		clones.Go(func() {
			for range 5 {
				if _, err := c.ClassifyFile(path); err != nil || fmt.Sprint(c.Logits()) != want {
					t.Errorf("a clone has the error %v or other logits", err)
				}
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	last, err := m.Clone()
	require.NoError(t, err)
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	clones.Wait()
	_, err = last.ClassifyFile(path) // the weights are still there
	require.NoError(t, err)
	require.Equal(t, want, fmt.Sprint(last.Logits()))
	require.NoError(t, last.Close())

	_, err = m.ClassifyFile(path)
	require.ErrorContains(t, err, "closed")
	_, err = m.Clone()
	require.ErrorContains(t, err, "closed")
	require.Len(t, last.Top(make([]classify.Prediction, 1)), 1, "what came of the last picture")
}

func TestErrorsNameTheFile(t *testing.T) {
	path := write(t, nettest.Model(1, false))
	none, text := filepath.Join(t.TempDir(), "none"), filepath.Join(t.TempDir(), "text.jpg")
	require.NoError(t, os.WriteFile(text, []byte("hello, world"), 0o600))
	for want, c := range map[string]struct {
		path    string
		options classify.Options
	}{
		none:                              {none, classify.Options{}},
		text:                              {text, classify.Options{}},
		path + `: runtime: no kernel "x"`: {path, classify.Options{Kernel: "x"}},
		path + ": runtime: -1 threads":    {path, classify.Options{Threads: -1}},
		path + ": classify: -1 pred":      {path, classify.Options{Top: -1}},
	} {
		_, err := classify.Open(c.path, c.options)
		require.ErrorContains(t, err, want)
	}
	m := open(t, nettest.Model(1, false), classify.Options{})
	_, err := m.ClassifyFile(none)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, none)
	_, err = m.ClassifyFile(text)
	require.ErrorIs(t, err, preprocess.ErrFormat)
	require.ErrorContains(t, err, text)
	_, err = m.ClassifyBytes(nil)
	require.ErrorIs(t, err, preprocess.ErrEmpty)
	_, err = m.Classify(image.NewGray(image.Rect(0, 0, 3, 3)))
	require.ErrorIs(t, err, preprocess.ErrTooSmall)
	require.Empty(t, m.Logits())
}

// A program that classifies links no network, no devices and no calibration.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for _, path := range strings.Fields(string(out)) {
		for _, heavy := range []string{"net", "os/exec", "flag", "log", "periph.io", "edgeclassify/calibrate", "edgeclassify/models", "edgeclassify/capture"} {
			require.False(t, path == heavy || strings.HasPrefix(path, heavy+"/"), path)
		}
	}
}

// The program of the README is compiled and run in a module of its own.
func TestTheReadmesProgram(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## In your own Go program\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	_, program, found := strings.Cut(section, "\n    package main\n")
	require.True(t, found)
	program = "package main\n" + program
	program = strings.ReplaceAll(program[:strings.Index(program, "\n    }\n")+len("\n    }\n")], "\n    ", "\n")

	dir := t.TempDir()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	sums, err := os.ReadFile("../go.sum")
	require.NoError(t, err)
	cat, err := os.ReadFile(filepath.Join(photos, "cat.jpg"))
	require.NoError(t, err)
	for name, content := range map[string][]byte{"main.go": []byte(program), "go.sum": sums, "cat.jpg": cat} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	require.NoError(t, q8.Write(filepath.Join(dir, "resnet50.q8"), nettest.Colours()))
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", cmd, out)
		return string(out)
	}
	run("mod", "init", "example.com/program")
	run("mod", "edit", "-require=edgeclassify@v0.0.0", "-replace=edgeclassify="+root)
	require.Empty(t, run("vet", "."))
	require.Regexp(t, `^ \d\d\.\d %  red\n +\d+\.\d %  green\n +\d+\.\d %  blue\n$`, run("run", "."))
}
