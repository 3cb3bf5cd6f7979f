package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/report"
	"edgeclassify/tensor"
)

const smallCrop = 32

// smallGraph is a random classifier of 12 classes.
func smallGraph() *models.Graph {
	rng := rand.New(rand.NewPCG(1, 0))
	normal := func(n int) []float32 {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(rng.NormFloat64())
		}
		return values
	}
	spec := preprocess.Torchvision()
	spec.Resize, spec.Crop = smallCrop, smallCrop
	return &models.Graph{
		Name: "small", InputName: "image", Input: tensor.Shape{H: smallCrop, W: smallCrop, C: 3},
		Preprocess: spec, Classes: labels.ImageNet()[:12],
		Nodes: []models.Node{
			{Name: "conv", Inputs: []string{"image"}, Op: &models.Conv{Window: tensor.Square(5, 4, 2), Groups: 1, InC: 3, OutC: 8, Weight: normal(8 * 75)}},
			{Name: "relu", Inputs: []string{"conv"}, Op: models.ReLU{}},
			{Name: "pool", Inputs: []string{"relu"}, Op: models.GlobalAveragePool{}},
			{Name: "dense", Inputs: []string{"pool"}, Op: &models.Dense{In: 8, Out: 12, Weight: normal(96)}},
		},
	}
}

// smallPictures is a folder of n pictures, each of one of the classes.
func smallPictures(t *testing.T, n int) imageSet {
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(2, 0))
	for i := range n {
		img := image.NewRGBA(image.Rect(0, 0, smallCrop, smallCrop))
		base := [3]int{rng.IntN(192), rng.IntN(192), rng.IntN(192)}
		for y := range smallCrop {
			for x := range smallCrop {
				sample := func(c int) uint8 { return uint8(base[c] + rng.IntN(64)) }
				img.SetRGBA(x, y, color.RGBA{sample(0), sample(1), sample(2), 255})
			}
		}
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, img))
		name := fmt.Sprintf("%s_%d.png", labels.ImageNet()[i%12].ID, i)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600))
	}
	set, err := draw(dir, smallGraph().Preprocess, 0, 0)
	require.NoError(t, err)
	return set
}

func quantizeSmall(t *testing.T, g *models.Graph, set imageSet) *int8.Network {
	folded, err := calibrate.Fold(g)
	require.NoError(t, err)
	table, err := calibrate.Observe(context.Background(), folded, set, calibrate.ObserveOptions{})
	require.NoError(t, err)
	n, err := calibrate.Quantize(folded, table.Table(calibrate.MinMax))
	require.NoError(t, err)
	return n
}

// smallEvaluation has not run yet.
func smallEvaluation(t *testing.T, set imageSet, float bool) *evaluation {
	g := smallGraph()
	n := quantizeSmall(t, g, set)
	truth, err := trueClasses("", filepath.Dir(set.files[0]), set.files, g.Classes)
	require.NoError(t, err)
	if !float {
		g = nil
	}
	e, err := newEvaluation(n, g, set, truth)
	require.NoError(t, err)
	return e
}

func TestReportSumsVerdictsUp(t *testing.T) {
	const right, wrong = 0, 7
	e := smallEvaluation(t, smallPictures(t, 1), true)
	e.verdicts = []verdict{
		{known: true, Class: 3, Rank: right, FloatRank: right, Agree: true, Signal: 50, Noise: 1},
		{known: true, Class: 3, Rank: wrong, FloatRank: right, Signal: 50, Noise: 1},
		{known: true, Class: 3, Rank: right, FloatRank: wrong, Signal: 50, Noise: 0},
		{known: true, Class: 1, Rank: 4, FloatRank: wrong, Signal: 50},
		{known: true, Class: 1, Rank: wrong, FloatRank: 4, Agree: true},
		{known: true, Class: -1, Rank: -1, FloatRank: -1},
		{known: true, Class: -1, Rank: -1, FloatRank: -1, Agree: true},
		{err: os.ErrNotExist, Class: 5},
	}
	r := e.report()
	require.Equal(t, []int{7, 5, 1}, []int{r.Images, r.Labelled, r.Skipped})
	require.Equal(t, []int{2, 2, 3, 3}, []int{r.Top1.Count, r.FloatTop1.Count, r.Top5.Count, r.FloatTop5.Count})
	require.Equal(t, []int{5, 7, 3}, []int{r.Top1.Of, r.Agreement.Of, r.Agreement.Count})
	require.Equal(t, 0.4, r.Top1.Value)
	require.Less(t, r.Top1.Low, 0.4)
	require.Greater(t, r.Top1.High, 0.4)
	require.InDelta(t, 20, *r.SQNR, 1e-9)
	require.Equal(t, report.Flips{RightToWrong: 1, WrongToRight: 1, WrongToWrong: 1, Unlabelled: 1, McNemar: 1}, *r.Flips)
	require.Equal(t, []report.Class{
		{Index: 1, Name: "goldfish", Images: 2, Top1: 0, FloatTop1: 0, Agree: 1},
		{Index: 3, Name: "tiger shark", Images: 3, Top1: 2, FloatTop1: 2, Agree: 1},
	}, r.Classes)
}

