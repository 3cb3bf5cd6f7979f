package evaluate

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/internal/graphtest"
	"edgeclassify/internal/nettest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

const smallCrop = 32

// smallGraph is a random classifier of 12 classes.
func smallGraph(t *testing.T) *models.Graph {
	t.Helper()
	return smallGraphOf(t, 12, labels.ImageNet()[:nettest.ImageClasses], labels.Softmax)
}

func smallGraphOf(t *testing.T, logits int, classes []labels.Class, a labels.Activation) *models.Graph {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 0))
	spec := preprocess.Torchvision()
	spec.Resize, spec.Crop = preprocess.Short(smallCrop), preprocess.Square(smallCrop)
	b, last := models.NewBuilder("image", tensor.Shape{H: smallCrop, W: smallCrop, C: 3}), "image"
	for _, op := range []models.Op{
		&models.Conv{Window: tensor.Square(5, 4, 2), Groups: 1, InC: 3, OutC: 8, Weight: graphtest.Normal(rng, 8*75)},
		models.ReLU{}, models.GlobalAveragePool{},
		&models.Dense{In: 8, Out: logits, Weight: graphtest.Normal(rng, 8*logits)},
	} {
		_, err := b.Add(op.Kind(), op, last)
		require.NoError(t, err)
		last = op.Kind()
	}
	g, err := b.Graph("small", spec, classes)
	require.NoError(t, err)
	return g.With(spec, classes, a)
}

// smallImages is a folder of n images, each of one of the classes.
func smallImages(t *testing.T, n int) ImageSet {
	return ImageSet{Spec: smallGraph(t).Preprocess, Files: nettest.Images(t, n, smallCrop)}
}

func quantizeSmall(t *testing.T, g *models.Graph, images ImageSet) *q8.Model {
	stats, err := observe.Observe(t.Context(), g, images, dataset.Pass{})
	require.NoError(t, err)
	m, err := calibrate.Model(g, stats.Table(quantize.MinMax), q8.Provenance{}, 1)
	require.NoError(t, err)
	return m
}

// smallEvaluation has not run yet.
func smallEvaluation(t *testing.T, images ImageSet, float bool) *Evaluation {
	g := smallGraph(t)
	n := quantizeSmall(t, g, images)
	truth, err := TrueClasses("", filepath.Dir(images.Files[0]), images.Files, g.Classes)
	require.NoError(t, err)
	if !float {
		g = nil
	}
	e, err := New(n, g, images, truth)
	require.NoError(t, err)
	return e
}

func TestReportSumsVerdictsUp(t *testing.T) {
	const right, wrong = 0, 7
	e := smallEvaluation(t, smallImages(t, 1), true)
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
	r := e.Result()
	require.Equal(t, []int{7, 5, 1}, []int{r.Images, r.Labelled, r.Skipped})
	require.Equal(t, []int{2, 2, 3, 3}, []int{r.Top1.Count, r.FloatTop1.Count, r.Top5.Count, r.FloatTop5.Count})
	require.Equal(t, []int{5, 7, 3}, []int{r.Top1.Of, r.Agreement.Of, r.Agreement.Count})
	require.Equal(t, 0.4, r.Top1.Value)
	require.Less(t, r.Top1.Low, 0.4)
	require.Greater(t, r.Top1.High, 0.4)
	require.InDelta(t, 20, *r.SQNR, 1e-9)
	require.InDelta(t, 16.99, r.ByImage.Lowest(), 0.01)
	require.Equal(t, Flips{RightToWrong: 1, WrongToRight: 1, WrongToWrong: 1, Unlabelled: 1, McNemar: 1}, *r.Flips)
	require.Equal(t, []Class{
		{Index: 1, Name: "goldfish", Images: 2, Top1: 0, FloatTop1: 0, Agree: 1},
		{Index: 3, Name: "tiger shark", Images: 3, Top1: 2, FloatTop1: 2, Agree: 1},
	}, r.Classes)
}

func TestReportWithoutFloatOrTruth(t *testing.T) {
	images := smallImages(t, 3)
	e := smallEvaluation(t, images, false)
	require.NoError(t, e.Run(context.Background(), 2, nil))
	r := e.Result()
	require.Equal(t, 3, r.Labelled)
	require.NotNil(t, r.Top1)
	require.Nil(t, r.FloatTop1)
	require.Nil(t, r.Agreement)
	require.Nil(t, r.SQNR)
	require.Nil(t, r.ByImage)
	require.Nil(t, r.Flips)
	for _, c := range r.Classes {
		require.Zero(t, c.FloatTop1+c.Agree)
	}

	e, err := New(e.model, smallGraph(t), images, []int{-1, -1, -1})
	require.NoError(t, err)
	require.NoError(t, e.Run(context.Background(), 2, nil))
	r = e.Result()
	require.Zero(t, r.Labelled)
	require.Nil(t, r.Top1)
	require.Nil(t, r.FloatTop1)
	require.Empty(t, r.Classes)
	require.NotNil(t, r.Agreement)
	require.NotNil(t, r.SQNR)
}

