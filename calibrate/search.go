package calibrate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// SearchOptions steer Search.
type SearchOptions struct {
	Threads int
	Prior   *quantize.RangeTable // see RangeTable.Blend; may be nil
	// What is not to be tried.
	WithoutBias, WithoutEqualization, WithoutRounding bool
	// Budget is the number of candidates to try at most; 0 lets it try all.
	Budget   int
	Skip     func(err error) // as in dataset.Pass
	Progress Progress
}

// Found is the outcome of Search.
type Found struct {
	Table  *quantize.RangeTable
	Hashes dataset.Hashes // of the images
	Trials []Trial        // none where there were too few images to search
	// Tried of Planned candidates were tried: fewer where the budget ended.
	Tried, Planned int
}

// Trial is a step of the search, measured on the validation set: the best of its
// candidates.
type Trial struct {
	Name      string  `json:"name"`      // what it adds to the trials kept before it
	MeanSQNR  float64 `json:"sqnr_db"`   // of the logits, in dB, the mean of the images
	Agreement float64 `json:"agreement"` // share of images with the float network's answer
	Kept      bool    `json:"kept"`      // the trials after it, and the table, have it
}

const (
	searchImages = 128 // the search looks at so many images, the ranges at all
	leastImages  = 16  // too few for a validation set
)

// Search finds the table with the least noise in the logits: it tries one
// method after another, keeps those that help, and then moves the ranges and
// biases layer by layer. With very few images it takes what is best in general.
//
// A quarter of the images is the validation set: those in which the last
// convolution responds most strongly. What they need of ranges is not in the
// other images, just as what images to come need is in none of these; a quarter
// at random would favour ranges that are too tight for the rare image.
func Search(ctx context.Context, g *models.Graph, images dataset.Images, o SearchOptions) (*Found, error) {
	s := &search{SearchOptions: o, graph: g, tables: map[source]*quantize.RangeTable{}}
	if err := s.prepare(ctx, images); err != nil {
		return nil, err
	}
	if s.held.Len() == 0 {
		s.takeGeneral()
		return s.found(0, 0), nil
	}
	candidates := s.candidates()
	planned := len(candidates)
	if o.Budget > 0 {
		candidates = candidates[:min(o.Budget, planned)]
	}
	for i, c := range candidates {
		if err := s.try(ctx, c); err != nil {
			return nil, err
		}
		s.Progress.Of("searching")(i+1, len(candidates))
	}
	if tried := len(candidates); tried < planned && tried <= len(quantize.Methods()) { // ranges and biases have not been compared yet
		s.takeGeneral()
	}
	return s.found(len(candidates), planned), nil
}

// takeGeneral takes what is best where nothing can be compared.
func (s *search) takeGeneral() { s.best.method, s.best.means = quantize.ClipMSE, !s.WithoutBias }

func (s *search) found(tried, planned int) *Found {
	s.best.useAll = s.best.all != nil // also where the budget ended before that candidate
	t := s.table(&s.best)
	hashes := make(dataset.Hashes, s.fit.Len()+s.held.Len())
	for i, h := range s.best.fit.Hashes {
		hashes[s.fit.Index[i]] = h
	}
	for i, h := range s.heldHashes {
		hashes[s.held.Index[i]] = h
	}
	t.Images, t.ImagesHash = hashes.Sum()
	return &Found{Table: t, Hashes: hashes, Trials: s.trials, Tried: tried, Planned: planned}
}

// choices are all that the search can choose. They share what they have in
// common: maps are never modified.
type choices struct {
	view
	useAll  bool
	method  quantize.Method
	means   bool
	factors map[string]float64 // by layer, of its range
	reached map[string]float64 // by layer, what its range reaches at least
	scales  map[string]quantize.PerChannel
	steps   map[string]quantize.Steps
	shifts  map[string]quantize.PerChannel
}

// view is an equalization of the network, observed.
type view struct {
	equalization quantize.Equalization // nil of the network as it is
	quantizer    *quantize.Quantizer   // nil until it is tried
	fit, all     *observe.Statistics   // of the images outside the validation set, and of all
}

func (s *search) table(c *choices) *quantize.RangeTable {
	stats := c.fit
	if c.useAll {
		stats = c.all
	}
	t := *s.observed(source{stats, c.method}, c.equalization == nil)
	if !c.means {
		t.Means = nil
	}
	t.Ranges = maps.Clone(t.Ranges)
	for layer, f := range c.factors {
		t.Ranges[layer] = t.Ranges[layer].Scaled(f, f)
	}
	for layer, magnitude := range c.reached {
		r := t.Ranges[layer]
		f := max(1, magnitude/max(r.Max, -r.Min))
		t.Ranges[layer] = r.Scaled(f, f)
	}
	t.Scales, t.Steps, t.Shifts, t.Equalization = c.scales, c.steps, c.shifts, c.equalization
	return &t
}

// source is where a table comes from, before the search changes it.
type source struct {
	stats  *observe.Statistics
	method quantize.Method
}

