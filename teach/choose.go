package teach

import (
	"context"
	"math"

	"edgeclassify/internal/stats"
)

const (
	foldTolerance  = 1e-4
	finalTolerance = 1e-9
)

// shares are those of the pooled part in the square of the embedding's length among
// which Train chooses, at firstStrength; then it goes on to strengths above or below as
// long as these are better.
var shares = []float64{1, 0.5, 0}

const (
	firstStrength = 10
	strengthStep  = 10
	minStrength   = 1
	maxStrength   = 100
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
	buffers [][]float64 // of each thread, for a kernel
	done    int         // validations
}

// choice is a head before its training, and what cross-validation says of it.
type choice struct {
	share, strength      float64
	temperature, unknown float64
	logits               []float64 // [classes][samples] of samples left out; nil without folds
	strange              []float64 // of samples whose classes were left out; nil where none can be
	loss                 float64
	starts               []*vector // of each fold: its solution
	tried                []Candidate
}

// steps are those that progress is told in: at most so many validations, and the rest.
const steps = 10

func (t *trainer) step() {
	if t.done++; t.Progress != nil {
		t.Progress(min(t.done, steps-1), steps)
	}
}

// choose goes through the candidates.
func (t *trainer) choose(ctx context.Context) (*choice, error) {
	if t.folds == 0 {
		c := t.prior()
		return c, t.openSet(ctx, c)
	}
	best := &choice{loss: math.Inf(1)}
	try := func(share, strength float64, starts []*vector) (better bool, err error) {
		c := &choice{share: share, strength: strength}
		if c.logits, c.starts, err = t.validate(ctx, share, strength, t.cross(), starts); err != nil {
			return false, err
		}
		var sharpness float64
		sharpness, c.loss = t.sharpness(c.logits)
		c.temperature = 1 / sharpness
		c.tried = append(best.tried, Candidate{share, strength, c.loss, t.right(c.logits)})
		if better = c.loss < best.loss; better {
			best = c
		}
		best.tried = c.tried
		return better, nil
	}
	for _, share := range shares {
		if share < 1 && t.vectors.width == t.vectors.pooled {
			continue
		}
		if _, err := try(share, firstStrength, nil); err != nil {
			return nil, err
		}
	}
	for _, factor := range []float64{strengthStep, 1. / strengthStep} {
		for s := firstStrength * factor; s >= minStrength && s <= maxStrength; s *= factor {
			better, err := try(best.share, s, best.starts)
			if err != nil {
				return nil, err
			}
			if !better {
				break
			}
		}
		if best.strength > firstStrength {
			break
		}
	}
	return best, t.openSet(ctx, best)
}

// split is what a validation leaves out, fold by fold.
type split struct {
	folds   int
	fold    []int                       // in which a sample is left out
	uses    func(fold, sample int) bool // of those not left out; nil for all
	without func(fold, class int) bool  // leaves a class out; nil for none
}

// cross is that of the cross-validation.
func (t *trainer) cross() split { return split{folds: t.folds, fold: t.fold} }

// validate fits once for each fold and returns the logits of the samples that were left
// out [classes][samples], -Inf of classes left out, and the solutions, from which a like
// fit may start.
func (t *trainer) validate(ctx context.Context, share, strength float64, by split, starts []*vector) ([]float64, []*vector, error) {
	n, solutions := len(t.samples), make([]*vector, by.folds)
	logits := make([]float64, len(t.labels)*n)
	err := parallel(ctx, t.Threads, by.folds, func(thread, fold int) error {
		index := t.where(func(i int) bool { return by.fold[i] != fold && (by.uses == nil || by.uses(fold, i)) })
		without := func(class int) bool { return by.without != nil && by.without(fold, class) }
		l := t.regression(t.gram.mix(share, index, t.buffer(thread)), index, without)
		if by.uses != nil && !t.multi {
			l.balance()
		}
		x := l.vector()
		if starts != nil {
			x.copy(starts[fold])
		}
		if err := l.solve(ctx, x, strength, foldTolerance); err != nil {
			return err
		}
		solutions[fold] = x
		row := make([]float64, len(index))
		for i := range n {
			if by.fold[i] != fold {
				continue
			}
			t.gram.row(row, share, i, index)
			k := 0
			for class := range t.labels {
				z := math.Inf(-1)
				if !without(class) {
					z = dot(row, x.alpha[k*len(index):(k+1)*len(index)]) + x.bias[k]
					k++
				}
				logits[class*n+i] = z
			}
		}
		return nil
	})
	if err == nil {
		t.step()
	}
	return logits, solutions, err
}

// buffer of a thread, for the kernel of all samples.
func (t *trainer) buffer(thread int) []float64 {
	if t.buffers[thread] == nil {
		t.buffers[thread] = make([]float64, len(t.samples)*len(t.samples))
	}
	return t.buffers[thread]
}

// right counts photographs left out that are answered with their classes.
func (t *trainer) right(logits []float64) stats.Share {
	count, total := 0, 0
	for i := range t.samples {
		if t.judged(i) {
			total++
			if t.isRight(logits, i) {
				count++
			}
		}
	}
	return stats.ShareOf(count, total)
}

// judged says whether a sample is a photograph itself, and was left out.
func (t *trainer) judged(sample int) bool { return t.first[sample] && t.fold[sample] >= 0 }

func (t *trainer) isRight(logits []float64, sample int) bool {
	if !t.multi {
		return t.top(logits, sample) == t.samples[sample].Classes[0]
	}
	n := len(t.samples)
	for k := range t.labels {
		if logits[k*n+sample] > 0 != (t.target[k*n+sample] > 0) {
			return false
		}
	}
	return true
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

// highest is the largest of a sample's logits, calibrated.
func (t *trainer) highest(c *choice, logits []float64, sample int) float64 {
	return logits[t.top(logits, sample)*len(t.samples)+sample] / c.temperature
}
