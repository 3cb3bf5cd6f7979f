package calibrate

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/models"
)

func find(t *testing.T, g *models.Graph, pictures Images, o SearchOptions) *Found {
	t.Helper()
	o.Skip = func(error) {}
	o.Threads = max(1, o.Threads)
	f, err := Search(t.Context(), g, pictures, o)
	require.NoError(t, err)
	return f
}

func quantizedBy(t *testing.T, g *models.Graph, table *RangeTable) *int8.Network {
	t.Helper()
	n, err := Quantize(g, table)
	require.NoError(t, err)
	require.NoError(t, n.Validate())
	return n
}

// stored is a table as a file has it.
func stored(t *testing.T, table *RangeTable) *RangeTable {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, table.Write(&file))
	read, err := ReadRanges(&file)
	require.NoError(t, err)
	return read
}

// signalToNoise is the ratio of the float logits' power to that of the errors on all
// pictures that can be loaded, in dB.
func signalToNoise(t *testing.T, g *models.Graph, n *int8.Network, pictures noise) float64 {
	t.Helper()
	var rgbs [][]uint8
	var exact [][]float32
	for i := range pictures.n {
		if rgb, err := pictures.Load(i); err == nil {
			rgbs, exact = append(rgbs, rgb), append(exact, floatLogits(t, g, rgb))
		}
	}
	logits, err := int8Logits(t.Context(), n, rgbs, 2)
	require.NoError(t, err)
	db, _ := compare(exact, logits)
	return db
}

func TestSearchDoesNotDependOnThreads(t *testing.T) {
	g, pictures := residualClassifier(rand.New(rand.NewPCG(1, 1)))
	pictures.n, pictures.missing = 24, map[int]bool{2: true, 11: true}
	want := find(t, g, pictures, SearchOptions{Threads: 1})
	require.Equal(t, want.Planned, want.Tried)
	require.Equal(t, want, find(t, g, pictures, SearchOptions{Threads: 3}))
}

// Each trial that is kept is better than those before it, up to the one that is
// taken anyway.
func TestSearchKeepsWhatHelps(t *testing.T) {
	g, pictures := residualClassifier(rand.New(rand.NewPCG(2, 1)))
	f := find(t, g, pictures, SearchOptions{})
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
		case trial.Kept:
			require.Greater(t, trial.MeanSQNR, best, trial.Name)
			best = trial.MeanSQNR
		default:
			require.LessOrEqual(t, trial.MeanSQNR, best, trial.Name)
		}
	}
	require.Greater(t, best, f.Trials[0].MeanSQNR+1)

	plain := seen(t, g, pictures, 2).Table(MSE)
	plain.Means = nil
	require.Greater(t, signalToNoise(t, g, quantizedBy(t, g, f.Table), pictures),
		signalToNoise(t, g, quantizedBy(t, g, plain), pictures), "on all pictures")
}

// Of a sound network and of one that channels ruin, the search finds tables that
// give the same network once stored. The ruined one it mends.
func TestSearchMendsOutliersAndItsTableIsStored(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(3, 1)))
	corrupted := corrupt(t, rand.New(rand.NewPCG(4, 1)), g)
	var sqnr []float64
	for _, net := range []*models.Graph{g, corrupted} {
		f := find(t, net, pictures, SearchOptions{})
		require.Equal(t, net == corrupted, slices.ContainsFunc(f.Trials, func(trial Trial) bool {
			return trial.Kept && strings.HasPrefix(trial.Name, "equalization")
		}))
		read := stored(t, f.Table)
		require.Equal(t, f.Table, read)
		n := quantizedBy(t, net, f.Table)
		require.Equal(t, n, quantizedBy(t, net, read))
		sqnr = append(sqnr, signalToNoise(t, net, n, pictures))
	}
	t.Logf("%.1f dB, of the corrupted network %.1f dB", sqnr[0], sqnr[1])
	require.Greater(t, sqnr[1], sqnr[0]-2)

	f := find(t, corrupted, pictures, SearchOptions{WithoutEqualization: true})
	require.Nil(t, f.Table.Exponents)
	require.Less(t, signalToNoise(t, corrupted, quantizedBy(t, corrupted, f.Table), pictures), sqnr[1]-6)
}

// A candidate that no integer network can hold is not kept.
func TestImpossibleCandidatesDoNotEndTheSearch(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(12, 1)))
	s := &search{SearchOptions: SearchOptions{Threads: 1}, graph: g, tables: map[choice]*RangeTable{}}
	require.NoError(t, s.prepare(t.Context(), pictures))
	impossible := s.widening([]string{"c_conv"}, 1e-30)
	require.ErrorContains(t, s.try(t.Context(), impossible), `layer "c_conv": channel 0`)
	first := s.moves()[0]
	require.NoError(t, s.try(t.Context(), first))
	require.NoError(t, s.try(t.Context(), impossible))
	require.Len(t, s.trials, 1)
	require.Empty(t, s.best.factors)
}