// observed makes each table once: it takes longer than to try it. The prior knows
// nothing of equalized channels.
func (s *search) observed(from source, blended bool) *quantize.RangeTable {
	if s.tables[from] == nil {
		s.tables[from] = from.stats.Table(from.method)
		if s.Prior != nil && blended {
			s.tables[from] = s.tables[from].Blend(s.Prior)
		}
	}
	return s.tables[from]
}

type search struct {
	SearchOptions
	graph      *models.Graph
	fit, held  dataset.Subset // all images but those of the validation set, and these
	others     dataset.Subset // those of the fit that the search looks at
	heldHashes dataset.Hashes
	validation *replay             // the images of the validation set
	logits     [][]float32         // their float logits
	hessians   []*quantize.Hessian // by unit, of those of the first stages; once sampled
	images     *replay             // the others, once loaded
	exact      *observe.Statistics // of these
	views      []view              // the network as it is, and its equalizations
	tables     map[source]*quantize.RangeTable
	best       choices
	plan       *runtime.Plan // of the best choices
	deviations []deviation   // of its logits
	score      score         // of these
	rejected   *int8.Network // the last one that is not better
	trials     []Trial
}

// observe looks at all images as the network and its equalizations see them.
func (s *search) observe(ctx context.Context, equalizations []quantize.Equalization) error {
	pass := dataset.Pass{Threads: s.Threads, Skip: s.Skip, Progress: s.Progress.Of("observing")}
	fit, err := observe.ObserveEqualized(ctx, s.graph, equalizations, s.fit, pass)
	if err != nil {
		return err
	}
	for i, e := range equalizations {
		s.views = append(s.views, view{equalization: e, fit: fit[i]})
	}
	if s.held.Len() > 0 {
		held, err := observe.ObserveEqualized(ctx, s.graph, equalizations, s.held, pass)
		if err != nil {
			return err
		}
		s.heldHashes = held[0].Hashes
		for i := range s.views {
			s.views[i].all = fit[i].With(held[i])
		}
	}
	s.best.view = s.views[0]
	s.best.quantizer, err = quantize.New(s.graph, nil)
	return err
}

// candidate is an attempt to improve on the best choices.
type candidate struct {
	trial  string  // that it shares with others
	always bool    // it is taken whatever the validation set says
	price  float64 // the loss of score, in dB, with which it is taken
	brief  bool    // it is given up as soon as there is little hope
	change func(ctx context.Context, c *choices) error
}

// try measures a candidate and keeps its choices if they are better.
func (s *search) try(ctx context.Context, candidate candidate) error {
	c := s.best
	if err := candidate.change(ctx, &c); err != nil {
		return err
	}
	n, err := c.quantizer.Network(s.table(&c))
	switch {
	case err != nil && len(s.trials) > 0:
		return nil // no integer network can be so
	case err != nil:
		return fmt.Errorf("%s: %w", candidate.trial, err)
	}
	if s.plan != nil && !candidate.always && (identical(s.plan.Network(), n) || identical(s.rejected, n)) {
		return nil // a range that limits cut off again, or the same once more
	}
	s.rejected = n
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1, Like: s.plan, Layerwise: true})
	if err != nil {
		return err
	}
	deviations, err := s.measure(ctx, plan, candidate.brief)
	if err != nil || deviations == nil {
		return err
	}
	score := newScore(deviations)
	t := Trial{Name: candidate.trial, MeanSQNR: score.meanSQNR, Agreement: score.agreement, Kept: candidate.always || score.meanSQNR > s.score.meanSQNR-candidate.price}
	if t.Kept {
		if s.images != nil {
			s.images.forget(s.differs(plan))
		}
		s.best, s.plan, s.deviations, s.score = c, plan, deviations, score
	}
	last := len(s.trials) - 1
	switch {
	case last < 0 || s.trials[last].Name != t.Name:
		s.trials = append(s.trials, t)
	case t.MeanSQNR > s.trials[last].MeanSQNR:
		t.Kept = t.Kept || s.trials[last].Kept
		s.trials[last] = t
	}
	return nil
}

// measure runs a network on the validation set, from where it differs from the best
// one. With brief it gives nil as soon as there is no hope that it is better.
func (s *search) measure(ctx context.Context, plan *runtime.Plan, brief bool) ([]deviation, error) {
	next := s.differs(plan)
	var deviations []deviation
	for looks := firstLook; len(deviations) < len(s.logits); looks *= 2 {
		if brief && hopeless(deviations, s.deviations[:len(deviations)]) {
			return nil, nil
		}
		from, to := len(deviations), min(looks, len(s.logits))
		logits, err := s.validation.logits(ctx, plan, next, from, to)
		if err != nil {
			return nil, err
		}
		for i := range logits {
			deviations = append(deviations, newDeviation(s.graph.Activation, s.logits[from+i], logits[i]))
		}
	}
	return deviations, nil
}

