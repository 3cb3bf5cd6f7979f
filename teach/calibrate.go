package teach

import (
	"context"
	"math"
	"slices"

	"edgeclassify/internal/elementary"
)

// sharpness is the factor of logits, one over the temperature, that makes the samples
// left out most likely, and the mean loss with it. Targets are a little off 0 and 1
// (Platt, "Probabilistic Outputs for Support Vector Machines", 1999), so that a few right
// answers are no certainty.
func (t *trainer) sharpness(logits []float64) (factor, loss float64) {
	n, classes := len(t.samples), len(t.labels)
	z, y, v := make([]float64, classes), make([]float64, classes), make([]float64, classes)
	smooth, share := 1/float64(t.total+2), 1/float64(classes)
	if t.multi {
		share = 0.5
	}
	at := func(factor float64) (loss, first, second float64) {
		sum := 0.0
		for i, w := range t.weight {
			if t.fold[i] < 0 {
				continue
			}
			sum += w
			for k := range z {
				v[k] = logits[k*n+i]
				z[k] = float64(factor * v[k])
				y[k] = float64(t.target[k*n+i]*(1-smooth)) + float64(smooth*share)
			}
			l, f, s := along(z, y, v, 1, t.multi)
			loss += float64(w * l)
			first += float64(w * f)
			second += float64(w * s)
		}
		return loss / sum, first / sum, second / sum
	}
	factor = minimum(0, 1, 1e-6, func(x float64) (first, second float64) { _, first, second = at(x); return first, second })
	factor = max(min(factor, 1000), 1e-3)
	loss, _, _ = at(factor)
	return factor, loss
}

// along is the loss of logits z with targets y, of which every stride-th counts, and its
// derivatives along v. z becomes probabilities.
func along(z, y, v []float64, stride int, multi bool) (loss, first, second float64) {
	mean := 0.0
	loss = losses(z, y, stride, multi)
	for k, p := range z {
		vk := v[k]
		first += float64((p - y[k*stride]) * vk)
		if multi {
			p = float64(p * (1 - p))
		}
		mean += float64(p * vk)
		second += float64(float64(p*vk) * vk)
	}
	if !multi {
		second -= float64(mean * mean)
	}
	return loss, first, second
}

// minimum of a convex function above low, from its first and second derivative: Newton's
// method between bounds, until the first is small.
func minimum(low, at, small float64, f func(x float64) (first, second float64)) float64 {
	start, high := low, math.Inf(1)
	for range 50 {
		first, second := f(at)
		if math.Abs(first) <= small {
			break
		}
		if first < 0 {
			low = at
		} else {
			high = at
		}
		at -= first / second
		if !(at > low && at < high) {
			if at = low + 2*(low-start) + 1e-6; !math.IsInf(high, 1) {
				at = (low + high) / 2
			}
		}
	}
	return at
}

// openSet sets the logit of Unknown: on the one side are the samples left out, on the
// other those of classes that were left out whole, several at once where there are many.
// What is compared with it is the log of the sum of e^logit (Liu et al., "Energy-based
// Out-of-distribution Detection", 2020): the logit at which Unknown is as likely as all
// classes together.
func (t *trainer) openSet(ctx context.Context, c *choice) error {
	if !t.unknown {
		return nil
	}
	var known, strange []float64
	if c.logits != nil {
		known = t.energies(c.logits, c.temperature)
	}
	if len(t.labels) > 2 {
		by := split{folds: min(len(t.labels), manyFolds), fold: make([]int, len(t.samples))}
		by.without = func(fold, class int) bool { return class%by.folds == fold }
		for i, s := range t.samples {
			by.fold[i] = s.Classes[0] % by.folds
		}
		var err error
		if c.strange, _, err = t.validate(ctx, c.share, c.strength, by, nil); err != nil {
			return err
		}
		strange = t.energies(c.strange, c.temperature)
	}
	c.unknown = t.boundary(known, strange)
	if c.logits != nil {
		c.unknown = min(c.unknown, t.limit(c))
	}
	return nil
}

// maxMistaken is the share of photographs left out that may be answered with Unknown:
// where classes are mixed, what belongs to none is not to be told from what does.
const maxMistaken = 0.1

// limit is the logit above which Unknown would be the answer for more than those.
func (t *trainer) limit(c *choice) float64 {
	var tops []float64
	for i := range t.samples {
		if t.judged(i) {
			tops = append(tops, t.highest(c, c.logits, i))
		}
	}
	slices.Sort(tops)
	return tops[int(maxMistaken*float64(len(tops)))]
}

// energies are those of all samples.
func (t *trainer) energies(logits []float64, temperature float64) []float64 {
	n, z := len(t.samples), make([]float64, len(t.labels))
	e := make([]float64, n)
	for i := range e {
		for k := range z {
			z[k] = logits[k*n+i] / temperature
		}
		e[i] = softmax(z)
	}
	return e
}

// strangerShare is the mean energy of what is neither of two classes, as a share of the
// mean of theirs: that of superclasses and of drawings is 0.5 to 0.7.
const strangerShare = 0.5

// strangers are held to be so many times as likely as what was taught: one in five
// pictures shows none of it. cautious is what their mean is lowered by where nothing is
// known of the others.
const (
	strangers = 0.25
	cautious  = 0.75
)

// boundary is the logit of Unknown that makes both sides most likely. Where one is
// missing, it follows the mean of the other; where both are, Unknown is as likely as
// the classes together when these have the same logits.
func (t *trainer) boundary(known, strange []float64) float64 {
	var low, sums, means [2]float64
	sides, weights := [2][]float64{known, strange}, [2]float64{1, strangers}
	for side, energies := range sides {
		for i, e := range energies {
			if w := t.weight[i]; side == 1 || t.fold[i] >= 0 {
				low[side] = min(low[side], e)
				sums[side] += w
				means[side] += float64(w * e)
			}
		}
		means[side] /= sums[side]
	}
	switch {
	case known == nil && strange == nil:
		return elementary.Log(float64(len(t.labels)))
	case known == nil:
		return cautious * means[1]
	case strange == nil:
		return strangerShare * means[0]
	}
	return minimum(min(low[0], low[1])-10, means[1], 1e-6, func(at float64) (first, second float64) {
		for side, energies := range sides {
			for i, e := range energies {
				if side == 0 && t.fold[i] < 0 {
					continue
				}
				w, p := t.weight[i]/sums[side]*weights[side], sigmoid(at-e) // of Unknown
				first += float64(w * (p - float64(side)))
				second += float64(w * float64(p*(1-p)))
			}
		}
		return first, second
	})
}
