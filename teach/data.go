package teach

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// data is the samples in an order of their own, which their contents alone decide.
type data struct {
	labels  []string
	multi   bool
	unknown bool // a class Unknown is added
	samples []*Sample
	index   []int     // of each sample in the set
	target  []float64 // [classes][samples], 0 or 1
	weight  []float64 // of each sample: classes weigh the same, and so do a class' photographs
	view    []float64 // of each sample: its share of its photograph
	fold    []int     // in which a sample is left out; -1: in none, as its class has no other photograph
	folds   int
	counts  []int // photographs of each class
	total   int   // photographs
}

func newData(b *base, set *Set, o Options) (*data, error) {
	d := &data{labels: set.Labels, multi: o.Multi, unknown: !o.Multi && !o.NoUnknown && !slices.Contains(set.Labels, None)}
	if err := d.check(b, set); err != nil {
		return nil, err
	}
	d.index = make([]int, len(set.Samples))
	for i := range d.index {
		d.index[i] = i
	}
	slices.SortStableFunc(d.index, func(i, j int) int {
		a, b := &set.Samples[i], &set.Samples[j]
		return cmp.Or(slices.Compare(a.Classes, b.Classes), slices.Compare(a.Features, b.Features))
	})
	for _, i := range d.index {
		d.samples = append(d.samples, &set.Samples[i])
	}
	d.weigh()
	d.divide(o.Seed)
	return d, d.checkCounts()
}

func (d *data) check(b *base, set *Set) error {
	for k, label := range d.labels {
		switch {
		case label == "" || label == Unknown && d.unknown:
			return fmt.Errorf("label %q: take another name", label)
		case slices.Index(d.labels, label) < k:
			return fmt.Errorf("label %q stands there twice", label)
		}
	}
	if len(d.labels) < 2 {
		return errFewClasses
	}
	for i := range set.Samples {
		s := &set.Samples[i]
		if err := b.check(s); err != nil {
			return fmt.Errorf("sample %q: %w", s.Name, err)
		}
		if !d.multi && len(s.Classes) != 1 {
			return fmt.Errorf("sample %q has %d classes, want one", s.Name, len(s.Classes))
		}
		for _, k := range s.Classes {
			if k < 0 || k >= len(d.labels) {
				return fmt.Errorf("sample %q: class %d is none of %d", s.Name, k, len(d.labels))
			}
		}
	}
	return nil
}

// weigh makes targets and weights.
func (d *data) weigh() {
	n := len(d.samples)
	d.target, d.weight, d.view = make([]float64, len(d.labels)*n), make([]float64, n), make([]float64, n)
	d.counts = make([]int, len(d.labels))
	views, seen := map[int]float64{}, map[[2]int]bool{}
	for i, s := range d.samples {
		views[s.Group]++
		for _, k := range s.Classes {
			d.target[k*n+i] = 1
			if key := [2]int{k, s.Group}; !seen[key] {
				seen[key] = true
				d.counts[k]++
			}
		}
	}
	d.total = len(views)
	sums := make([]float64, len(d.labels))
	for i, s := range d.samples {
		d.view[i] = 1 / views[s.Group]
		if !d.multi {
			sums[s.Classes[0]] += d.view[i]
		}
	}
	for i, s := range d.samples {
		d.weight[i] = d.view[i]
		if !d.multi {
			d.weight[i] *= float64(d.total) / float64(len(sums)) / sums[s.Classes[0]]
		}
	}
}

const (
	mostFolds = 10
	manyFolds = 5   // where there are many photographs
	many      = 100 // photographs
)

// divide spreads each class' photographs over the folds.
func (d *data) divide(seed uint64) {
	groups, taken := make([][]int, len(d.labels)+1), map[int]bool{}
	for _, s := range d.samples {
		if taken[s.Group] {
			continue
		}
		taken[s.Group] = true
		k := len(d.labels) // none
		if len(s.Classes) > 0 {
			k = s.Classes[0]
		}
		groups[k] = append(groups[k], s.Group)
	}
	for _, g := range groups {
		d.folds = max(d.folds, len(g))
	}
	d.folds = min(d.folds, mostFolds)
	if d.total > many {
		d.folds = manyFolds
	}
	fold, next := map[int]int{}, 0
	for k, g := range groups {
		rng := rand.New(rand.NewPCG(seed, uint64(k)))
		rng.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
		for _, id := range g {
			fold[id] = next % d.folds
			next++
		}
		if len(g) == 1 && k < len(d.labels) {
			fold[g[0]] = -1
		}
	}
	d.fold = make([]int, len(d.samples))
	for i, s := range d.samples {
		d.fold[i] = fold[s.Group]
	}
	if d.folds < 2 {
		d.folds = 0
	}
}

// checkCounts reports classes without samples.
func (d *data) checkCounts() error {
	var empty []string
	for k, n := range d.counts {
		if n == 0 {
			empty = append(empty, fmt.Sprintf("%q", d.labels[k]))
		}
	}
	if len(empty) > 0 {
		return fmt.Errorf("no photograph of %s: add some, or remove the label", strings.Join(empty, ", "))
	}
	return nil
}

// regression of the samples, with these weights.
func (d *data) regression(k *kernel, weight []float64) *logistic {
	return &logistic{products: k, samples: len(d.samples), classes: len(d.labels), multi: d.multi, weight: weight, target: d.target}
}