func TestSearchLeavesOutWhatItIsTold(t *testing.T) {
	g, pictures := residualClassifier(rand.New(rand.NewPCG(5, 1)))
	f := find(t, g, pictures, SearchOptions{WithoutBias: true, WithoutEqualization: true, WithoutRounding: true})
	require.Nil(t, f.Table.Means)
	require.Nil(t, f.Table.Shifts)
	require.Nil(t, f.Table.Exponents)
	require.Nil(t, f.Table.Steps)
	for _, trial := range f.Trials {
		require.NotContains(t, trial.Name, "bias")
		require.NotContains(t, trial.Name, "equalization")
		require.NotContains(t, trial.Name, "moments")
	}
}

func TestBudgetEndsTheSearch(t *testing.T) {
	g, pictures := residualClassifier(rand.New(rand.NewPCG(6, 1)))
	f := find(t, g, pictures, SearchOptions{Budget: time.Nanosecond})
	require.Equal(t, 1, f.Tried)
	require.Greater(t, f.Planned, 20)
	require.Len(t, f.Trials, 1)
	// Methods were not compared by then: the best in general, of all pictures.
	require.Equal(t, seen(t, g, pictures, 2).Table(ClipMSE), f.Table)
}

func TestSearchOfFewPicturesTakesTheDefaults(t *testing.T) {
	g, pictures := trained(t, rand.New(rand.NewPCG(7, 1)))
	prior, err := dataFree(t, g)
	require.NoError(t, err)
	folded, err := Fold(g)
	require.NoError(t, err)
	pictures.n, pictures.missing = leastImages, map[int]bool{5: true} // one too few
	for _, prior := range []*RangeTable{prior, nil} {
		f := find(t, folded, pictures, SearchOptions{Prior: prior})
		require.Empty(t, f.Trials)
		require.Zero(t, f.Planned)
		want := seen(t, folded, pictures, 1).Table(ClipMSE)
		if prior != nil {
			want = want.Blend(prior)
		}
		require.Equal(t, want, f.Table)
	}
	require.Nil(t, find(t, folded, pictures, SearchOptions{WithoutBias: true}).Table.Means)

	pictures.missing = nil
	require.NotEmpty(t, find(t, folded, pictures, SearchOptions{Prior: prior}).Trials)
}

// Pictures that cannot be loaded are told of once, in order, and do not count.
func TestSearchLeavesOutUnreadablePicturesOnce(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(8, 1)))
	pictures.n, pictures.missing = 30, map[int]bool{0: true, 13: true, 29: true}
	var skipped []error
	o := SearchOptions{Threads: 3, Skip: func(err error) { skipped = append(skipped, err) }}
	f, err := Search(t.Context(), g, pictures, o)
	require.NoError(t, err)
	require.Len(t, skipped, 3)
	all := seen(t, g, pictures, 2)
	require.Equal(t, 27, f.Table.Images)
	require.Equal(t, all.ImagesHash, f.Table.ImagesHash, "as if all pictures were observed at once")

	o.Skip = nil
	_, err = Search(t.Context(), g, pictures, o)
	require.ErrorContains(t, err, "no such picture")
}

func TestSearchWithoutPictures(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(9, 1)))
	o := SearchOptions{Threads: 2, Skip: func(error) {}}
	pictures.n, pictures.missing = 3, map[int]bool{0: true, 1: true, 2: true}
	_, err := Search(t.Context(), g, pictures, o)
	require.ErrorContains(t, err, "none of the pictures could be loaded")
	pictures.n = 0
	_, err = Search(t.Context(), g, pictures, o)
	require.ErrorContains(t, err, "no pictures to calibrate on")
}

// A search ends with the context's error wherever it is.
func TestSearchIsCancelled(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(10, 1)))
	stages := map[string]bool{}
	o := SearchOptions{Threads: 2, Progress: func(stage string, _, _ int) { stages[stage] = true }}
	_, err := Search(t.Context(), g, pictures, o)
	require.NoError(t, err)
	require.Greater(t, len(stages), 2)
	for want := range stages {
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(stage string, _, _ int) {
			if stage == want {
				cancel()
			}
		}
		_, err := Search(ctx, g, pictures, o)
		require.ErrorIs(t, err, context.Canceled, want)
	}
}

// Pictures of another size than at first.
func TestRunThatFailsEndsTheSearch(t *testing.T) {
	g, pictures := streamClassifier(rand.New(rand.NewPCG(11, 1)))
	loaded := 0
	_, err := Search(t.Context(), g, cut{pictures, &loaded}, SearchOptions{Threads: 1})
	require.ErrorContains(t, err, "runtime: the picture has 10 bytes")
}

// cut pictures are whole when the search runs the float network on all of them,
// and cut off when it loads those held out.
type cut struct {
	Images
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
