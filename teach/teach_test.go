package teach_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/int8"
	"edgeclassify/internal/testneed"
	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
	"edgeclassify/runtime"
	"edgeclassify/teach"
	"edgeclassify/tensor"
)

const (
	channels    = 48
	baseClasses = 30
)

// network is a small one: a convolution, a global sum and a classifier.
func network(t testing.TB) *q8.Model { return networkOf(t, channels, baseClasses) }

func networkOf(t testing.TB, channels, baseClasses int) *q8.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 0))
	weights := func(n int) []int8.Value {
		w := make([]int8.Value, n)
		for i := range w {
			w[i] = int8.Value(rng.IntN(201) - 100)
		}
		return w
	}
	plane, one := tensor.Shape{H: 8, W: 8, C: channels}, tensor.Shape{H: 1, W: 1, C: channels}
	conv := &int8.Conv{Window: tensor.Square(1, 1, 0), Groups: 1, InC: 3, OutC: channels, Weight: weights(3 * channels), Bias: make([]int32, channels), Multiplier: slices.Repeat([]int32{1 << 28}, channels), Scale: slices.Repeat([]float32{1}, channels)}
	dense := &int8.Dense{In: channels, Out: baseClasses, Weight: weights(channels * baseClasses), Bias: make([]int32, baseClasses), Scale: slices.Repeat([]float32{1e-4}, baseClasses)}
	active := int8.Tensor{Shape: plane, Type: int8.Int8, Scale: 0.1, Zero: []int8.Value{-128}}
	n, err := int8.NewNetwork("small", int8.Tensor{Shape: tensor.Shape{H: 8, W: 8, C: 3}, Type: int8.Int8, Zero: []int8.Value{0, 0, 0}}, []int8.Layer{
		{Name: "conv", Inputs: []tensor.ID{0}, Op: conv, Out: active},
		{Name: "pool", Inputs: []tensor.ID{1}, Op: int8.GlobalAveragePool{}, Out: int8.Tensor{Shape: one, Type: int8.Int16, Scale: 0.1 / 64, Bound: 255 * 64}},
		{Name: "fc", Inputs: []tensor.ID{2}, Op: dense, Out: int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: baseClasses}, Type: int8.Int32}},
	})
	require.NoError(t, err)
	spec := preprocess.Spec{Resize: preprocess.Resize{Short: 8}, Crop: preprocess.Square(8), Filter: preprocess.Bilinear, Order: preprocess.RGB, Std: [3]float32{1, 1, 1}}
	var classes []labels.Class
	for k := range baseClasses {
		classes = append(classes, labels.Class{ID: fmt.Sprint(k), Name: fmt.Sprint(k)})
	}
	m, err := q8.New(n, spec, classes, labels.Softmax, q8.Provenance{}, nil)
	require.NoError(t, err)
	return m
}

// objects are classes as features show them: prototypes with noise, by integers alone.
type objects struct {
	*rand.Rand
	prototypes [][]int16
}

func newObjects(classes int) *objects { return objectsOf(classes, channels) }

func objectsOf(classes, channels int) *objects {
	o := &objects{Rand: rand.New(rand.NewPCG(4, 0))}
	for range classes {
		p := make([]int16, channels)
		for i := range p {
			p[i] = int16(o.IntN(1000) * o.IntN(3))
		}
		o.prototypes = append(o.prototypes, p)
	}
	return o
}

func (o *objects) features(class, noise int) []int16 {
	f := slices.Clone(o.prototypes[class])
	for i := range f {
		f[i] += int16(o.IntN(noise))
	}
	return f
}

// set has so many photographs of each class.
func (o *objects) set(noise int, counts ...int) *teach.Set {
	s := &teach.Set{}
	for k, n := range counts {
		s.Labels = append(s.Labels, fmt.Sprint("class ", k))
		for i := range n {
			s.Samples = append(s.Samples, teach.Sample{Features: o.features(k, noise), Classes: []int{k}, Group: len(s.Samples), Name: fmt.Sprintf("%d/%d.jpg", k, i)})
		}
	}
	return s
}

