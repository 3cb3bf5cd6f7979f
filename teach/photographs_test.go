package teach

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/importer"
	"edgeclassify/internal/testneed"
	"edgeclassify/models"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// superclasses of ImageNet's classes, by ranges of their numbers.
var superclasses = map[string][]int{
	"dogs": span(151, 269), "birds": slices.Concat(span(7, 25), span(80, 101), span(127, 147)),
	"insects": span(300, 327), "monkeys": span(365, 385), "food": span(924, 970),
	"vehicles":    {407, 408, 436, 468, 511, 555, 569, 573, 575, 609, 627, 654, 656, 661, 675, 705, 717, 734, 751, 757, 779, 803, 817, 829, 847, 864, 866, 867, 874},
	"instruments": {401, 402, 420, 432, 486, 494, 513, 541, 546, 558, 566, 577, 579, 593, 594, 642, 683, 684, 687, 699, 776, 822, 875, 881, 889},
}

func span(from, to int) (list []int) {
	for c := from; c < to; c++ {
		list = append(list, c)
	}
	return list
}

// photographs are those of the sample: one of every second class.
type photographs struct {
	base     *q8.Model
	features [][]int16
	truth    []int // of superclasses in the order of their names; -1: none
	labels   []string
}

func readPhotographs(t *testing.T) *photographs {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testneed.Sample(t, "images"), "*"))
	require.NoError(t, err)
	imported, err := importer.Import(testneed.Weights(t, "resnet50-keras"), models.ImportOptions{})
	require.NoError(t, err)
	g, err := imported.Logits().Fold()
	require.NoError(t, err)
	tables, err := models.RangeTables()
	require.NoError(t, err)
	table, err := quantize.ReadRanges(bytes.NewReader(tables["resnet50-keras.json"]))
	require.NoError(t, err)
	p := &photographs{features: make([][]int16, len(files))}
	p.base, err = calibrate.Model(g, table, q8.Provenance{}, 2)
	require.NoError(t, err)
	for label, classes := range superclasses {
		require.NotEmpty(t, classes)
		p.labels = append(p.labels, label)
	}
	slices.Sort(p.labels)
	for i := range files {
		p.truth = append(p.truth, slices.IndexFunc(p.labels, func(label string) bool { return slices.Contains(superclasses[label], 2*i) }))
	}
	plan, err := runtime.Compile(p.base.Network, runtime.Options{Threads: 1})
	require.NoError(t, err)
	sessions := []*runtime.Session{plan.NewSession(), plan.NewSession()}
	require.NoError(t, dataset.Each(t.Context(), len(sessions), len(files), nil, func(worker, i int) error {
		rgb, err := p.base.Preprocess.File(files[i])
		if err != nil {
			return err
		}
		_, err = sessions[worker].Run(rgb)
		p.features[i] = slices.Clone(sessions[worker].Features())
		return err
	}))
	return p
}

// draw takes so many of each class for training, and all others for judging.
func (p *photographs) draw(shots int, seed uint64) (train, others []int) {
	rng := rand.New(rand.NewPCG(seed, uint64(shots)))
	left := make([]int, len(p.labels))
	for k := range left {
		left[k] = shots
	}
	for _, i := range rng.Perm(len(p.truth)) {
		if k := p.truth[i]; k >= 0 && left[k] > 0 {
			left[k]--
			train = append(train, i)
		} else {
			others = append(others, i)
		}
	}
	return train, others
}

func (p *photographs) samples(index []int) (samples []Sample) {
	for _, i := range index {
		samples = append(samples, Sample{Features: p.features[i], Classes: []int{p.truth[i]}, Group: i, Name: fmt.Sprint(i)})
	}
	return samples
}

// judged is what heads of one number of photographs are worth.
type judged struct {
	right, asked, named, found, strangers, mistaken int
	auc, calibration                                float64
	quantization                                    Quantization
}

// Ten times 1 to 8 photographs of seven superclasses teach as much as scikit-learn
// makes of the same embeddings; the other 342 are none of these.
func TestPhotographs(t *testing.T) {
	testneed.Long(t, "runs ResNet50 on 500 photographs")
	readPhotographs(t).judge(t)
}

