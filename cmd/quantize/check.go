package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/report"
)

// A model must reach these on pictures beside its float network. Sound ones of
// ResNet50 have 24 to 30 dB and agree on 99 % of the pictures, whatever the
// method; with crude ranges, or those of one picture alone, 18 to 23 dB and
// 97 %. At 15 dB errors are a sixth of the logits, and beyond they decide. Where
// channels that stand out leave no codes for the others, it is -15 dB and 0 %.
const (
	leastSQNR      = 15.0 // dB
	leastAgreement = 0.95
	// From fewer pictures the estimate of disagreement is no better than a
	// factor of two: its density rests on the square root of so many.
	leastMargins = 64
)

const (
	heldOutImages  = 200 // to check with
	leastHeldOut   = 16  // with fewer, the calibration pictures tell more
	ownImages      = 64  // to check with where all pictures were calibrated on
	analyzedImages = 32
	blamedLayers   = 3
	blamedLoss     = 3.0 // dB, which double the noise
	listedNames    = 5   // in a line
	// mostDead is the share of a layer's channels that may do nothing.
	mostDead = 0.25
)

// assessment is how a model does on pictures, and why.
type assessment struct {
	evaluation *evaluation
	outcome    *report.Evaluation
	analysis   *calibrate.Analysis // nil where nobody asks why
	verdict    report.Verdict
}

// assess compares a model with its float network on pictures. Where it is poor,
// or a report is to be written, it looks into the layers too.
func (c *calibration) assess(ctx context.Context, n *int8.Network, o buildOptions, stderr io.Writer) (*assessment, error) {
	bars := newBars(stderr)
	defer bars.end()
	a := &assessment{}
	var err error
	if a.evaluation, err = c.evaluate(ctx, n, o, bars); err != nil {
		return nil, err
	}
	a.outcome = a.evaluation.report()
	a.outcome.OwnPictures = c.owns(a.evaluation.set)
	a.judge()
	if !a.verdict.Good || len(o.reports) > 0 {
		if a.analysis, err = c.analyze(ctx, n, a.evaluation.set, o, bars); err != nil {
			return nil, err
		}
	}
	if !a.verdict.Good {
		a.verdict.Advice = append(blame(n, a.analysis), c.remedies(o)...)
	}
	a.verdict.Advice = append(a.verdict.Advice, c.warnings(n, a.analysis)...)
	return a, nil
}

// evaluate runs both networks on pictures that were held out from calibration,
// or on those of calibration.
func (c *calibration) evaluate(ctx context.Context, n *int8.Network, o buildOptions, bars *bars) (*evaluation, error) {
	set, err := c.toCheck(o.images)
	if err != nil {
		return nil, err
	}
	truth, err := trueClasses("", o.images, set.files, n.Classes)
	if err != nil {
		return nil, err
	}
	e, err := newEvaluation(n, c.graph, set, truth)
	if err != nil {
		return nil, err
	}
	err = e.run(ctx, o.threads, bars.of("checking"))
	if err == nil && !slices.ContainsFunc(e.verdicts, func(v verdict) bool { return v.known }) {
		err = fmt.Errorf("%s: none of the pictures to check the model with can be read", o.images)
	}
	return e, err
}

// toCheck are the pictures of the folder that were not drawn, if there are
// enough, or else those drawn.
func (c *calibration) toCheck(folder string) (imageSet, error) {
	all, err := draw(folder, c.graph.Preprocess, 0, 0)
	if err != nil {
		return all, err
	}
	drawn := map[string]bool{}
	for _, file := range c.set.files {
		drawn[file] = true
	}
	others := slices.DeleteFunc(slices.Clone(all.files), func(file string) bool { return drawn[file] })
	if len(others) < leastHeldOut {
		return imageSet{all.spec, evenly(c.readable(), ownImages)}, nil
	}
	return imageSet{all.spec, evenly(others, heldOutImages)}, nil
}