func train(t testing.TB, m *q8.Model, set *teach.Set, o teach.Options) (*teach.Head, *teach.Report) {
	t.Helper()
	h, r, err := teach.Train(t.Context(), m.Network, set, o)
	require.NoError(t, err)
	return h, r
}

func answer(h *teach.Head, features []int16) string {
	logits, scaled := make([]int32, h.Dense.Out), make([]float32, h.Dense.Out)
	h.Logits(logits, features)
	h.Dense.Scaled(scaled, logits)
	return h.Classes[slices.Index(scaled, slices.Max(scaled))].Name
}

func encoded(t testing.TB, m *q8.Model, h *teach.Head) []byte {
	t.Helper()
	taught, err := h.Model(m, q8.Provenance{}, nil)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, q8.Encode(&b, taught))
	return b.Bytes()
}

func TestTrain(t *testing.T) {
	m, o := network(t), newObjects(7)
	set := o.set(900, 8, 8, 8, 8, 8)
	h, r := train(t, m, set, teach.Options{Threads: 2})
	right, unknown := 0, 0
	for range 40 {
		for k := range 5 {
			if answer(h, o.features(k, 900)) == set.Labels[k] {
				right++
			}
		}
		for k := 5; k < 7; k++ {
			if answer(h, o.features(k, 900)) == teach.Unknown {
				unknown++
			}
		}
	}
	t.Logf("%d of 200, %d of 80 unknown; %+v %+v", right, unknown, r.Accuracy, r.Unknown)
	require.Greater(t, right, 180)
	require.Greater(t, unknown, 20)
	require.Equal(t, 40, r.Photographs)
	require.Equal(t, 40, r.Accuracy.Of)
	require.Greater(t, r.Accuracy.Value, 0.8)
	require.Less(t, r.Accuracy.Low, r.Accuracy.Value)
	require.Greater(t, r.Unknown.AUC, 0.8)
	require.Zero(t, r.Quantization.Differ)
	require.Equal(t, 40, r.Quantization.Samples)
	require.Empty(t, r.Warnings)
	require.Len(t, r.Confusion, 5)
	total := 0
	for _, row := range r.Confusion {
		require.Len(t, row, 6)
		for _, n := range row {
			total += n
		}
	}
	require.Equal(t, 40, total)
	last := len(r.Curve) - 1
	require.True(t, r.Curve[last].Expected)
	require.Equal(t, 14.0, r.Curve[last].Photographs)
	require.GreaterOrEqual(t, r.Curve[last].Accuracy, r.Curve[last-1].Accuracy)
}

// The engine's answers are the head's, of a model whose base is taught already, too.
func TestModel(t *testing.T) {
	m, o := network(t), newObjects(4)
	features := func(m *q8.Model, rgb []uint8) ([]int16, []int32) {
		plan, err := runtime.Compile(m.Network, runtime.Options{Threads: 1})
		require.NoError(t, err)
		session := plan.NewSession()
		defer session.Close()
		logits, err := session.Run(rgb)
		require.NoError(t, err)
		return slices.Clone(session.Features()), slices.Clone(logits)
	}
	noise := teach.SelfTestImage(m.Network)
	selfTest, _ := features(m, noise)
	base := m
	for range 2 {
		h, r := train(t, base, o.set(1500, 5, 5, 5, 5), teach.Options{Threads: 1})
		taught, err := h.Model(base, q8.Provenance{Source: "small"}, selfTest)
		require.NoError(t, err)
		require.Equal(t, []string{"class 0", "class 1", "class 2", "class 3", teach.Unknown}, names(taught.Classes))
		var b bytes.Buffer
		require.NoError(t, q8.Encode(&b, taught))
		taught, err = q8.Decode(b.Bytes())
		require.NoError(t, err)
		if r.Method.Pooled < 1 {
			require.Len(t, taught.Layers, 5)
		} else {
			require.Len(t, taught.Layers, 4, "a classifier that nobody reads is left out")
		}

		same, logits := features(taught, noise)
		require.Equal(t, selfTest, same, "features stay the base's")
		require.NoError(t, taught.SelfTest.Check(logits))
		image := make([]uint8, len(noise))
		for i := range image {
			image[i] = uint8(i * 3)
		}
		f, logits := features(taught, image)
		got := make([]int32, len(logits))
		h.Logits(got, f)
		require.Equal(t, logits, got)
		reference, err := taught.Reference(image, nil)
		require.NoError(t, err)
		require.Equal(t, reference, got)
		base = taught
	}
}

