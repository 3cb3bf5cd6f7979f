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
	group   []int     // of each sample: the photograph that it is a view of
	rank    []int     // of each sample's photograph among those of its class
	fold    []int     // in which a sample is left out; -1: in none, as its class has no other photograph
	folds   int
	first   []bool // whether a sample is its photograph itself
	counts  []int  // photographs of each class
	total   int    // photographs
}

// newData checks samples of a set, by their numbers.
func newData(b *base, set *Set, index []int, o Options) (*data, error) {
	d := &data{labels: set.Labels, multi: o.Multi, unknown: o.addsUnknown(set.Labels)}
	if err := o.Check(set.Labels); err != nil {
		return nil, err
	}
	if err := d.check(b, set); err != nil {
		return nil, err
	}
	d.index = slices.Clone(index)
	slices.SortStableFunc(d.index, func(i, j int) int {
		a, b := &set.Samples[i], &set.Samples[j]
		return cmp.Or(slices.Compare(a.Classes, b.Classes), slices.Compare(a.Features, b.Features))
	})
	d.group = make([]int, len(d.index))
	for at, i := range d.index {
		s := &set.Samples[i]
		d.samples, d.group[at] = append(d.samples, s), s.Group
	}
	d.join()
	d.weigh()
	d.divide(o.Seed)
	return d, d.checkCounts()
}

func (d *data) check(b *base, set *Set) error {
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

// join makes one group of those that have a sample in common: no photograph is left out
// whose copy is not.
func (d *data) join() {
	joined := map[int]int{}
	of := func(g int) int {
		for next, ok := joined[g]; ok; next, ok = joined[g] {
			g = next
		}
		return g
	}
	for i := 1; i < len(d.samples); i++ {
		a, b := d.samples[i-1], d.samples[i]
		if g, h := of(a.Group), of(b.Group); g != h && slices.Equal(a.Classes, b.Classes) && slices.Equal(a.Features, b.Features) {
			joined[h] = g
		}
	}
	for i, s := range d.samples {
		d.group[i] = of(s.Group)
	}
}

// weigh makes targets and weights.
func (d *data) weigh() {
	n := len(d.samples)
	d.target, d.weight, d.first = make([]float64, len(d.labels)*n), make([]float64, n), make([]bool, n)
	d.counts = make([]int, len(d.labels))
	views, seen, first := map[int]float64{}, map[[2]int]bool{}, map[int]int{}
	for i, s := range d.samples {
		g := d.group[i]
		views[g]++
		if other, ok := first[g]; !ok || d.index[i] < d.index[other] {
			first[g] = i
		}
		for _, k := range s.Classes {
			d.target[k*n+i] = 1
			if key := [2]int{k, g}; !seen[key] {
				seen[key] = true
				d.counts[k]++
			}
		}
	}
	d.total = len(views)
	sums := make([]float64, len(d.labels))
	for i, s := range d.samples {
		d.weight[i], d.first[i] = 1/views[d.group[i]], first[d.group[i]] == i
		if !d.multi {
			sums[s.Classes[0]] += d.weight[i]
		}
	}
	for i, s := range d.samples {
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
	for i, s := range d.samples {
		g := d.group[i]
		if taken[g] {
			continue
		}
		taken[g] = true
		k := len(d.labels) // none
		if len(s.Classes) > 0 {
			k = s.Classes[0]
		}
		groups[k] = append(groups[k], g)
	}
	for _, g := range groups {
		d.folds = max(d.folds, len(g))
	}
	d.folds = min(d.folds, mostFolds)
	if d.folds > 1 && d.total > many {
		d.folds = manyFolds
	}
	fold, rank, next := map[int]int{}, map[int]int{}, 0
	for k, g := range groups {
		rng := rand.New(rand.NewPCG(seed, uint64(k)))
		rng.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
		for i, id := range g {
			fold[id], rank[id] = next%d.folds, i
			next++
		}
		if len(g) == 1 && k < len(d.labels) {
			fold[g[0]] = -1
		}
	}
	d.fold, d.rank = make([]int, len(d.samples)), make([]int, len(d.samples))
	for i, g := range d.group {
		d.fold[i], d.rank[i] = fold[g], rank[g]
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

// sample is the numbers of so many samples, evenly of all classes, and of whole
// photographs but perhaps the last.
func (d *data) sample(count int) []int {
	order := d.where(func(int) bool { return true })
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(d.rank[i], d.rank[j]), cmp.Compare(d.group[i], d.group[j]))
	})
	index := make([]int, 0, count)
	for _, i := range order[:min(count, len(order))] {
		index = append(index, d.index[i])
	}
	return index
}

// regression of the samples of an index, on their products, among all classes but those
// left out.
func (d *data) regression(k products, index []int, without func(class int) bool) *logistic {
	l := &logistic{products: k, samples: len(index), multi: d.multi, weight: make([]float64, len(index))}
	for i, sample := range index {
		l.weight[i] = d.weight[sample]
	}
	for class := range d.labels {
		if without != nil && without(class) {
			continue
		}
		l.classes++
		for _, sample := range index {
			l.target = append(l.target, d.target[class*len(d.samples)+sample])
		}
	}
	return l
}

// balance makes classes weigh the same, of which unlike parts are used.
func (l *logistic) balance() {
	sums, all := make([]float64, l.classes), 0.0
	for k := range sums {
		sums[k] = dot(l.target[k*l.samples:(k+1)*l.samples], l.weight)
		all += sums[k]
	}
	for i := range l.weight {
		for k, sum := range sums {
			if l.target[k*l.samples+i] == 1 {
				l.weight[i] *= all / float64(l.classes) / sum
				break
			}
		}
	}
}

// where is the samples that are so.
func (d *data) where(is func(sample int) bool) (index []int) {
	for i := range d.samples {
		if is(i) {
			index = append(index, i)
		}
	}
	return index
}
