// Package teach makes a classifier of own classes from a few photographs: a head for a
// network whose other layers stay as they are. It learns from the features that the
// integer engine itself computes, so that what was trained is what runs; only the head
// is quantized.
//
// # Method
//
// The head reads int8.Embedding: the features' direction, and what the network's own
// classifier takes the image for. On it, logistic regression with L2 (see logistic)
// separates the classes; the weaker its strength, the nearer it is to comparing with the
// classes' means. Strength and the weights of the embedding's parts are those that
// predict photographs best which were left out: views of one photograph stay together.
// The logits are divided by a temperature (Guo et al., "On Calibration of Modern Neural
// Networks", 2017) chosen the same way, so that probabilities are shares of right
// answers. A class "unknown" has a constant logit, set by leaving out whole classes.
//
// The result depends neither on the order of samples nor on the machine or the number
// of threads: products of embeddings are exact integers, and all else is float64 with
// each rounding written down.
package teach

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/labels"
)

// Labels with a meaning of their own: None is the class of what is none of the others;
// Unknown is the answer of a head that was taught no such class.
const (
	None    = "none"
	Unknown = "unknown"
)

// Sample is one view of a photograph.
type Sample struct {
	Features []int16 // [channels], q - Zero of int8.Network.Features of the network that is taught
	Classes  []int   // one of Set.Labels; any number with Options.Multi
	Group    int     // samples of one group are views of one photograph, or a burst
	Name     string  // for reports
}

// Set is what a head is taught.
type Set struct {
	Labels  []string
	Samples []Sample
}

// Options of Train.
type Options struct {
	Threads   int  // 1 works in the caller's thread alone
	Multi     bool // classes are independent of each other
	NoUnknown bool // adds no class Unknown
	Seed      uint64
	Progress  func(done, total int) // in steps of about equal length; may be nil
}

// addsUnknown says whether a class Unknown is added.
func (o Options) addsUnknown(classes []string) bool {
	return !o.Multi && !o.NoUnknown && !slices.Contains(classes, None)
}

// Check says why Train would refuse a set of these labels, before it has samples.
func (o Options) Check(classes []string) error {
	for k, label := range classes {
		switch {
		case label == "":
			return errors.New("a label is empty: give it a name")
		case label == Unknown && o.addsUnknown(classes):
			return fmt.Errorf("label %q is the answer to what was not taught: take another name, or %q for what is none of the classes", label, None)
		case slices.Index(classes, label) < k:
			return fmt.Errorf("label %q stands there twice", label)
		}
		if err := labels.Check([]labels.Class{{ID: label, Name: label}}); err != nil {
			return fmt.Errorf("label %q: %w", label, err)
		}
	}
	if len(classes) < 2 {
		return errFewClasses
	}
	if len(classes) > maxLabels {
		return fmt.Errorf("%d labels, at most %d are possible", len(classes), maxLabels)
	}
	return nil
}

// Train makes a head for the network. Of the network it reads the classifier alone.
func Train(ctx context.Context, network *int8.Network, set *Set, o Options) (*Head, *Report, error) {
	h, r, err := train(ctx, network, set, o)
	if err != nil {
		return nil, nil, fmt.Errorf("teach: %w", err)
	}
	return h, r, nil
}

// Limits: the first is of samples whose products are computed; where there are more,
// the choice is made with as many of them. The second is of the bytes of all embeddings.
const (
	maxProducts = 2000
	maxLabels   = maxProducts / 2
	maxBytes    = 1<<31 - 1 // an int has 32 bits on some boards
)

func train(ctx context.Context, network *int8.Network, set *Set, o Options) (*Head, *Report, error) {
	b, err := baseOf(network)
	if err != nil {
		return nil, nil, err
	}
	index := make([]int, len(set.Samples))
	for i := range index {
		index[i] = i
	}
	all, err := newData(b, set, index, o)
	if err != nil {
		return nil, nil, err
	}
	if width := 2 * (b.tensor.Shape.C + b.classes()); len(index) > maxBytes/width {
		return nil, nil, fmt.Errorf("%d samples are too many, at most %d fit into %d GB of memory: take fewer photographs or views", len(index), maxBytes/width, (maxBytes+1)>>30)
	}
	v, err := b.embed(ctx, all.samples, o.Threads)
	if err != nil {
		return nil, nil, err
	}
	t := &trainer{Options: o, data: all, vectors: v, buffers: make([][]float64, max(1, o.Threads))}
	if len(index) > maxProducts {
		if t.data, err = newData(b, set, all.sample(maxProducts), o); err != nil {
			return nil, nil, err
		}
		if t.vectors, err = b.embed(ctx, t.samples, o.Threads); err != nil {
			return nil, nil, err
		}
	}
	if t.gram, err = newGram(ctx, t.vectors, o.Threads); err != nil {
		return nil, nil, err
	}
	t.vectors.values = nil // computing them again takes less time than a board has memory
	c, err := t.choose(ctx)
	if err != nil {
		return nil, nil, err
	}
	x, err := t.fit(ctx, all, v, c)
	if err != nil {
		return nil, nil, err
	}
	report, err := t.report(ctx, all, c)
	if err != nil {
		return nil, nil, err
	}
	t.gram, t.buffers = nil, nil
	if t.vectors, err = b.embed(ctx, t.samples, o.Threads); err != nil {
		return nil, nil, err
	}
	if all == t.data {
		v = t.vectors
	}
	r := v.regression(x, c.share, 1/c.temperature)
	h := b.head(r, all, c.unknown)
	report.Quantization = h.compare(t.vectors, t.samples)
	if o.Progress != nil {
		o.Progress(steps, steps)
	}
	return h, report, nil
}

// head has, besides the classes, Unknown where that is to be added: of no weights, and
// this logit.
func (b *base) head(r *regression, all *data, unknown float64) *Head {
	classes, activation := all.labels, labels.Softmax
	if all.unknown {
		classes = append(slices.Clone(classes), Unknown)
		r.weight, r.bias = append(r.weight, make([]float64, len(r.weight[0]))), append(r.bias, unknown)
	}
	if all.multi {
		activation = labels.Sigmoid
	}
	return b.quantize(r, classes, activation)
}

// fit trains on all samples.
func (t *trainer) fit(ctx context.Context, all *data, v *vectors, c *choice) (*vector, error) {
	index := all.where(func(int) bool { return true })
	var k products = &explicit{v, c.share, t.Threads}
	if all == t.data {
		k = t.gram.mix(c.share, index, t.buffer(0))
	}
	l := all.regression(k, index, nil)
	x := l.vector()
	return x, l.solve(ctx, x, c.strength, finalTolerance)
}

// regression is the weights themselves, times a factor.
func (v *vectors) regression(x *vector, share, factor float64) *regression {
	classes := len(x.bias)
	r := &regression{share: share, weight: make([][]float64, classes), bias: make([]float64, classes)}
	pooled, logits := lengths(share)
	for k := range classes {
		w := make([]float64, v.width)
		for i, a := range x.alpha[k*v.samples : (k+1)*v.samples] {
			for j, q := range v.row(i) {
				w[j] += float64(a * float64(q))
			}
		}
		for j := range w {
			if j < v.pooled {
				w[j] *= float64(pooled*factor) / unit
			} else {
				w[j] *= float64(logits*factor) / unit
			}
		}
		r.weight[k], r.bias[k] = w, x.bias[k]*factor
	}
	return r
}

var errFewClasses = errors.New("one class alone cannot be told from anything: add a second one, or photographs of anything else in a folder " + None)