func names(classes []labels.Class) (list []string) {
	for _, c := range classes {
		list = append(list, c.Name)
	}
	return list
}

// Neither the order of samples nor the number of threads plays a part.
func TestOrderAndThreads(t *testing.T) {
	m, set := network(t), newObjects(4).set(3000, 3, 9, 6, 5)
	h, want := train(t, m, set, teach.Options{Threads: 1})
	for seed := range uint64(3) {
		other := &teach.Set{Labels: set.Labels, Samples: slices.Clone(set.Samples)}
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(other.Samples), func(i, j int) {
			other.Samples[i], other.Samples[j] = other.Samples[j], other.Samples[i]
		})
		again, got := train(t, m, other, teach.Options{Threads: 1 + int(seed)})
		require.Equal(t, encoded(t, m, h), encoded(t, m, again))
		got.Suspects, want.Suspects = nil, nil // have the samples' numbers
		require.Equal(t, want, got)
	}
}

// The bytes are the same on every machine: this runs under QEMU, too.
func TestGolden(t *testing.T) {
	m := network(t)
	var sums []string
	for _, multi := range []bool{false, true} {
		h, _ := train(t, m, newObjects(5).set(4000, 6, 12, 9, 7, 8), teach.Options{Threads: 2, Multi: multi})
		sum := sha256.Sum256(encoded(t, m, h))
		sums = append(sums, hex.EncodeToString(sum[:8]))
	}
	require.Equal(t, []string{"6f78e35ac8775340", "fcf862f206b402d3"}, sums)
}

func TestNone(t *testing.T) {
	m, set := network(t), newObjects(3).set(900, 4, 4, 4)
	set.Labels[1] = teach.None
	h, r := train(t, m, set, teach.Options{Threads: 1})
	require.Equal(t, set.Labels, names(h.Classes))
	require.Nil(t, r.Unknown)
	set.Labels[1] = "cup"
	h, _ = train(t, m, set, teach.Options{Threads: 1, NoUnknown: true})
	require.Equal(t, set.Labels, names(h.Classes))
}

func TestOnePhotographOfEach(t *testing.T) {
	m := network(t)
	for _, counts := range [][]int{{1, 1}, {1, 1, 1, 1}, slices.Repeat([]int{1}, 101), {1, 5}} {
		set := newObjects(len(counts)).set(300, counts...)
		h, r := train(t, m, set, teach.Options{Threads: 1})
		require.NotEmpty(t, r.Warnings)
		for k, label := range set.Labels {
			require.Equal(t, label, answer(h, set.Samples[slices.IndexFunc(set.Samples, func(s teach.Sample) bool { return s.Classes[0] == k })].Features))
		}
		if counts[len(counts)-1] == 1 {
			require.Zero(t, r.Method.Folds)
			require.Zero(t, r.Accuracy.Of)
		} else {
			require.Equal(t, 5, r.Accuracy.Of, "one that has no other like it cannot be left out")
		}
	}
}

// A class of few photographs does not drown among those of many.
func TestUnevenClasses(t *testing.T) {
	m, o := network(t), newObjects(3)
	h, r := train(t, m, o.set(3000, 4, 60, 60), teach.Options{Threads: 2, NoUnknown: true})
	require.Contains(t, r.Warnings[0], `few photographs of "class 0" (4) beside "class 1" (60)`)
	var right [3]int
	for range 50 {
		for k := range 3 {
			if answer(h, o.features(k, 3000)) == fmt.Sprint("class ", k) {
				right[k]++
			}
		}
	}
	t.Log(right)
	require.Greater(t, right[0], 25)
}