func TestReportWithoutFloatOrTruth(t *testing.T) {
	set := smallPictures(t, 3)
	e := smallEvaluation(t, set, false)
	require.NoError(t, e.run(context.Background(), 2, nil))
	r := e.report()
	require.Equal(t, 3, r.Labelled)
	require.NotNil(t, r.Top1)
	require.Nil(t, r.FloatTop1)
	require.Nil(t, r.Agreement)
	require.Nil(t, r.SQNR)
	require.Nil(t, r.Flips)
	for _, c := range r.Classes {
		require.Zero(t, c.FloatTop1+c.Agree)
	}

	e, err := newEvaluation(e.plan.Network(), smallGraph(), set, []int{-1, -1, -1})
	require.NoError(t, err)
	require.NoError(t, e.run(context.Background(), 2, nil))
	r = e.report()
	require.Zero(t, r.Labelled)
	require.Nil(t, r.Top1)
	require.Nil(t, r.FloatTop1)
	require.Empty(t, r.Classes)
	require.NotNil(t, r.Agreement)
	require.NotNil(t, r.SQNR)
}

func TestClassesWorstFirst(t *testing.T) {
	half, lost := report.Class{Index: 1, Images: 4, Top1: 2, FloatTop1: 2}, report.Class{Index: 2, Images: 2, Top1: 1, FloatTop1: 2}
	good, twin := report.Class{Index: 3, Images: 3, Top1: 3, FloatTop1: 3}, report.Class{Index: 4, Images: 3, Top1: 3, FloatTop1: 3}
	order := []report.Class{lost, half, good, twin}
	for i, a := range order {
		for j, b := range order {
			require.Equal(t, i < j, compareClasses(a, b) < 0, "%v %v", a, b)
		}
	}
}

func TestRank(t *testing.T) {
	logits := []float32{1, 3, 2, 3}
	for class, want := range map[int]int{1: 0, 3: 1, 2: 2, 0: 3, -1: -1} {
		require.Equal(t, want, rank(logits, class), class)
	}
	require.Equal(t, 1, best(logits))
}

