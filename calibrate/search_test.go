package calibrate

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/internal/graphtest"
	"edgeclassify/labels"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

func find(t *testing.T, g *models.Graph, images dataset.Images, o SearchOptions) *Found {
	t.Helper()
	o.Skip = func(error) {}
	o.Threads = max(1, o.Threads)
	f, err := Search(t.Context(), g, images, o)
	require.NoError(t, err)
	return f
}

func quantized(t *testing.T, g *models.Graph, table *quantize.RangeTable) *int8.Network {
	t.Helper()
	n, err := quantize.Network(g, table)
	require.NoError(t, err)
	return n
}

// seen observes g on the images that can be loaded.
func seen(t *testing.T, g *models.Graph, images dataset.Images) *observe.Statistics {
	t.Helper()
	s, err := observe.Observe(t.Context(), g, images, dataset.Pass{Threads: 2, Skip: func(error) {}})
	require.NoError(t, err)
	return s
}

// corrupt multiplies one in ten channels of every group, which leaves the function
// of the float network as it is, and few codes for the others.
func corrupt(t *testing.T, rng *rand.Rand, g *models.Graph) *models.Graph {
	t.Helper()
	e := quantize.Equalization{}
	for _, group := range quantize.Groups(g) {
		scales := make(quantize.Log2Scales, group.Channels)
		for c := range scales {
			if c == 0 || rng.IntN(10) == 0 {
				scales[c] = -4 - rng.IntN(5)
			}
		}
		e[group.Name] = scales
	}
	corrupted, err := quantize.Equalize(g, e)
	require.NoError(t, err)
	return corrupted
}

// stored is a table as a file has it.
func stored(t *testing.T, table *quantize.RangeTable) *quantize.RangeTable {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	read, err := quantize.ReadRanges(&file)
	require.NoError(t, err)
	return read
}

// signalToNoise is the mean SQNR of the logits on all images that can be loaded, in
// dB.
func signalToNoise(t *testing.T, g *models.Graph, n *int8.Network, images graphtest.Images) float64 {
	t.Helper()
	float, err := fp32.NewExecutor(g, 1)
	require.NoError(t, err)
	var rgbs [][]uint8
	var exact [][]float32
	for i := range images.N {
		rgb, err := images.Load(i)
		if err != nil {
			continue
		}
		logits, err := float.RunImage(rgb, nil)
		require.NoError(t, err)
		rgbs, exact = append(rgbs, rgb), append(exact, logits)
	}
	logits, err := int8Logits(t.Context(), n, rgbs, 2)
	require.NoError(t, err)
	var deviations []deviation
	for i := range logits {
		deviations = append(deviations, newDeviation(labels.Softmax, exact[i], logits[i]))
	}
	return newScore(deviations).meanSQNR
}

func TestSearchDoesNotDependOnThreads(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(1, 1)))
	images.N, images.Missing = 24, map[int]bool{2: true, 11: true}
	want := find(t, g, images, SearchOptions{Threads: 1})
	require.Equal(t, want.Planned, want.Tried)
	require.Equal(t, want, find(t, g, images, SearchOptions{Threads: 3}))

	part := find(t, g, images, SearchOptions{Threads: 1, Budget: 25})
	require.Equal(t, 25, part.Tried)
	require.NotEqual(t, want.Table, part.Table)
	require.Equal(t, part, find(t, g, images, SearchOptions{Threads: 3, Budget: 25}))
}

// Each trial that is kept is better than those before it, up to the one that is
// taken anyway.
func TestSearchKeepsWhatHelps(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(2, 1)))
	f := find(t, g, images, SearchOptions{})
	require.Equal(t, "mse ranges", f.Trials[0].Name)
	require.True(t, f.Trials[0].Kept)
	best := f.Trials[0].MeanSQNR
	for _, trial := range f.Trials[1:] {
		t.Logf("%+v", trial)
		require.GreaterOrEqual(t, trial.Agreement, 0.0)
		require.LessOrEqual(t, trial.Agreement, 1.0)
		switch {
		case trial.Name == "ranges of all pictures":
			require.True(t, trial.Kept)
			best = trial.MeanSQNR
		case strings.HasPrefix(trial.Name, "sums of the strongest"):
			require.Equal(t, trial.MeanSQNR > best-priceOfReach, trial.Kept, trial.Name)
			if trial.Kept {
				best = trial.MeanSQNR
			}
		case trial.Kept:
			require.Greater(t, trial.MeanSQNR, best, trial.Name)
			best = trial.MeanSQNR
		default:
			require.LessOrEqual(t, trial.MeanSQNR, best, trial.Name)
		}
	}
	require.Greater(t, best, f.Trials[0].MeanSQNR+1)

	plain := seen(t, g, images).Table(quantize.MSE)
	plain.Means = nil
	require.Greater(t, signalToNoise(t, g, quantized(t, g, f.Table), images),
		signalToNoise(t, g, quantized(t, g, plain), images), "on all images")
}