// With few photographs of each class those weigh the same, too.
func TestCurveOfUnevenClasses(t *testing.T) {
	_, r := train(t, network(t), newObjects(4).set(4000, 8, 10, 12, 90), teach.Options{Threads: 2})
	t.Log(r.Curve)
	require.Greater(t, r.Curve[0].Accuracy, 0.8)
}

// What is counted of Unknown are its answers.
func TestUnknownIsCountedByAnswers(t *testing.T) {
	_, r := train(t, network(t), newObjects(8).set(9000, 8, 8, 8, 8, 8, 8, 8, 8), teach.Options{Threads: 2})
	unknown := 0
	for _, row := range r.Confusion {
		unknown += row[len(r.Classes)]
	}
	require.Positive(t, unknown)
	require.LessOrEqual(t, r.Unknown.Mistaken, 0.1)
	require.InDelta(t, float64(unknown)/float64(r.Accuracy.Of), r.Unknown.Mistaken, 1e-12)
}

// Copies and views of a photograph are left out with it.
func TestCopiesStayTogether(t *testing.T) {
	m, o := network(t), newObjects(2)
	set := o.set(30000, 6, 6) // hardly more than noise
	_, alone := train(t, m, set, teach.Options{Threads: 1, NoUnknown: true})
	copies, views := *set, *set
	for i, s := range set.Samples {
		s.Group += 100
		copies.Samples = append(copies.Samples, s)
		s.Group = i
		s.Features = slices.Clone(s.Features)
		s.Features[0]++
		views.Samples = append(views.Samples, s)
	}
	_, r := train(t, m, &copies, teach.Options{Threads: 1, NoUnknown: true})
	require.Equal(t, 12, r.Photographs)
	require.Equal(t, 24, r.Samples)
	require.Equal(t, alone.Accuracy, r.Accuracy)
	_, r = train(t, m, &views, teach.Options{Threads: 1, NoUnknown: true})
	require.Equal(t, 12, r.Photographs)
	require.Equal(t, 12, r.Accuracy.Of)
	require.InDelta(t, alone.Accuracy.Value, r.Accuracy.Value, 0.2)
}

func TestSuspects(t *testing.T) {
	m, o := network(t), newObjects(5)
	set := o.set(600, 8, 8, 8, 8, 8)
	set.Samples[3].Classes = []int{2} // mislabelled
	twice := set.Samples[9]
	twice.Classes, twice.Group, twice.Name = []int{0}, 100, "twice.jpg"
	almost := set.Samples[20]
	almost.Features, almost.Group, almost.Name = slices.Clone(almost.Features), 101, "almost.jpg"
	almost.Features[0]++
	set.Samples = append(set.Samples, twice, almost)
	_, r := train(t, m, set, teach.Options{Threads: 1})
	reasons := map[string][]string{}
	for _, s := range r.Suspects {
		reasons[s.Reason] = append(reasons[s.Reason], s.Name)
		require.Equal(t, set.Samples[s.Sample].Name, s.Name)
	}
	require.Contains(t, reasons[teach.Mislabelled], "0/3.jpg")
	require.Subset(t, []string{"twice.jpg", "1/1.jpg"}, reasons[teach.Ambiguous])
	require.Len(t, reasons[teach.Ambiguous], 1)
	require.Subset(t, []string{"almost.jpg", "2/4.jpg"}, reasons[teach.Redundant])
	require.Len(t, reasons[teach.Redundant], 1)
	require.Contains(t, fmt.Sprint(r.Warnings), "look alike to the network and have different labels")
}