func TestPrintEvaluation(t *testing.T) {
	ratio := 26.5
	r := &report.Evaluation{
		Images: 100, Labelled: 100, Top1: share(80, 100), FloatTop1: share(95, 100), Agreement: share(70, 100), SQNR: &ratio,
		Flips:   &report.Flips{RightToWrong: 20, WrongToRight: 5, WrongToWrong: 5, McNemar: 0.004},
		Classes: []report.Class{{Index: 7, Name: "cock", Images: 3, Top1: 1, FloatTop1: 2, Agree: 3}},
	}
	text := func() string {
		var b bytes.Buffer
		require.NoError(t, printEvaluation(&b, r))
		return strings.Join(strings.Fields(b.String()), " ")
	}
	for _, want := range []string{
		"top-1 80.00 % 71.12 to 86.66 %, 80 of 100", "of float 95.00 %", "logit SQNR 26.50 dB", "20 right to wrong", "5 wrong to right",
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

func TestVerdictsDoNotDependOnThreads(t *testing.T) {
	set := smallPictures(t, 40)
	one, many := smallEvaluation(t, set, true), smallEvaluation(t, set, true)
	require.NoError(t, one.run(context.Background(), 1, nil))
	require.NoError(t, many.run(context.Background(), 5, nil))
	require.Equal(t, one.verdicts, many.verdicts)
	require.Equal(t, one.report(), many.report())
}

func TestWorstPictures(t *testing.T) {
	set := smallPictures(t, 30)
	e := smallEvaluation(t, set, true)
	require.NoError(t, e.run(context.Background(), 2, nil))
	worst, err := e.worst(context.Background(), 2, 4)
	require.NoError(t, err)
	require.Len(t, worst, 4)
	worse := 0 // pictures that are worse than the last of them
	for _, v := range e.verdicts {
		worse += count(v.Noise > 0 && *sqnr(v.Signal, v.Noise) < worst[3].SQNR)
	}
	require.Equal(t, 3, worse)
	for i, p := range worst {
		require.True(t, i == 0 || worst[i-1].SQNR <= p.SQNR)
		class, ok := labels.FromPath(p.Name, smallGraph().Classes)
		require.True(t, ok)
		require.Equal(t, smallGraph().Classes[class].Name, p.Truth)
		for _, top := range [][]report.Guess{p.Float, p.Int8} {
			require.Len(t, top, guesses)
			require.True(t, top[0].Probability >= top[1].Probability && top[1].Probability >= top[2].Probability)
			require.Less(t, top[0].Probability+top[1].Probability+top[2].Probability, 1.0)
		}
		img, err := jpeg.Decode(bytes.NewReader(p.JPEG))
		require.NoError(t, err)
		require.Equal(t, image.Pt(smallCrop, smallCrop), img.Bounds().Size())
	}

	all, err := e.worst(context.Background(), 2, 1000)
	require.NoError(t, err)
	require.Len(t, all, 30)
	require.Equal(t, worst, all[:4])
	none, err := smallEvaluation(t, set, false).worst(context.Background(), 2, 3)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestGuess(t *testing.T) {
	got := guess([]float32{0, 2000, 2000, 1000}, labels.ImageNet()[:4])
	require.Len(t, got, guesses)
	for i, want := range []report.Guess{{Class: "goldfish", Probability: 0.5}, {Class: "great white shark", Probability: 0.5}, {Class: "tiger shark"}} {
		require.Equal(t, want.Class, got[i].Class)
		require.InDelta(t, want.Probability, got[i].Probability, 1e-9)
	}
}

func TestThumbnailShowsThePicture(t *testing.T) {
	const size = 224
	rgb := make([]uint8, 3*size*size)
	for i := range size * size {
		rgb[3*i], rgb[3*i+2] = 200, 60 // red above blue
		if i >= size*size/2 {
			rgb[3*i], rgb[3*i+2] = 20, 240
		}
	}
	data, err := encodeThumbnail(rgb, size)
	require.NoError(t, err)
	img, err := jpeg.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, image.Pt(thumbnail, thumbnail), img.Bounds().Size())
	for y, want := range map[int][3]int{20: {200, 0, 60}, 140: {20, 0, 240}} {
		r, g, b, _ := img.At(80, y).RGBA()
		require.InDelta(t, want[0], r>>8, 6)
		require.InDelta(t, want[1], g>>8, 6)
		require.InDelta(t, want[2], b>>8, 6)
	}
}

// interrupt runs an evaluation until some pictures are done.
func interrupt(t *testing.T, e *evaluation, after int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := e.run(ctx, 2, func(done, total int) {
		if done == after {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, e.journal.close())
}

func TestResumedEvaluationIsTheSame(t *testing.T) {
	const n = 3*journalBatch + 7
	set, header := smallPictures(t, n), journalHeader{journalKind, "model", "float"}
	whole := smallEvaluation(t, set, true)
	require.NoError(t, whole.run(context.Background(), 2, nil))
	file := filepath.Join(t.TempDir(), "journal")
	for _, after := range []int{1, journalBatch + 1, journalBatch} {
		e := smallEvaluation(t, set, true)
		require.NoError(t, e.resume(file, header))
		interrupt(t, e, after)
	}
	e := smallEvaluation(t, set, true)
	require.NoError(t, e.resume(file, header))
	var ran atomic.Int64
	require.NoError(t, e.run(context.Background(), 2, func(done, total int) {
		ran.Store(int64(done))
		require.LessOrEqual(t, total, n-2*journalBatch-2)
	}))
	require.NoError(t, e.journal.close())
	require.Positive(t, ran.Load())
	require.Equal(t, whole.verdicts, e.verdicts)
	require.Equal(t, whole.report(), e.report())

	last := smallEvaluation(t, set, true)
	require.NoError(t, last.resume(file, header))
	require.Equal(t, whole.verdicts, last.verdicts)
	require.NoError(t, last.journal.close())
}

// The file may end anywhere: in the header, between lines, within one.
func TestResumeFromEveryPrefix(t *testing.T) {
	set, header := smallPictures(t, 2), journalHeader{journalKind, "model", ""}
	file := filepath.Join(t.TempDir(), "journal")
	e := smallEvaluation(t, set, false)
	require.NoError(t, e.resume(file, header))
	require.NoError(t, e.run(context.Background(), 1, nil))
	require.NoError(t, e.journal.close())
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for size := range len(whole) + 1 {
		require.NoError(t, os.WriteFile(file, whole[:size], 0o600))
		e.verdicts, e.journal = smallVerdicts(e), nil
		require.NoError(t, e.resume(file, header), "%d bytes", size)
		known := 0
		for _, v := range e.verdicts {
			known += count(v.known)
		}
		require.Equal(t, max(bytes.Count(whole[:size], []byte("\n"))-1, 0), known)
		require.NoError(t, e.run(context.Background(), 1, nil))
		require.NoError(t, e.journal.close())
		again, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(whole), string(again), "%d bytes", size)
	}
}

// smallVerdicts are the verdicts of an evaluation that has not run.
func smallVerdicts(e *evaluation) []verdict {
	fresh := make([]verdict, len(e.verdicts))
	for i, v := range e.verdicts {
		fresh[i].Class = v.Class
	}
	return fresh
}

func TestResumeRefuses(t *testing.T) {
	set, header := smallPictures(t, 2), journalHeader{journalKind, "model", "float"}
	name, err := filepath.Abs(set.files[0])
	require.NoError(t, err)
	line := func(v any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return string(b) + "\n"
	}
	for want, text := range map[string]string{
		"not written by this version of -resume": "holiday photographs\n",
		"not written by":                         "no line at all",
		"another model (SHA-256 other) than":     line(journalHeader{journalKind, "other", "float"}),
		"another float network (SHA-256 none)":   line(journalHeader{journalKind, "model", ""}),
		"line 3 is damaged":                      line(header) + line(journalLine{name, verdict{}}) + "\x00\x00\n",
		"was of class 5 and is of class 0 now":   line(header) + line(journalLine{name, verdict{Class: 5}}),
		"was of class -1 and is of class 0 now":  line(header) + line(journalLine{name, verdict{Class: -1}}),
	} {
		file := filepath.Join(t.TempDir(), "journal")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		e := smallEvaluation(t, set, true)
		err := e.resume(file, header)
		require.ErrorContains(t, err, file+": ")
		require.ErrorContains(t, err, want)
		kept, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, text, string(kept), "a file that is refused stays as it is")
	}
	err = smallEvaluation(t, set, true).resume(filepath.Join(t.TempDir(), "none", "journal"), header)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestUnreadablePicturesAreSkipped(t *testing.T) {
	set := smallPictures(t, 3)
	e := smallEvaluation(t, set, true)
	require.NoError(t, os.WriteFile(set.files[1], []byte("no picture"), 0o600))
	require.NoError(t, e.run(context.Background(), 2, nil))
	require.ErrorIs(t, e.verdicts[1].err, preprocess.ErrFormat)
	r := e.report()
	require.Equal(t, []int{2, 1}, []int{r.Images, r.Skipped})
}

func TestFloatNetworkOfAnotherKind(t *testing.T) {
	set := smallPictures(t, 1)
	n := quantizeSmall(t, smallGraph(), set)
	other := smallGraph()
	other.Preprocess = preprocess.Caffe()
	_, err := newEvaluation(n, other, set, []int{0})
	require.ErrorContains(t, err, "small: input, preprocessing or classes differ")
}

// The whole program with real weights on the photographs of this project,
// interrupted before and resumed.
func TestEvalOnPhotographs(t *testing.T) {
	needWeights(t)
	dir := t.TempDir()
	model, truth, journal := filepath.Join(dir, "r.q8"), filepath.Join(dir, "truth.txt"), filepath.Join(dir, "journal")
	code, _, errs := quantize("build", "-model", "resnet50-keras", "-out", model)
	require.Zero(t, code, errs)
	require.NoError(t, os.WriteFile(truth, []byte("cat.jpg n02123045\nespresso.jpg espresso\nrocket.jpg missile\ntripod.jpg 872\nastronaut.jpg space shuttle\n"), 0o600))
	args := []string{"eval", "-model", model, "-images", "../../testdata/photos", "-float", "resnet50-keras", "-truth", truth, "-resume", journal}

	code, out, errs := quantize(append(args, "-limit", "2", "-classes")...)
	require.Zero(t, code, errs)
	require.Contains(t, out, "pictures    2 ")
	code, out, errs = quantize(append(args, "-json", "-classes")...)
	require.Zero(t, code, errs)
	var r report.Evaluation
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

	code, _, errs = quantize("eval", "-model", model, "-images", "../../testdata/photos", "-truth", truth, "-resume", journal)
	require.Equal(t, cli.ExitFailure, code)
	require.Contains(t, errs, "another float network")
}
