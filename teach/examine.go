package teach

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"edgeclassify/internal/stats"
	"edgeclassify/labels"
)

// report says what cross-validation found, and how much all was.
func (t *trainer) report(ctx context.Context, all *data, c *choice) (*Report, error) {
	r := &Report{Photographs: all.total, Samples: len(all.samples), Method: Method{
		Name: "logistic", Pooled: c.share, Strength: c.strength, Temperature: c.temperature, Folds: t.folds, Candidates: c.tried,
	}}
	for k, label := range t.labels {
		r.Classes = append(r.Classes, ClassReport{Label: label, Photographs: all.counts[k], Accuracy: stats.ShareOf(0, 0)})
	}
	r.Accuracy = stats.ShareOf(0, 0)
	if c.logits != nil {
		t.count(r, t.answers(c, t.unknown))
		answers := t.answers(c, false)
		r.Calibration = t.calibrationError(answers)
		r.Suspects = t.mislabelled(answers)
		if err := t.learn(ctx, r, c); err != nil {
			return nil, err
		}
	}
	if c.strange != nil && c.logits != nil {
		r.Unknown = t.openness(c)
	}
	r.Suspects = append(r.Suspects, t.alike()...)
	r.Warnings = all.warnings(r)
	return r, nil
}

// answers are probabilities of samples left out [samples][classes, and Unknown].
func (t *trainer) answers(c *choice, unknown bool) [][]float64 {
	n := len(t.samples)
	all := make([][]float64, n)
	for i := range all {
		var z []float64
		for k := range t.labels {
			z = append(z, c.logits[k*n+i]/c.temperature)
		}
		if unknown {
			z = append(z, c.unknown)
		}
		probabilities(z, t.multi)
		all[i] = z
	}
	return all
}

func probabilities(z []float64, multi bool) {
	if !multi {
		softmax(z)
		return
	}
	for k, v := range z {
		z[k] = sigmoid(v)
	}
}

// count makes accuracies and the confusion matrix of photographs left out.
func (t *trainer) count(r *Report, answers [][]float64) {
	right, total := make([]int, len(t.labels)), make([]int, len(t.labels))
	all, count := 0, 0
	if !t.multi {
		r.Confusion = make([][]int, len(t.labels))
		for k := range r.Confusion {
			r.Confusion[k] = make([]int, len(answers[0]))
		}
	}
	for i, p := range answers {
		if !t.judged(i) {
			continue
		}
		ok := t.correct(p, i)
		if all++; ok {
			count++
		}
		for _, k := range t.samples[i].Classes {
			if total[k]++; ok {
				right[k]++
			}
			if !t.multi {
				r.Confusion[k][largest(p)]++
			}
		}
	}
	r.Accuracy = stats.ShareOf(count, all)
	for k := range right {
		r.Classes[k].Accuracy = stats.ShareOf(right[k], total[k])
	}
}

// correct says whether a sample's probabilities give its class, or each of its classes
// and no other.
func (t *trainer) correct(p []float64, sample int) bool {
	if !t.multi {
		return largest(p) == t.samples[sample].Classes[0]
	}
	for k, v := range p {
		if (v > 0.5) != slices.Contains(t.samples[sample].Classes, k) {
			return false
		}
	}
	return true
}

func largest(p []float64) int { return slices.Index(p, slices.Max(p)) }

// calibrationError is the expected one, over ten bins of the answer's probability (Guo
// et al., 2017); of independent classes, over the probabilities of all.
func (t *trainer) calibrationError(answers [][]float64) float64 {
	var sums, rights [10]float64
	total := 0.0
	put := func(p float64, right bool) {
		bin := min(int(p*10), 9)
		sums[bin] += p
		if right {
			rights[bin]++
		}
		total++
	}
	for i, p := range answers {
		if !t.judged(i) {
			continue
		}
		if !t.multi {
			put(slices.Max(p), t.correct(p, i))
			continue
		}
		for k, v := range p {
			put(v, slices.Contains(t.samples[i].Classes, k))
		}
	}
	sum := 0.0
	for bin := range sums {
		sum += math.Abs(sums[bin] - rights[bin])
	}
	return sum / max(total, 1)
}

// maxSuspects of each kind are listed.
const maxSuspects = 20

// mislabelled are the photographs which those taught without them hold for another class.
func (t *trainer) mislabelled(answers [][]float64) (list []Suspect) {
	for i, p := range answers {
		if !t.judged(i) || t.multi {
			continue
		}
		if k := largest(p); k != t.samples[i].Classes[0] && p[k] > 0.5 {
			s := t.suspect(i, Mislabelled)
			s.Looks, s.Probability = t.labels[k], p[k]
			list = append(list, s)
		}
	}
	slices.SortStableFunc(list, func(a, b Suspect) int { return cmp.Compare(b.Probability, a.Probability) })
	return list[:min(len(list), maxSuspects)]
}

func (t *trainer) suspect(i int, reason string) Suspect {
	s := Suspect{Name: t.samples[i].Name, Sample: t.index[i], Reason: reason}
	if classes := t.samples[i].Classes; len(classes) > 0 {
		s.Label = t.labels[classes[0]]
	}
	return s
}

// same is the product of features of length 1 from which on two photographs show the
// same: two frames of a still scene have about 0.999, two photographs of an object less
// than 0.98.
const same = 0.995

// alike are photographs too similar to others: of no use in their class, contradictions
// in another.
func (t *trainer) alike() (list []Suspect) {
	listed := map[string]int{}
	for i := range t.samples {
		row := t.gram.pooled[i*len(t.samples) : (i+1)*len(t.samples)]
		for j := range i {
			if !t.first[i] || !t.first[j] || float64(row[j]) < same*unit*unit {
				continue
			}
			reason := Redundant
			if !slices.Equal(t.samples[i].Classes, t.samples[j].Classes) {
				reason = Ambiguous
			}
			if listed[reason]++; listed[reason] <= maxSuspects {
				s := t.suspect(i, reason)
				s.Other = t.samples[j].Name
				list = append(list, s)
			}
			break
		}
	}
	return list
}