func TestMulti(t *testing.T) {
	m, o := network(t), newObjects(3)
	sample := func(classes ...int) teach.Sample {
		f := make([]int16, channels)
		for i := range f {
			f[i] = int16(o.IntN(300))
		}
		for _, k := range classes {
			for i, v := range o.prototypes[k] {
				f[i] += v
			}
		}
		return teach.Sample{Features: f, Classes: classes, Group: o.IntN(1 << 30)}
	}
	all := [][]int{nil, {0}, {1}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}}
	set := &teach.Set{Labels: []string{"a", "b", "c"}}
	for range 6 {
		for _, classes := range all {
			set.Samples = append(set.Samples, sample(classes...))
		}
	}
	h, r := train(t, m, set, teach.Options{Threads: 2, Multi: true})
	require.Equal(t, labels.Sigmoid, h.Activation)
	require.Equal(t, set.Labels, names(h.Classes))
	require.Greater(t, r.Accuracy.Value, 0.8)
	require.Zero(t, r.Quantization.Differ)
	logits, right := make([]int32, 3), 0
	for range 10 {
		for _, classes := range all {
			h.Logits(logits, sample(classes...).Features)
			ok := true
			for k, z := range logits {
				ok = ok && (z > 0) == slices.Contains(classes, k)
			}
			if ok {
				right++
			}
		}
	}
	require.Greater(t, right, 65, "of 80")
}

// More samples than have their products computed.
func TestManySamples(t *testing.T) {
	testneed.Long(t, "trains on thousands")
	m, o := network(t), newObjects(3)
	set := o.set(4000, 1500, 400, 600)
	h, r := train(t, m, set, teach.Options{Threads: 2})
	require.Equal(t, 2500, r.Photographs)
	require.Equal(t, []int{1500, 400, 600}, []int{r.Classes[0].Photographs, r.Classes[1].Photographs, r.Classes[2].Photographs})
	require.Equal(t, 2000, r.Accuracy.Of)
	right := 0
	for range 60 {
		for k := range 3 {
			if answer(h, o.features(k, 4000)) == set.Labels[k] {
				right++
			}
		}
	}
	require.Greater(t, right, 150, "of 180")
}

func TestCancel(t *testing.T) {
	m, set := network(t), newObjects(3).set(900, 8, 8, 8)
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, _, err := teach.Train(ctx, m.Network, set, teach.Options{Threads: 1, Progress: func(done, total int) {
		calls++
		require.Equal(t, 1, done)
		cancel()
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, calls)
	last := 0
	_, _ = train(t, m, set, teach.Options{Threads: 1, Progress: func(done, total int) {
		require.GreaterOrEqual(t, done, last)
		require.LessOrEqual(t, done, total)
		last = done
		calls = total
	}})
	require.Equal(t, calls, last, "ends with all")
}

func TestErrors(t *testing.T) {
	m := network(t)
	for want, change := range map[string]func(s *teach.Set){
		"one class alone cannot be told":         func(s *teach.Set) { s.Labels, s.Samples = s.Labels[:1], s.Samples[:4] },
		`no photograph of "class 1"`:             func(s *teach.Set) { s.Samples = s.Samples[:4] },
		`label "class 0" stands there twice`:     func(s *teach.Set) { s.Labels[1] = s.Labels[0] },
		`label "unknown" is the answer to what`:  func(s *teach.Set) { s.Labels[1] = teach.Unknown },
		`a label is empty`:                       func(s *teach.Set) { s.Labels[1] = "" },
		`"0/1.jpg" has 2 classes, want one`:      func(s *teach.Set) { s.Samples[1].Classes = []int{0, 1} },
		`"0/1.jpg": class 2 is none of 2`:        func(s *teach.Set) { s.Samples[1].Classes = []int{2} },
		`"0/1.jpg": 3 features, the network has`: func(s *teach.Set) { s.Samples[1].Features = []int16{1, 2, 3} },
		`"0/1.jpg": all features are 0`:          func(s *teach.Set) { s.Samples[1].Features = make([]int16, channels) },
		"1001 labels, at most 1000":              func(s *teach.Set) { s.Labels = append(s.Labels, many(999)...) },
	} {
		s := newObjects(2).set(900, 4, 4)
		change(s)
		_, _, err := teach.Train(t.Context(), m.Network, s, teach.Options{Threads: 1})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "teach: ")
	}
}

func many(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("label ", i))
	}
	return list
}

// As many as one collects in an afternoon, with features and classes as ResNet50's.
func BenchmarkTrain(b *testing.B) {
	m, set := networkOf(b, 2048, 1000), objectsOf(10, 2048).set(8000, slices.Repeat([]int{50}, 10)...)
	for b.Loop() {
		_, _ = train(b, m, set, teach.Options{Threads: 1})
	}
}