// readable are the files that calibration has read.
func (c *calibration) readable() (files []string) {
	for i, file := range c.set.files {
		if c.set.hashes[i] != nil {
			files = append(files, file)
		}
	}
	return files
}

// owns tells whether the pictures were calibrated on.
func (c *calibration) owns(set imageSet) bool { return slices.Contains(c.set.files, set.files[0]) }

// evenly draws at most n of the files.
func evenly(files []string, n int) (drawn []string) {
	for _, i := range calibrate.Evenly(len(files), n) {
		drawn = append(drawn, files[i])
	}
	return drawn
}

// analyze looks into the layers on some of the pictures that the model was
// checked with.
func (c *calibration) analyze(ctx context.Context, n *int8.Network, set imageSet, o buildOptions, bars *bars) (*calibrate.Analysis, error) {
	float, err := c.equalized()
	if err != nil {
		return nil, err
	}
	return calibrate.Analyze(ctx, float, n, set, o.looking(analyzedImages, bars.of("analyzing")))
}

// looking are the options to look at some of the pictures that can be read.
func (o buildOptions) looking(limit int, progress func(done, total int)) calibrate.AnalyzeOptions {
	return calibrate.AnalyzeOptions{Threads: o.threads, Limit: limit, Progress: progress, Skip: func(error) {}}
}