// Of a sound network and of one that channels ruin, the search finds tables that
// give the same network once stored. The ruined one it mends.
func TestSearchMendsOutliersAndItsTableIsStored(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(3, 1)))
	corrupted := corrupt(t, rand.New(rand.NewPCG(4, 1)), g)
	var sqnr []float64
	for _, net := range []*models.Graph{g, corrupted} {
		f := find(t, net, images, SearchOptions{})
		require.Equal(t, net == corrupted, slices.ContainsFunc(f.Trials, func(trial Trial) bool {
			return trial.Kept && strings.HasPrefix(trial.Name, "equalization")
		}))
		read := stored(t, f.Table)
		require.Equal(t, f.Table, read)
		n := quantized(t, net, f.Table)
		require.Equal(t, n, quantized(t, net, read))
		sqnr = append(sqnr, signalToNoise(t, net, n, images))
	}
	t.Logf("%.1f dB, of the corrupted network %.1f dB", sqnr[0], sqnr[1])
	require.Greater(t, sqnr[1], sqnr[0]-2)

	f := find(t, corrupted, images, SearchOptions{WithoutEqualization: true})
	require.Nil(t, f.Table.Equalization)
	require.Less(t, signalToNoise(t, corrupted, quantized(t, corrupted, f.Table), images), sqnr[1]-6)
}

// A candidate that no integer network can hold is not kept.
func TestImpossibleCandidatesDoNotEndTheSearch(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(12, 1)))
	s := &search{SearchOptions: SearchOptions{Threads: 1}, graph: g, tables: map[source]*quantize.RangeTable{}}
	require.NoError(t, s.prepare(t.Context(), images))
	impossible := widening([]quantize.Unit{{Name: "c_conv"}}, 1e-30)
	require.ErrorContains(t, s.try(t.Context(), impossible), `layer "c_conv": channel 0`)
	first := s.candidates()[0]
	require.NoError(t, s.try(t.Context(), first))
	require.NoError(t, s.try(t.Context(), impossible))
	require.Len(t, s.trials, 1)
	require.Empty(t, s.best.factors)
}

// Ranges of sums, and of what meets in them, reach return levels if that costs little.
func TestSumsReachTheStrongestPictures(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(13, 1)))
	s := &search{SearchOptions: SearchOptions{Threads: 2}, graph: g, tables: map[source]*quantize.RangeTable{}}
	require.NoError(t, s.prepare(t.Context(), images))
	require.NoError(t, s.try(t.Context(), s.candidates()[0]))
	before := s.table(&s.best).Ranges
	var summed []string
	for _, stage := range s.stages() {
		sums := s.sums(stage)
		for _, u := range sums {
			summed = append(summed, u.Name)
		}
		if len(sums) > 0 {
			reach := reaching(sums)
			reach.price = 1
			require.NoError(t, s.try(t.Context(), reach))
		}
	}
	require.Equal(t, []string{"aside", "a3", "b2"}, summed)
	levels, after := s.best.all.ReturnLevels(), s.table(&s.best).Ranges
	wider := 0
	for layer, r := range before {
		got := after[layer]
		if !slices.Contains(summed, layer) {
			require.Equal(t, r, got)
			continue
		}
		want := max(levels[layer], max(r.Max, -r.Min))
		require.InEpsilon(t, want, max(got.Max, -got.Min), 1e-9, layer)
		require.InDelta(t, r.Min*got.Max, r.Max*got.Min, 1e-9, "both ends alike")
		if want > max(r.Max, -r.Min) {
			wider++
		}
	}
	require.Positive(t, wider)

	dear := choose("dear", func(c *choices) { c.reached = map[string]float64{"b2": 100 * levels["b2"]} })
	dear.price = priceOfReach
	require.NoError(t, s.try(t.Context(), dear))
	require.Equal(t, after, s.table(&s.best).Ranges)
}

func TestSearchLeavesOutWhatItIsTold(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(5, 1)))
	f := find(t, g, images, SearchOptions{WithoutBias: true, WithoutEqualization: true, WithoutRounding: true})
	require.Nil(t, f.Table.Means)
	require.Nil(t, f.Table.Shifts)
	require.Nil(t, f.Table.Equalization)
	require.Nil(t, f.Table.Steps)
	for _, trial := range f.Trials {
		require.NotContains(t, trial.Name, "bias")
		require.NotContains(t, trial.Name, "equalization")
		require.NotContains(t, trial.Name, "Hessian")
	}
}