func TestClassesWorstFirst(t *testing.T) {
	half, lost := Class{Index: 1, Images: 4, Top1: 2, FloatTop1: 2}, Class{Index: 2, Images: 2, Top1: 1, FloatTop1: 2}
	good, twin := Class{Index: 3, Images: 3, Top1: 3, FloatTop1: 3}, Class{Index: 4, Images: 3, Top1: 3, FloatTop1: 3}
	order := []Class{lost, half, good, twin}
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

// With one logit, class 1 is the answer above 0; with independent classes, none of
// them is, where all logits are below 0.
func TestVerdictsOfSigmoids(t *testing.T) {
	images := smallImages(t, 24)
	for _, c := range []struct {
		logits, classes int
		answer          func(logits []float32) int
	}{
		{1, 2, func(l []float32) int { return map[bool]int{l[0] > 0: 1}[true] }},
		{3, 3, func(l []float32) int {
			if top := slices.Max(l); top > 0 {
				return slices.Index(l, top)
			}
			return 3
		}},
	} {
		g := smallGraphOf(t, c.logits, labels.ImageNet()[:c.classes], labels.Sigmoid)
		m := quantizeSmall(t, g, images)
		require.Equal(t, labels.Sigmoid, m.Activation)
		truth := make([]int, images.Len())
		for i := range truth {
			truth[i] = i % c.classes
		}
		e, err := New(m, g, images, truth)
		require.NoError(t, err)
		require.NoError(t, e.Run(t.Context(), 2, nil))
		executor, err := fp32.NewExecutor(g, 1)
		require.NoError(t, err)
		quantized, answers := make([]float32, c.logits), map[int]int{}
		for i, v := range e.verdicts {
			rgb, err := images.Load(i)
			require.NoError(t, err)
			float, err := executor.RunImage(rgb, nil)
			require.NoError(t, err)
			logits, err := m.Reference(rgb, nil)
			require.NoError(t, err)
			m.Classifier().Scaled(quantized, logits)
			said := c.answer(quantized)
			answers[said]++
			require.Equal(t, said == truth[i], v.Rank == 0)
			require.Equal(t, c.answer(float) == truth[i], v.FloatRank == 0)
			require.Equal(t, c.answer(float) == said, v.Agree)
			require.Less(t, e.margins[i].Float, math.Inf(1))
		}
		require.Greater(t, len(answers), 1, "the pictures differ")
		worst, err := e.Worst(t.Context(), 1, 1)
		require.NoError(t, err)
		require.Len(t, worst[0].Int8, min(mostProbable, c.classes))
	}
}

func TestVerdictsDoNotDependOnThreads(t *testing.T) {
	images := smallImages(t, 40)
	one, many := smallEvaluation(t, images, true), smallEvaluation(t, images, true)
	require.NoError(t, one.Run(context.Background(), 1, nil))
	require.NoError(t, many.Run(context.Background(), 5, nil))
	require.Equal(t, one.verdicts, many.verdicts)
	require.Equal(t, one.Result(), many.Result())
}

func TestWorstPictures(t *testing.T) {
	images := smallImages(t, 30)
	e := smallEvaluation(t, images, true)
	require.NoError(t, e.Run(context.Background(), 2, nil))
	worst, err := e.Worst(context.Background(), 2, 4)
	require.NoError(t, err)
	require.Len(t, worst, 4)
	worse := func(v verdict) bool { return v.Noise > 0 && *v.sqnr() < worst[3].SQNR } // than the last of them
	require.Equal(t, 3, count(e.verdicts, worse))
	for i, p := range worst {
		require.True(t, i == 0 || worst[i-1].SQNR <= p.SQNR)
		class, ok := labels.FromPath(p.Name, smallGraph(t).Classes)
		require.True(t, ok)
		require.Equal(t, smallGraph(t).Classes[class].Name, p.Truth)
		for _, top := range [][]Prediction{p.Float, p.Int8} {
			require.Len(t, top, mostProbable)
			require.True(t, top[0].Probability >= top[1].Probability && top[1].Probability >= top[2].Probability)
			require.Less(t, top[0].Probability+top[1].Probability+top[2].Probability, 1.0)
		}
		img, err := jpeg.Decode(bytes.NewReader(p.JPEG))
		require.NoError(t, err)
		require.Equal(t, image.Pt(smallCrop, smallCrop), img.Bounds().Size())
	}

	all, err := e.Worst(context.Background(), 2, 1000)
	require.NoError(t, err)
	require.Len(t, all, 30)
	require.Equal(t, worst, all[:4])
	none, err := smallEvaluation(t, images, false).Worst(context.Background(), 2, 3)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestPredictions(t *testing.T) {
	got := predictions([]float32{0, 2000, 2000, 1000}, labels.ImageNet()[:4], labels.Softmax)
	require.Len(t, got, mostProbable)
	for i, want := range []Prediction{{Class: "goldfish", Probability: 0.5}, {Class: "great white shark", Probability: 0.5}, {Class: "tiger shark"}} {
		require.Equal(t, want.Class, got[i].Class)
		require.InDelta(t, want.Probability, got[i].Probability, 1e-9)
	}
}

// interrupt runs an evaluation until some pictures are done.
func interrupt(t *testing.T, e *Evaluation, after int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := e.Run(ctx, 2, func(done, total int) {
		if done == after {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, e.Close())
}

func TestResumedEvaluationIsTheSame(t *testing.T) {
	const n = 3*journalBatch + 7
	images, header := smallImages(t, n), journalHeader{journalKind, "model", "float"}
	whole := smallEvaluation(t, images, true)
	require.NoError(t, whole.Run(context.Background(), 2, nil))
	file := filepath.Join(t.TempDir(), "journal")
	for _, after := range []int{1, journalBatch + 1, journalBatch} {
		e := smallEvaluation(t, images, true)
		require.NoError(t, e.Resume(file, header.Model, header.Float))
		interrupt(t, e, after)
	}
	e := smallEvaluation(t, images, true)
	require.NoError(t, e.Resume(file, header.Model, header.Float))
	var ran atomic.Int64
	require.NoError(t, e.Run(context.Background(), 2, func(done, total int) {
		ran.Store(int64(done))
		require.LessOrEqual(t, total, n-2*journalBatch-2)
	}))
	require.NoError(t, e.Close())
	require.Positive(t, ran.Load())
	require.Equal(t, whole.verdicts, e.verdicts)
	require.Equal(t, whole.Result(), e.Result())

	last := smallEvaluation(t, images, true)
	require.NoError(t, last.Resume(file, header.Model, header.Float))
	require.Equal(t, whole.verdicts, last.verdicts)
	require.NoError(t, last.Close())
}

// The file may end anywhere: in the header, between lines, within one.
func TestResumeFromEveryPrefix(t *testing.T) {
	images, header := smallImages(t, 2), journalHeader{journalKind, "model", ""}
	file := filepath.Join(t.TempDir(), "journal")
	e := smallEvaluation(t, images, false)
	require.NoError(t, e.Resume(file, header.Model, header.Float))
	require.NoError(t, e.Run(context.Background(), 1, nil))
	require.NoError(t, e.Close())
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	for size := range len(whole) + 1 {
		require.NoError(t, os.WriteFile(file, whole[:size], 0o600))
		e.verdicts, e.journal = smallVerdicts(e), nil
		require.NoError(t, e.Resume(file, header.Model, header.Float), "%d bytes", size)
		known := count(e.verdicts, func(v verdict) bool { return v.known })
		require.Equal(t, max(bytes.Count(whole[:size], []byte("\n"))-1, 0), known)
		require.NoError(t, e.Run(context.Background(), 1, nil))
		require.NoError(t, e.Close())
		again, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(whole), string(again), "%d bytes", size)
	}
}

// smallVerdicts are the verdicts of an evaluation that has not run.
func smallVerdicts(e *Evaluation) []verdict {
	fresh := make([]verdict, len(e.verdicts))
	for i, v := range e.verdicts {
		fresh[i].Class = v.Class
	}
	return fresh
}

func TestResumeRefuses(t *testing.T) {
	images, header := smallImages(t, 2), journalHeader{journalKind, "model", "float"}
	name, err := filepath.Abs(images.Files[0])
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
		"line 2 is damaged":                      line(header) + line(journalLine{name, verdict{Signal: 1, Noise: -1}}),
		"was of class 5 and is of class 0 now":   line(header) + line(journalLine{name, verdict{Class: 5}}),
		"was of class -1 and is of class 0 now":  line(header) + line(journalLine{name, verdict{Class: -1}}),
	} {
		file := filepath.Join(t.TempDir(), "journal")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		e := smallEvaluation(t, images, true)
		err := e.Resume(file, header.Model, header.Float)
		require.ErrorContains(t, err, file+": ")
		require.ErrorContains(t, err, want)
		kept, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, text, string(kept), "a file that is refused stays as it is")
	}
	err = smallEvaluation(t, images, true).Resume(filepath.Join(t.TempDir(), "none", "journal"), header.Model, header.Float)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestUnreadablePicturesAreSkipped(t *testing.T) {
	images := smallImages(t, 3)
	e := smallEvaluation(t, images, true)
	require.NoError(t, os.WriteFile(images.Files[1], []byte("no picture"), 0o600))
	require.NoError(t, e.Run(context.Background(), 2, nil))
	require.ErrorIs(t, e.verdicts[1].err, preprocess.ErrFormat)
	r := e.Result()
	require.Equal(t, []int{2, 1}, []int{r.Images, r.Skipped})
}

func TestFloatNetworkOfAnotherKind(t *testing.T) {
	images := smallImages(t, 1)
	n := quantizeSmall(t, smallGraph(t), images)
	other := smallGraph(t)
	other.Preprocess = preprocess.Caffe()
	_, err := New(n, other, images, []int{0})
	require.ErrorContains(t, err, "small: input, preprocessing or classes differ")
}