// differs is the first tensor that a network makes in another way than the best one.
func (s *search) differs(plan *runtime.Plan) tensor.ID {
	if s.plan == nil {
		return tensor.Output(0)
	}
	n := plan.Network()
	return tensor.Output(min(shared(s.plan.Network(), n), len(n.Layers)-1))
}

// firstLook is the number of images after which a candidate may be given up; then it
// may whenever twice as many are seen.
const firstLook = 8

// hopeless tells whether a network with these deviations on the first images will
// hardly become better than the best one, which has those.
func hopeless(some, best []deviation) bool {
	return len(some) > 0 && newScore(some).meanSQNR < newScore(best).meanSQNR
}

// candidates are all candidates, in the order in which they are tried.
func (s *search) candidates() []candidate {
	all := []candidate{choose("mse ranges", func(c *choices) { c.method = quantize.MSE })}
	all[0].always = true
	for _, m := range quantize.Methods() {
		if m != quantize.MSE {
			all = append(all, choose(string(m)+" ranges", func(c *choices) { c.method = m }))
		}
	}
	if !s.WithoutBias {
		all = append(all, choose("bias correction by means", func(c *choices) { c.means = true }))
	}
	if !s.WithoutEqualization {
		for i := range betas {
			all = append(all, s.equalization(i))
		}
	}
	if !s.WithoutRounding {
		for _, stage := range s.early() {
			all = append(all, s.rescaling(stage), s.rounding(stage))
		}
	}
	for _, stage := range slices.Backward(s.stages()) {
		if sums := s.sums(stage); len(sums) > 0 {
			all = append(all, reaching(sums))
		}
	}
	for _, stage := range s.stages() {
		all = append(all, widening(stage, 1.3), widening(stage, 1.3), widening(stage, 0.8))
	}
	for _, stage := range s.stages() {
		for i := range stage {
			all = append(all, widening(stage[i:i+1], 1.2), widening(stage[i:i+1], 0.85))
		}
	}
	whole := choose("ranges of all pictures", func(c *choices) { c.useAll = true })
	whole.always = true
	all = append(all, whole)
	if !s.WithoutBias {
		for i := range s.best.quantizer.Units() {
			if s.correctable(i) {
				all = append(all, s.correction(i))
			}
		}
	}
	return all
}

func choose(trial string, f func(c *choices)) candidate {
	return candidate{trial: trial, change: func(_ context.Context, c *choices) error {
		f(c)
		return nil
	}}
}

// stages are the convolutions by the size of their outputs: their errors add up
// in a residual stream.
func (s *search) stages() (stages [][]quantize.Unit) {
	var shape tensor.Shape
	for _, u := range quantize.Activations(s.best.quantizer.Units()) {
		if u.Shape.H != shape.H || u.Shape.W != shape.W {
			shape, stages = u.Shape, append(stages, nil)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], u)
	}
	return stages
}

func widening(units []quantize.Unit, factor float64) candidate {
	c := choose("widths of ranges", func(c *choices) {
		factors := cloned(c.factors)
		for _, u := range units {
			if factors[u.Name] == 0 {
				factors[u.Name] = 1
			}
			factors[u.Name] *= factor
		}
		c.factors = factors
	})
	c.brief = true
	return c
}

// betas are those of the equalizations to try, see quantize.NewEqualization.
var betas = []float64{0.25, 0.5}

// equalization makes the channels of every tensor more alike.
func (s *search) equalization(i int) candidate {
	return candidate{trial: fmt.Sprintf("equalization, beta %g", betas[i]), change: func(_ context.Context, c *choices) (err error) {
		c.view = s.views[1+i]
		c.quantizer, err = quantize.New(s.graph, c.equalization)
		return err
	}}
}

// sums are those of a stage that are sums, or meet in one.
func (s *search) sums(stage []quantize.Unit) []quantize.Unit {
	summed := quantize.Summed(s.best.quantizer.Units())
	return slices.DeleteFunc(slices.Clone(stage), func(u quantize.Unit) bool { return !summed[u.Output] })
}

// priceOfReach is what the reach of a stage's sums may cost images without strong
// responses, in dB.
const priceOfReach = 0.1

// reaching makes the ranges of a stage's sums reach the strongest of many more images
// than there are. In a residual stream a channel or two of thousands respond to some
// class by several times of what all others reach: no image of another class tells of
// it, and one that is clipped there loses what makes its class. The images at hand
// cannot show what it gives, only what it costs; the later the stage the less, as more
// pixels are averaged behind.
func reaching(sums []quantize.Unit) candidate {
	c := choose(fmt.Sprintf("sums of the strongest of %d pictures, %s", observe.ReturnPeriod, outputsOf(sums)), func(c *choices) {
		levels := c.all.ReturnLevels()
		c.reached = cloned(c.reached)
		for _, u := range sums {
			c.reached[u.Name] = levels[u.Name]
		}
	})
	c.price = priceOfReach
	return c
}