func TestBudgetEndsTheSearch(t *testing.T) {
	g, images := graphtest.ResidualClassifier(t, rand.New(rand.NewPCG(6, 1)))
	f := find(t, g, images, SearchOptions{Budget: 1})
	require.Equal(t, 1, f.Tried)
	require.Greater(t, f.Planned, 20)
	require.Len(t, f.Trials, 1)
	// quantize.Methods were not compared by then: the best in general, of all images.
	require.Equal(t, seen(t, g, images).Table(quantize.ClipMSE), f.Table)
}

func TestSearchOfFewImagesTakesTheDefaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	g := graphtest.ForImages(graphtest.Chain(t, tensor.Shape{H: 8, W: 8, C: 3},
		graphtest.Conv(rng, tensor.Square(3, 1, 1), 1, 3, 12), graphtest.BatchNorm(rng, 12), models.ReLU{},
		models.GlobalAveragePool{}, graphtest.Dense(rng, 12, 5)), preprocess.Torchvision())
	images := graphtest.Images{Values: g.Input().Elements()}
	folded, err := g.Fold()
	require.NoError(t, err)
	prior, err := observe.DataFree(folded)
	require.NoError(t, err)
	images.N, images.Missing = leastImages, map[int]bool{5: true} // one too few
	for _, prior := range []*quantize.RangeTable{prior, nil} {
		f := find(t, folded, images, SearchOptions{Prior: prior})
		require.Empty(t, f.Trials)
		require.Zero(t, f.Planned)
		want := seen(t, folded, images).Table(quantize.ClipMSE)
		if prior != nil {
			want = want.Blend(prior)
		}
		require.Equal(t, want, f.Table)
	}
	require.Nil(t, find(t, folded, images, SearchOptions{WithoutBias: true}).Table.Means)

	images.Missing = nil
	require.NotEmpty(t, find(t, folded, images, SearchOptions{Prior: prior}).Trials)
}

// Images that cannot be loaded are told of once, in order, and do not count.
func TestSearchLeavesOutUnreadableImagesOnce(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(8, 1)))
	images.N, images.Missing = 30, map[int]bool{0: true, 13: true, 29: true}
	var skipped []error
	o := SearchOptions{Threads: 3, Skip: func(err error) { skipped = append(skipped, err) }}
	f, err := Search(t.Context(), g, images, o)
	require.NoError(t, err)
	require.Len(t, skipped, 3)
	all := seen(t, g, images)
	require.Equal(t, 27, f.Table.Images)
	require.Equal(t, all.ImagesHash, f.Table.ImagesHash, "as if all images were observed at once")

	o.Skip = nil
	_, err = Search(t.Context(), g, images, o)
	require.ErrorContains(t, err, "no such picture")
}

func TestSearchWithoutImages(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(9, 1)))
	o := SearchOptions{Threads: 2, Skip: func(error) {}}
	images.N, images.Missing = 3, map[int]bool{0: true, 1: true, 2: true}
	_, err := Search(t.Context(), g, images, o)
	require.ErrorContains(t, err, "none of the pictures could be loaded")
	images.N = 0
	_, err = Search(t.Context(), g, images, o)
	require.ErrorContains(t, err, "no pictures to calibrate on")
}

// A search ends with the context's error wherever it is.
func TestSearchIsCancelled(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(10, 1)))
	stages := map[string]bool{}
	o := SearchOptions{Threads: 2, Progress: func(stage string, _, _ int) { stages[stage] = true }}
	_, err := Search(t.Context(), g, images, o)
	require.NoError(t, err)
	require.Greater(t, len(stages), 2)
	for want := range stages {
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(stage string, _, _ int) {
			if stage == want {
				cancel()
			}
		}
		_, err := Search(ctx, g, images, o)
		require.ErrorIs(t, err, context.Canceled, want)
	}
}

// Images of another size than at first.
func TestRunThatFailsEndsTheSearch(t *testing.T) {
	g, images := graphtest.StreamClassifier(t, rand.New(rand.NewPCG(11, 1)))
	loaded := 0
	_, err := Search(t.Context(), g, cut{images, &loaded}, SearchOptions{Threads: 1})
	require.ErrorContains(t, err, "runtime: the picture has 10 bytes")
}

// cut images are whole when the search runs the float network on all of them,
// and cut off when it loads those held out.
type cut struct {
	dataset.Images
	loaded *int
}

func (c cut) Load(i int) ([]uint8, error) {
	rgb, err := c.Images.Load(i)
	*c.loaded++
	if all := c.Len(); *c.loaded > all && *c.loaded <= all+all/4 {
		rgb = rgb[:10]
	}
	return rgb, err
}