// judge says whether the model is fit for use.
func (a *assessment) judge() {
	var (
		agreement = a.outcome.Agreement
		expected  = calibrate.Disagreement(a.evaluation.known())
		pictures  = "pictures held out from calibration"
		caution   = ""
		sqnr      = math.Inf(1)
	)
	if a.outcome.OwnPictures {
		pictures, caution = "pictures", "; they are its own calibration pictures, and it may do worse on others"
	}
	a.verdict.Good = agreement.High >= leastAgreement
	if a.outcome.SQNR != nil {
		sqnr = *a.outcome.SQNR
		a.verdict.Good = a.verdict.Good && sqnr >= leastSQNR
	}
	estimate := ""
	if agreement.Of >= leastMargins {
		estimate = fmt.Sprintf(" (%s expected from margins)", percent(1-expected))
		a.verdict.Good = a.verdict.Good && 1-expected >= leastAgreement
	}
	a.verdict.Summary = fmt.Sprintf("int8 agrees with float on %s of %d %s%s, with an SQNR of %.1f dB in the logits%s.",
		percent(agreement.Value), agreement.Of, pictures, estimate, sqnr, caution)
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// suspect is a layer with the SQNR that it takes away.
type suspect struct {
	calibrate.LayerAnalysis
	before, after, loss float64 // cumulative SQNR, of the worst input and of the output
}

// blame names the layers behind which the SQNR falls the most.
func blame(n *int8.Network, a *calibrate.Analysis) (lines []string) {
	cumulative := map[string]float64{int8.InputName: soundSQNR}
	var suspects []suspect
	for i, l := range a.Layers {
		s := suspect{LayerAnalysis: l, before: soundSQNR, after: soundSQNR}
		for _, in := range n.Layers[i].Inputs {
			s.before = min(s.before, cumulative[in])
		}
		if after := l.Cumulative.SQNR(); after != nil {
			s.after = max(drowned, min(*after, soundSQNR))
		}
		cumulative[l.Layer], s.loss = s.after, s.before-s.after
		suspects = append(suspects, s)
	}
	slices.SortStableFunc(suspects, func(a, b suspect) int { return cmp.Compare(b.loss, a.loss) })
	for _, s := range suspects[:min(blamedLayers, len(suspects))] {
		if s.loss >= blamedLoss {
			lines = append(lines, s.String())
		}
	}
	return lines
}

// Between these a layer can take SQNR away, in dB: more than a sound layer leaves
// is no merit, and where noise is as strong as the signal nothing is left to lose.
const (
	soundSQNR = 30.0
	drowned   = 0.0
)

func (s suspect) String() string {
	line := fmt.Sprintf("Layer %s: SQNR falls from %.1f to %.1f dB", s.Layer, s.before, s.after)
	alone := s.Isolated.SQNR()
	if alone == nil {
		return line + "."
	}
	return fmt.Sprintf("%s; by itself it has %.1f dB, mostly by %s.", line, *alone, s.cause())
}

// cause is where most of a layer's own noise comes from.
func (s suspect) cause() string {
	switch most := max(s.Weights.Noise, s.Rounding.Noise, s.Clipping.Noise); most {
	case s.Weights.Noise:
		return "rounding of weights"
	case s.Rounding.Noise:
		return "rounding of its output"
	default:
		return "clipping of its output"
	}
}

// remedies are what can make a poor model better.
func (c *calibration) remedies(o buildOptions) []string {
	var helps []string
	if o.method != methodBest {
		helps = append(helps, "-method best, which tries all methods")
	}
	if o.method == methodBest && !o.equalize {
		helps = append(helps, "equalization, without -equalize=false")
	}
	if !o.correctBias {
		helps = append(helps, "bias correction, without -correct-bias=false")
	}
	if o.method == methodBest && c.found != nil && c.found.Tried < c.found.Planned {
		helps = append(helps, "a longer -budget")
	}
	if c.table.Images < fewImages {
		helps = append(helps, fmt.Sprintf("more pictures than %d of the kind that the camera will see", c.table.Images))
	}
	if len(helps) == 0 {
		return nil
	}
	return []string{"What can help: " + strings.Join(helps, "; ") + "."}
}

// fewImages are too few pictures for the best ranges.
const fewImages = 128

// warnings tell what may be wrong with pictures and network although the model
// may do well. The analysis may be nil.
func (c *calibration) warnings(n *int8.Network, a *calibrate.Analysis) (lines []string) {
	if c.table.Images == 1 {
		lines = append(lines, "Calibrated on one picture: a few dozen give ranges that others do not leave.")
	}
	if copies := c.set.copies(); len(copies) > 0 {
		lines = append(lines, fmt.Sprintf("%d of the calibration pictures show the same as others, such as %s: they add nothing.", len(copies), filepath.Base(copies[0])))
	}
	if a == nil {
		return lines
	}
	var constant, dead []string
	for i, l := range a.Layers {
		channels := n.Layers[i].Out.Shape.C
		switch {
		case l.Codes == 1:
			constant = append(constant, l.Layer)
		case float64(l.Dead) > mostDead*float64(channels):
			dead = append(dead, fmt.Sprintf("%s (%d of %d)", l.Layer, l.Dead, channels))
		}
	}
	if len(constant) > 0 {
		lines = append(lines, fmt.Sprintf("Layers whose output never changes: %s.", some(constant)))
	}
	if len(dead) > 0 {
		lines = append(lines, fmt.Sprintf("Layers with channels that are zero on all of %d pictures: %s.", a.Images, some(dead)))
	}
	return lines
}

// some lists the first names.
func some(names []string) string {
	listed := names[:min(listedNames, len(names))]
	more := ""
	if len(names) > len(listed) {
		more = fmt.Sprintf(" and %d more", len(names)-len(listed))
	}
	return strings.Join(listed, ", ") + more
}

// watched pictures leave the hashes of their pixels behind, nil where they
// could not be read.
type watched struct {
	imageSet
	hashes calibrate.ImageHashes
}

func watch(set imageSet) watched { return watched{set, make(calibrate.ImageHashes, set.Len())} }

func (w watched) Load(i int) ([]uint8, error) {
	rgb, err := w.imageSet.Load(i)
	if err == nil {
		w.hashes.Add(i, rgb)
	}
	return rgb, err
}

// copies are the files whose pixels an earlier one has.
func (w watched) copies() (files []string) {
	seen := map[string]bool{}
	for i, h := range w.hashes {
		if h != nil && seen[string(h)] {
			files = append(files, w.files[i])
		}
		seen[string(h)] = true
	}
	return files
}
