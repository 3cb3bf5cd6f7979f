package teach

import (
	"context"
	"math"
)

const (
	foldTolerance  = 1e-4
	finalTolerance = 1e-9
)

// shares of the pooled part in the square of the embedding's length, and strengths,
// from which Train chooses.
var (
	shares    = []float64{1, 0.5, 0}
	strengths = []float64{1, 10, 100, 1000}
)

const (
	priorShare       = 0.5
	priorStrength    = 100
	priorTemperature = 1
	priorUnknown     = 0
)

// lengths of the two parts of an embedding.
func lengths(share float64) (pooled, logits float64) {
	return float64(float32(math.Sqrt(share))), float64(float32(math.Sqrt(1 - share)))
}

// trainer is one training.
type trainer struct {
	Options
	*data
	vectors *vectors
	gram    *gram
}

// choice is what cross-validation found, and what it says.
type choice struct {
	share, strength      float64
	temperature, unknown float64
	logits               []float64 // [classes][samples] of samples left out; nil without folds
	loss                 float64
	tried                []Candidate
}

// choose goes through the candidates.
func (t *trainer) choose(ctx context.Context) (*choice, error) {
	best := &choice{share: priorShare, strength: priorStrength, temperature: priorTemperature, unknown: priorUnknown, loss: math.Inf(1)}
	if t.vectors.width == t.vectors.pooled {
		best.share = 1
	}
	if t.folds == 0 {
		return best, nil
	}
	for i, share := range shares {
		if share < 1 && t.vectors.width == t.vectors.pooled {
			continue
		}
		all, err := t.validate(ctx, t.gram.mix(share))
		if err != nil {
			return nil, err
		}
		for s, logits := range all {
			c := &choice{share: share, strength: strengths[s], logits: logits, unknown: priorUnknown}
			var sharpness float64
			sharpness, c.loss = t.sharpness(logits)
			c.temperature = 1 / sharpness
			best.tried = append(best.tried, Candidate{share, c.strength, c.loss, t.right(logits)})
			if c.loss < best.loss {
				c.tried = best.tried
				best = c
			}
		}
		if t.Progress != nil {
			t.Progress(i+1, len(shares)+1)
		}
	}
	return best, nil
}

// validate returns, for each strength, the logits of samples that were left out.
func (t *trainer) validate(ctx context.Context, k *kernel) ([][]float64, error) {
	n := len(t.samples)
	all := make([][]float64, len(strengths))
	for s := range all {
		all[s] = make([]float64, len(t.labels)*n)
	}
	err := parallel(ctx, t.Threads, t.folds, func(fold int) error {
		weight := make([]float64, n)
		for i, w := range t.weight {
			if t.fold[i] != fold {
				weight[i] = w
			}
		}
		l := t.regression(k, weight)
		x := l.vector()
		for s, strength := range strengths {
			if err := l.solve(ctx, x, strength, foldTolerance); err != nil {
				return err
			}
			for j, z := range x.logits() {
				if t.fold[j%n] == fold {
					all[s][j] = z
				}
			}
		}
		return nil
	})
	return all, err
}

// sharpness is the factor of logits, one over the temperature, that makes the samples
// left out most likely, and the mean loss with it. Targets are a little off 0 and 1
// (Platt, "Probabilistic Outputs for Support Vector Machines", 1999), so that a few right
// answers are no certainty.
func (t *trainer) sharpness(logits []float64) (factor, loss float64) {
	n, classes := len(t.samples), len(t.labels)
	z, y := make([]float64, classes), make([]float64, classes)
	smooth := 1 / float64(t.total+2)
	at := func(factor float64) (loss, first, second float64) {
		sum := 0.0
		for i := range n {
			if t.fold[i] < 0 {
				continue
			}
			w := t.weight[i]
			sum += w
			for k := range z {
				z[k] = float64(factor * logits[k*n+i])
				if t.multi {
					y[k] = float64(t.target[k*n+i]*(1-smooth)) + smooth/2
				} else {
					y[k] = float64(t.target[k*n+i]*(1-smooth)) + smooth/float64(classes)
				}
			}
			l, f, s := curve(z, y, logits[i:], n, t.multi)
			loss += float64(w * l)
			first += float64(w * f)
			second += float64(w * s)
		}
		return loss / sum, first / sum, second / sum
	}
	factor = minimum(1, 1e-3, func(x float64) (first, second float64) { _, first, second = at(x); return first, second })
	loss, _, _ = at(factor)
	return factor, loss
}

// curve is the loss of logits z and its derivatives along v, every stride-th of values.
func curve(z, y, v []float64, stride int, multi bool) (loss, first, second float64) {
	if multi {
		for k, zk := range z {
			vk := v[k*stride]
			loss += softplus(zk) - float64(y[k]*zk)
			p := sigmoid(zk)
			first += float64((p - y[k]) * vk)
			second += float64(float64(p*(1-p)) * float64(vk*vk))
		}
		return loss, first, second
	}
	for k, zk := range z {
		loss -= float64(y[k] * zk)
	}
	loss += softmax(z)
	mean := 0.0
	for k, p := range z {
		vk := v[k*stride]
		first += float64((p - y[k]) * vk)
		mean += float64(p * vk)
		second += float64(float64(p*vk) * vk)
	}
	return loss, first, second - float64(mean*mean)
}

// minimum of a convex function, from its first and second derivative: Newton's method
// between bounds, until the first is small.
func minimum(at, small float64, f func(x float64) (first, second float64)) float64 {
	low, high := 0.0, math.Inf(1)
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
			if at = float64(2*low) + 1e-6; !math.IsInf(high, 1) {
				at = (low + high) / 2
			}
		}
	}
	return at
}

// right counts photographs whose left-out samples' logits, added up, name their class.
func (t *trainer) right(logits []float64) (s Share) {
	n := len(t.samples)
	for i := range n {
		if t.fold[i] < 0 {
			continue
		}
		s.Total++
		if t.top(logits, i) == t.samples[i].Classes[0] {
			s.Count++
		}
	}
	return s
}

// top is the class of the largest logit.
func (t *trainer) top(logits []float64, sample int) int {
	best, n := 0, len(t.samples)
	for k := range t.labels {
		if logits[k*n+sample] > logits[best*n+sample] {
			best = k
		}
	}
	return best
}
