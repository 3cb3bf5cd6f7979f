package evaluate

import (
	"context"
	"strings"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/internal/stats"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// Fit is how well a way of preprocessing fits a float network.
type Fit struct {
	Flags     string          // that make it the network's; empty for its own
	Spec      preprocess.Spec // resizes as the network's own does: only values of pixels are tried
	Right, Of int             // pictures whose class the network names first, and all
}

const (
	fitPictures = 50   // show whether a network sees what it was trained on
	fitFirst    = 12   // of them choose the way that is tried on all
	fitSure     = 0.01 // the highest p-value of McNemar's test at which one way is better
	fitGain     = 8    // pictures at least make it so low
)

// FitPreprocessing runs a float network, folded, on some of the images whose true
// class is known. Where it is often wrong, it tries what presets and the other order
// of channels make of pixels; better is the one with which it is surely right more
// often, nil if there is none.
func FitPreprocessing(ctx context.Context, threads int, float *models.Graph, images ImageSet, truth []int) (own Fit, better *Fit, err error) {
	executor, err := fp32.NewExecutor(float, 1)
	if err != nil {
		return own, nil, err
	}
	f := fitting{ctx: ctx}
	for range threads {
		f.executors = append(f.executors, executor.Clone())
	}
	f.draw(images, truth)

	own.Spec = float.Preprocess
	before, err := f.run(&own, len(f.pictures))
	if err != nil || own.Of-own.Right < fitGain {
		return own, nil, err
	}
	var best Fit
	for _, c := range candidates(float.Preprocess) {
		if _, err := f.run(&c, fitFirst); err != nil {
			return own, nil, err
		}
		if c.Right > best.Right {
			best = c
		}
	}
	if best.Right == 0 {
		return own, nil, nil
	}
	after, err := f.run(&best, len(f.pictures))
	if err != nil || best.Right <= own.Right || stats.McNemar(changes(before, after)) > fitSure {
		return own, nil, err
	}
	return own, &best, nil
}

// changes counts what went from false to true and from true to false.
func changes(before, after []bool) (gained, lost int) {
	for i, b := range before {
		switch {
		case after[i] && !b:
			gained++
		case b && !after[i]:
			lost++
		}
	}
	return gained, lost
}

// fitting is what ways of preprocessing are tried on.
type fitting struct {
	ctx       context.Context
	executors []*fp32.Executor // one for each thread
	pictures  [][]uint8
	classes   []int // true ones
}

// draw loads pictures of known class; those that cannot be read are left out.
func (f *fitting) draw(images ImageSet, truth []int) {
	var known []int
	for i, class := range truth {
		if class >= 0 {
			known = append(known, i)
		}
	}
	for _, k := range dataset.Evenly(len(known), fitPictures) {
		if pix, err := images.Load(known[k]); err == nil {
			f.pictures, f.classes = append(f.pictures, pix), append(f.classes, truth[known[k]])
		}
	}
}

// run tells on which pictures, n of all, the network is right with a fit's spec, and
// counts them in it.
func (f *fitting) run(fit *Fit, n int) ([]bool, error) {
	drawn := dataset.Evenly(len(f.pictures), n)
	right := make([]bool, len(drawn))
	err := dataset.Each(f.ctx, len(f.executors), len(drawn), nil, func(worker, k int) error {
		pix := f.pictures[drawn[k]]
		input := make([]float32, len(pix))
		if err := fit.Spec.Float(input, pix); err != nil {
			return err
		}
		logits, err := f.executors[worker].Run(input, nil)
		if err != nil {
			return err
		}
		right[k] = best(logits) == f.classes[drawn[k]]
		return nil
	})
	fit.Right, fit.Of = 0, len(right)
	for _, r := range right {
		if r {
			fit.Right++
		}
	}
	return right, err
}

// candidates are ways of preprocessing that differ from the network's own in the
// values or the order of channels.
func candidates(own preprocess.Spec) (fits []Fit) {
	orders := map[string][]string{
		preprocess.RGB: {preprocess.RGB, preprocess.BGR}, preprocess.BGR: {preprocess.BGR, preprocess.RGB}, preprocess.Grey: {preprocess.Grey},
	}
	seen := map[preprocess.Spec]bool{own: true}
	add := func(flags string, values preprocess.Spec) {
		for _, order := range orders[values.Order] {
			v := values.Ordered(order)
			s := own
			s.Mean, s.Std, s.Order = v.Mean, v.Std, order
			if seen[s] {
				continue
			}
			seen[s] = true
			with := flags
			if order != values.Order {
				with = strings.TrimSpace(flags + " -order " + order)
			}
			fits = append(fits, Fit{Flags: with, Spec: s})
		}
	}
	add("", own)
	for _, name := range preprocess.Presets() {
		s, _ := preprocess.Preset(name)
		if own.Order == preprocess.Grey {
			s = s.Ordered(preprocess.Grey)
		}
		add("-preprocess "+name, s)
	}
	return fits
}