func (p *photographs) judge(t *testing.T) {
	t.Helper()
	seconds := scikitLearn(t, p)
	for i, shots := range []int{1, 3, 5, 8} {
		var j judged
		for seed := range uint64(10) {
			j.add(t, p, shots, seed)
		}
		accuracy, auc := float64(j.right)/float64(j.asked), j.auc/10
		t.Logf("%d photographs: accuracy %.3f, scikit-learn's %.3f; area under the curve %.3f; calibration error %.3f; with Unknown %.3f right, %.3f mistaken, %.3f of strangers found; int8: %+v",
			shots, accuracy, seconds[i], auc, j.calibration/10, float64(j.named)/float64(j.asked), float64(j.mistaken)/float64(j.asked), float64(j.found)/float64(j.strangers), j.quantization)
		require.GreaterOrEqual(t, accuracy, []float64{0.87, 0.95, 0.96, 0.965}[i])
		require.GreaterOrEqual(t, accuracy, seconds[i]-0.005)
		require.GreaterOrEqual(t, auc, []float64{0.75, 0.86, 0.88, 0.9}[i])
		require.Less(t, j.calibration/10, 0.1)
		require.Less(t, float64(j.mistaken)/float64(j.asked), 0.12)
		require.Greater(t, float64(j.found)/float64(j.strangers), 0.25)
		require.Less(t, j.quantization.Differ*200, j.quantization.Samples, "answers")
	}
}

func (j *judged) add(t *testing.T, p *photographs, shots int, seed uint64) {
	t.Helper()
	train, others := p.draw(shots, seed)
	h, _, err := Train(t.Context(), p.base.Network, &Set{Labels: p.labels, Samples: p.samples(train)}, Options{Threads: 2})
	require.NoError(t, err)
	test := p.samples(others)
	var pointers []*Sample
	for i := range test {
		pointers = append(pointers, &test[i])
	}
	v, err := h.base.embed(t.Context(), pointers, 2)
	require.NoError(t, err)
	q := h.compare(v, pointers)
	j.quantization = Quantization{j.quantization.Samples + q.Samples, j.quantization.Differ + q.Differ, max(j.quantization.Difference, q.Difference)}

	var in, out []float64
	var answers [][]float64
	for i := range test {
		logits, scaled := make([]int32, h.Dense.Out), make([]float32, h.Dense.Out)
		h.Logits(logits, test[i].Features)
		h.Dense.Scaled(scaled, logits)
		var z []float64
		for _, v := range scaled {
			z = append(z, float64(v))
		}
		named, k := largest(z), test[i].Classes[0]
		z = z[:len(p.labels)]
		softmax(z)
		if k < 0 {
			out = append(out, slices.Max(z))
			if j.strangers++; named == len(p.labels) {
				j.found++
			}
			continue
		}
		in, answers = append(in, slices.Max(z)), append(answers, z)
		j.asked++
		j.right += count(largest(z) == k)
		j.named += count(named == k)
		j.mistaken += count(named == len(p.labels))
	}
	j.auc += area(in, out)
	d := &data{first: slices.Repeat([]bool{true}, len(answers)), fold: make([]int, len(answers))}
	for _, s := range pointers {
		if s.Classes[0] >= 0 {
			d.samples = append(d.samples, s)
		}
	}
	j.calibration += (&trainer{data: d}).calibrationError(answers)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// scikitLearn is the best accuracy, for 1, 3, 5 and 8 photographs, of its logistic
// regression on the two parts of the embedding and on both.
func scikitLearn(t *testing.T, p *photographs) (accuracies []float64) {
	t.Helper()
	python := testneed.Python(t, "pip install scikit-learn", "sklearn")
	all := make([]*Sample, len(p.features))
	for i, f := range p.features {
		all[i] = &Sample{Features: f}
	}
	b, err := baseOf(p.base.Network)
	require.NoError(t, err)
	v, err := b.embed(t.Context(), all, 2)
	require.NoError(t, err)
	var draws [4][][2][]int
	for i, shots := range []int{1, 3, 5, 8} {
		for seed := range uint64(10) {
			train, others := p.draw(shots, seed)
			draws[i] = append(draws[i], [2][]int{train, others})
		}
	}
	raw, err := json.Marshal(map[string]any{"vectors": v.values, "samples": v.samples, "pooled": v.pooled, "truth": p.truth, "draws": draws})
	require.NoError(t, err)
	cmd := exec.Command(python, "testdata/photographs.py")
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=2", "OPENBLAS_NUM_THREADS=2")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(raw), os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &accuracies))
	return accuracies
}