// learn makes the learning curve: the cross-validation with a quarter and a half of the
// photographs, and what twice as many would bring if errors go on falling by the same
// factor (a power law; Hestness et al., "Deep Learning Scaling is Predictable", 2017).
func (t *trainer) learn(ctx context.Context, r *Report, c *choice) error {
	all := float64(t.total) / float64(len(t.labels)) * float64(t.folds-1) / float64(t.folds)
	for _, part := range []float64{0.25, 0.5} {
		most := int(math.Round(all * part))
		if most < 1 || len(r.Curve) > 0 && r.Curve[0].Photographs == float64(most) {
			continue
		}
		by := t.cross()
		by.uses = func(fold, i int) bool { return t.before(i, fold) < most }
		logits, _, err := t.validate(ctx, c.share, c.strength, by, nil)
		if err != nil {
			return err
		}
		r.Curve = append(r.Curve, Point{Photographs: float64(most), Accuracy: t.right(logits).Value})
	}
	now := t.right(c.logits).Value
	r.Curve = append(r.Curve, Point{Photographs: math.Round(all*10) / 10, Accuracy: now})
	if n := len(r.Curve); n > 1 {
		before, wrong := 1-r.Curve[n-2].Accuracy, 1-now
		if wrong > 0 && wrong < before {
			wrong *= wrong / before
		}
		r.Curve = append(r.Curve, Point{Photographs: math.Round(all*20) / 10, Accuracy: 1 - wrong, Expected: true})
	}
	return nil
}

// before is the number of photographs of a sample's class before it that are not of a
// fold: that of its own among those that a fold trains on.
func (t *trainer) before(sample, fold int) int {
	rank := t.rank[sample]
	if fold < 0 || t.fold[sample] < 0 {
		return rank
	}
	// Those of one class are in the folds by turns.
	distance := (t.fold[sample] - fold + t.folds) % t.folds
	return rank - (rank+t.folds-distance)/t.folds
}

// openness tells how well classes that were left out are known as such.
func (t *trainer) openness(c *choice) *OpenSet {
	known, strange := t.energies(c.logits, c.temperature), t.energies(c.strange, c.temperature)
	var in, out []float64
	mistaken, found := 0, 0
	for i := range t.samples {
		if t.judged(i) {
			in = append(in, known[i])
			if t.highest(c, c.logits, i) < c.unknown {
				mistaken++
			}
		}
		if t.first[i] {
			out = append(out, strange[i])
			if t.highest(c, c.strange, i) < c.unknown {
				found++
			}
		}
	}
	return &OpenSet{AUC: area(in, out), Found: float64(found) / float64(len(out)), Mistaken: float64(mistaken) / float64(len(in))}
}

// area under the curve of receiver operating characteristics: how often one of in is
// above one of out.
func area(in, out []float64) float64 {
	above := 0.0
	for _, a := range in {
		for _, b := range out {
			if a > b {
				above++
			} else if a == b {
				above += 0.5
			}
		}
	}
	return above / float64(len(in)*len(out))
}

// few photographs of a class make a warning, and so do many times as many of another.
const (
	few    = 3
	uneven = 10
)

func (d *data) warnings(r *Report) (list []string) {
	var weak []string
	for k, n := range d.counts {
		if n < few {
			weak = append(weak, fmt.Sprintf("%q (%d)", d.labels[k], n))
		}
	}
	if len(weak) > 0 {
		list = append(list, fmt.Sprintf("few photographs or bursts of %s: at least %d, better 10, from all sides and in the light of the place, make a class reliable", strings.Join(weak, ", "), few))
	}
	if low, high := slices.Min(d.counts), slices.Max(d.counts); high >= uneven*low {
		list = append(list, fmt.Sprintf("few photographs of %q (%d) beside %q (%d): more of the former would help most", d.labels[slices.Index(d.counts, low)], low, d.labels[slices.Index(d.counts, high)], high))
	}
	for _, s := range r.Suspects {
		if s.Reason == Ambiguous {
			list = append(list, fmt.Sprintf("%s (%s) and %s look alike to the network and have different labels: remove one if they show the same", s.Name, s.Label, s.Other))
		}
	}
	if d.folds == 0 {
		list = append(list, "no photograph could be left out: nothing is known of the accuracy")
	}
	return list
}

// maxCompared samples are those on which the int8 head is compared with the float one.
const maxCompared = 1000

// compare runs the head beside the float one that it was made of.
func (h *Head) compare(v *vectors, samples []*Sample) (q Quantization) {
	logits, scaled := make([]int32, h.Dense.Out), make([]float32, h.Dense.Out)
	multi := h.Activation == labels.Sigmoid
	for i := 0; i < len(samples); i += 1 + len(samples)/maxCompared {
		h.Logits(logits, samples[i].Features)
		h.Dense.Scaled(scaled, logits)
		want, got := h.float.logits(v, i), make([]float64, h.Dense.Out)
		for k, z := range scaled {
			got[k] = float64(z)
		}
		probabilities(want, multi)
		probabilities(got, multi)
		differs := !multi && largest(want) != largest(got)
		for k := range want {
			differs = differs || multi && (want[k] > 0.5) != (got[k] > 0.5)
			q.Difference = max(q.Difference, math.Abs(want[k]-got[k]))
		}
		if q.Samples++; differs {
			q.Differ++
		}
	}
	return q
}
