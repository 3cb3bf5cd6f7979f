package calibrate

import (
	"context"
	"fmt"
	"maps"
	"time"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// SearchOptions steer Search.
type SearchOptions struct {
	Threads int
	Prior   *RangeTable // see RangeTable.Blend; may be nil
	// What is not to be tried.
	WithoutBias, WithoutEqualization, WithoutRounding bool
	// Budget ends the search early; 0 lets it try everything. What a search that
	// ended early finds depends on the machine's speed.
	Budget   time.Duration
	Skip     func(err error) // as in ObserveOptions
	Progress Progress
}

// Found is the outcome of Search.
type Found struct {
	Table  *RangeTable
	Hashes ImageHashes // of the pictures
	Trials []Trial     // none where there were too few pictures to search
	// Tried of Planned moves were tried: fewer where the budget ended.
	Tried, Planned int
}

// Trial is a step of the search, measured on the pictures held out.
type Trial struct {
	Name      string  `json:"name"`      // what it adds to the trials kept before it
	MeanSQNR  float64 `json:"sqnr_db"`   // of the logits, in dB, the mean of the pictures
	Agreement float64 `json:"agreement"` // share of pictures with the float network's first class
	Kept      bool    `json:"kept"`      // the trials after it, and the table, have it
}

const (
	searchImages = 128 // the search looks at so many pictures, the ranges at all
	leastImages  = 16  // too few to hold some out
)

// Search finds the table with the least noise in the logits: it tries one
// method after another, keeps those that help, and then moves the ranges and
// biases layer by layer. With very few pictures it takes what is best in
// general.
//
// A quarter of the pictures is held out to judge by: those in which the last
// convolution responds most strongly. What they need of ranges is not in the
// other pictures, just as what pictures to come need is in none of these; a
// quarter at random would favour ranges that are too tight for the rare picture.
func Search(ctx context.Context, g *models.Graph, images Images, o SearchOptions) (*Found, error) {
	s := &search{SearchOptions: o, graph: g, tables: map[choice]*RangeTable{}}
	if o.Budget > 0 {
		s.deadline = time.Now().Add(o.Budget)
	}
	if err := s.prepare(ctx, images); err != nil {
		return nil, err
	}
	if len(s.judges) == 0 {
		s.takeGeneral()
		return s.found(0, 0), nil
	}
	moves := s.moves()
	for i, m := range moves {
		if i > 0 && !s.deadline.IsZero() && time.Now().After(s.deadline) {
			if i <= len(Methods()) { // ranges and biases have not been compared yet
				s.takeGeneral()
			}
			return s.found(i, len(moves)), nil
		}
		if err := s.try(ctx, m); err != nil {
			return nil, err
		}
		s.Progress.Of("searching")(i+1, len(moves))
	}
	return s.found(len(moves), len(moves)), nil
}

// takeGeneral takes what is best where nothing can be compared.
func (s *search) takeGeneral() { s.best.method, s.best.means = ClipMSE, !s.WithoutBias }

func (s *search) found(tried, planned int) *Found {
	s.best.useAll = s.best.all != nil // also where the budget ended before that move
	t := s.table(&s.best)
	hashes := make(ImageHashes, s.fit.images.Len())
	for _, part := range []struct {
		subset
		hashes ImageHashes
	}{{s.fit, s.best.fit.Hashes}, {s.held, s.heldHashes}} {
		for i, h := range part.hashes {
			hashes[part.index[i]] = h
		}
	}
	t.Images, t.ImagesHash = hashes.Sum()
	return &Found{Table: t, Hashes: hashes, Trials: s.trials, Tried: tried, Planned: planned}
}

// candidate is a choice of all that the search can choose. Candidates share
// what they have in common: maps are never modified.
type candidate struct {
	exponents Exponents
	rounder   *rounder    // of the equalized graph
	fit, all  *Statistics // of the pictures that are not held out, and of all
	useAll    bool
	method    Method
	means     bool
	factors   map[string]float64 // by unit, of its range
	scales    map[string]Means
	steps     map[string]Steps
	shifts    map[string]Means
}

// table is the candidate as Quantize takes it.
func (s *search) table(c *candidate) *RangeTable {
	stats := c.fit
	if c.useAll {
		stats = c.all
	}
	t := *s.chosen(stats, c.method, c.exponents == nil)
	if !c.means {
		t.Means = nil
	}
	t.Ranges = maps.Clone(t.Ranges)
	for unit, f := range c.factors {
		t.Ranges[unit] = t.Ranges[unit].times(f, f)
	}
	t.Scales, t.Steps, t.Shifts, t.Exponents = c.scales, c.steps, c.shifts, c.exponents
	return &t
}

// choice is a table before the search changes it.
type choice struct {
	stats  *Statistics
	method Method
}

// chosen makes each table once: it takes longer than to try it. The prior knows
// nothing of equalized channels.
func (s *search) chosen(stats *Statistics, m Method, blended bool) *RangeTable {
	key := choice{stats, m}
	if s.tables[key] == nil {
		s.tables[key] = stats.Table(m)
		if s.Prior != nil && blended {
			s.tables[key] = s.tables[key].Blend(s.Prior)
		}
	}
	return s.tables[key]
}

type search struct {
	SearchOptions
	graph       *models.Graph
	deadline    time.Time
	fit, held   subset // all pictures but those held out, and these
	others      subset // those of the fit that the search looks at
	heldHashes  ImageHashes
	judges      [][]uint8              // the pictures held out
	logits      [][]float32            // their float logits
	covariances map[string]*covariance // of what early units read, once sampled
	pictures    [][]uint8              // the others, once loaded
	exact       *Statistics            // of these
	peaks       map[string][]float64   // before any equalization
	tables      map[choice]*RangeTable
	best        candidate
	score       float64 // its MeanSQNR
	trials      []Trial
}

// observe fills in what a candidate's exponents determine.
func (s *search) observe(ctx context.Context, c *candidate) error {
	g, err := Equalize(s.graph, c.exponents)
	if err != nil {
		return err
	}
	units, err := lower(g)
	if err != nil {
		return err
	}
	c.rounder = newRounder(g, units)
	o := ObserveOptions{Threads: s.Threads, Skip: func(error) {}}
	if s.best.fit == nil { // the first time
		o.Skip, o.Progress = s.Skip, s.Progress.Of("observing")
	}
	if c.fit, err = Observe(ctx, g, s.fit, o); err != nil || s.held.Len() == 0 {
		return err
	}
	held, err := Observe(ctx, g, s.held, o)
	if err != nil {
		return err
	}
	c.all, s.heldHashes = c.fit.with(held), held.Hashes
	return nil
}

// move is an attempt to improve on the best candidate.
type move struct {
	step   string // moves of one step share a trial
	always bool   // it is taken whatever the judges say
	// from makes a candidate of the best one; nil where there is nothing to try.
	from func(ctx context.Context, best candidate) (*candidate, error)
}

// try makes a move and keeps its candidate if that is better.
func (s *search) try(ctx context.Context, m move) error {
	c, err := m.from(ctx, s.best)
	if err != nil || c == nil {
		return err
	}
	n, err := c.rounder.quantize(s.table(c))
	switch {
	case err != nil && len(s.trials) > 0:
		return nil // no integer network can be so
	case err != nil:
		return fmt.Errorf("%s: %w", m.step, err)
	}
	logits, err := int8Logits(ctx, n, s.judges, s.Threads)
	if err != nil {
		return err
	}
	sqnr, agreement := compare(s.logits, logits)
	t := Trial{Name: m.step, MeanSQNR: sqnr, Agreement: agreement, Kept: m.always || sqnr > s.score}
	if t.Kept {
		s.best, s.score = *c, sqnr
	}
	last := len(s.trials) - 1
	switch {
	case last < 0 || s.trials[last].Name != m.step:
		s.trials = append(s.trials, t)
	case t.MeanSQNR > s.trials[last].MeanSQNR:
		t.Kept = t.Kept || s.trials[last].Kept
		s.trials[last] = t
	}
	return nil
}

// moves are all moves, in the order in which they are tried.
func (s *search) moves() []move {
	moves := []move{s.change("mse ranges", func(c *candidate) { c.method = MSE })}
	moves[0].always = true
	for _, m := range Methods() {
		if m != MSE {
			moves = append(moves, s.change(string(m)+" ranges", func(c *candidate) { c.method = m }))
		}
	}
	if !s.WithoutBias {
		moves = append(moves, s.change("bias correction by means", func(c *candidate) { c.means = true }))
	}
	if !s.WithoutEqualization {
		moves = append(moves, s.equalization(0.25), s.equalization(0.5))
	}
	if !s.WithoutRounding {
		for _, units := range s.early() {
			moves = append(moves, s.rescaling(units), s.rounding(units))
		}
	}
	for _, units := range s.planes() {
		moves = append(moves, s.widening(units, 1.3), s.widening(units, 1.3), s.widening(units, 0.8))
	}
	for _, u := range s.best.rounder.units {
		if _, conv := u.op.(*models.Conv); conv {
			moves = append(moves, s.widening([]string{u.name}, 1.2), s.widening([]string{u.name}, 0.85))
		}
	}
	all := s.change("ranges of all pictures", func(c *candidate) { c.useAll = true })
	all.always = true
	moves = append(moves, all)
	if !s.WithoutBias {
		for _, u := range s.best.rounder.units {
			moves = append(moves, s.correction(u))
		}
	}
	return moves
}

func (s *search) change(step string, change func(c *candidate)) move {
	return move{step: step, from: func(_ context.Context, c candidate) (*candidate, error) {
		change(&c)
		return &c, nil
	}}
}

// planes are the convolutions by the size of their outputs: their errors add up
// in a residual stream.
func (s *search) planes() (groups [][]string) {
	var shape tensor.Shape
	for _, u := range s.best.rounder.units {
		if _, conv := u.op.(*models.Conv); !conv {
			continue
		}
		if u.shape.H != shape.H || u.shape.W != shape.W {
			shape, groups = u.shape, append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], u.name)
	}
	return groups
}

func (s *search) widening(units []string, factor float64) move {
	return s.change("widths of ranges", func(c *candidate) {
		factors := cloned(c.factors)
		for _, unit := range units {
			if factors[unit] == 0 {
				factors[unit] = 1
			}
			factors[unit] *= factor
		}
		c.factors = factors
	})
}

// equalization makes the channels of every tensor more alike. The network is
// then another one, which has to be observed.
func (s *search) equalization(beta float64) move {
	return move{step: fmt.Sprintf("equalization, beta %g", beta), from: func(ctx context.Context, c candidate) (*candidate, error) {
		exponents, err := Balance(s.graph, s.peaks, beta)
		if err != nil {
			return nil, err
		}
		c.exponents = exponents
		return &c, s.observe(ctx, &c)
	}}
}
