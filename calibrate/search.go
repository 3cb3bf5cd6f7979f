package calibrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Engine runs quantized networks on pictures as boards do.
type Engine interface {
	// Logits returns the real logits of every picture.
	Logits(ctx context.Context, n *int8.Network, pictures [][]uint8) ([][]float32, error)
	// Means returns the averages of q - zero of each channel of the named
	// layers' outputs, over all pictures and pixels.
	Means(ctx context.Context, n *int8.Network, pictures [][]uint8, layers ...string) (map[string][]float64, error)
}

// SearchOptions steer Search.
type SearchOptions struct {
	Engine  Engine
	Threads int
	Prior   *RangeTable // see RangeTable.Blend; may be nil
	// What is not to be tried.
	WithoutBias, WithoutEqualization, WithoutRounding bool
	// Budget ends the search early; 0 lets it try everything. What a search that
	// ended early finds depends on the machine's speed.
	Budget   time.Duration
	Skip     func(err error)                     // as in ObserveOptions
	Progress func(stage string, done, total int) // if not nil
}

// Found is the outcome of Search.
type Found struct {
	Table  *RangeTable
	Trials []Trial // none where there were too few pictures to search
	// Tried of Planned moves were tried: fewer where the budget ended.
	Tried, Planned int
}

// Trial is a step of the search, measured on the pictures held out.
type Trial struct {
	Name      string  // what it adds to the trials kept before it
	SQNR      float64 // of the logits, in dB
	Agreement float64 // share of pictures with the float network's first class
	Kept      bool
}

const (
	searchImages  = 128 // the search looks at so many pictures, the ranges at all
	leastImages   = 16  // too few to hold some out
	typicalImages = 32  // that biases are corrected by
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
	s := &search{SearchOptions: o, graph: g, best: candidate{prior: o.Prior}}
	if o.Budget > 0 {
		s.deadline = time.Now().Add(o.Budget)
	}
	if err := s.prepare(ctx, images); err != nil {
		return nil, err
	}
	if len(s.judges) == 0 {
		s.best.method, s.best.means = ClipMSE, !s.WithoutBias
		return s.found(0, 0), nil
	}
	moves := s.moves()
	for i, m := range moves {
		if i > 0 && !s.deadline.IsZero() && time.Now().After(s.deadline) {
			return s.found(i, len(moves)), nil
		}
		if err := s.try(ctx, m); err != nil {
			return nil, err
		}
		s.report("searching")(i+1, len(moves))
	}
	return s.found(len(moves), len(moves)), nil
}

func (s *search) found(tried, planned int) *Found {
	t := s.best.table()
	hashes := make(ImageHashes, s.fit.images.Len())
	for _, part := range []struct {
		subset
		hashes ImageHashes
	}{{s.fit, s.best.fit.hashes}, {s.held, s.heldHashes}} {
		for i, h := range part.hashes {
			hashes[part.index[i]] = h
		}
	}
	t.Images, t.ImagesHash = hashes.Sum()
	return &Found{Table: t, Trials: s.trials, Tried: tried, Planned: planned}
}

// candidate is a choice of all that the search can choose. Candidates share
// what they have in common: maps are never modified.
type candidate struct {
	exponents Exponents
	rounder   *rounder    // of the equalized graph
	fit, all  *Statistics // of the pictures that are not held out, and of all
	useAll    bool
	prior     *RangeTable
	method    Method
	means     bool
	factors   map[string]float64 // by unit, of its range
	scales    map[string]Means
	steps     map[string]Steps
	shifts    map[string]Means
}

// table is the candidate as Quantize takes it.
func (c *candidate) table() *RangeTable {
	stats := c.fit
	if c.useAll {
		stats = c.all
	}
	t := stats.Table(c.method)
	if c.prior != nil && c.exponents == nil { // it knows nothing of equalized channels
		t = t.Blend(c.prior)
	}
	if !c.means {
		t.Means = nil
	}
	for unit, f := range c.factors {
		t.Ranges[unit] = t.Ranges[unit].times(f, f)
	}
	t.Scales, t.Steps, t.Shifts, t.Exponents = c.scales, c.steps, c.shifts, c.exponents
	return t
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
	exact       *Statistics            // of the typical pictures, once observed
	best        candidate
	score       float64
	trials      []Trial
}

// typical are the pictures to correct biases by.
func (s *search) typical() subset {
	return subset{s.others.images, s.others.index[:min(typicalImages, s.others.Len())]}
}

func (s *search) report(stage string) func(done, total int) {
	return func(done, total int) {
		if s.Progress != nil {
			s.Progress(stage, done, total)
		}
	}
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
		o.Skip, o.Progress = s.Skip, s.report("observing")
	}
	if c.fit, err = Observe(ctx, g, s.fit, o); err != nil || s.held.Len() == 0 {
		return err
	}
	held, err := Observe(ctx, g, s.held, o)
	if err != nil {
		return err
	}
	c.all, s.heldHashes = c.fit.with(held), held.hashes
	return nil
}

// prepare chooses the pictures to hold out and observes the network.
func (s *search) prepare(ctx context.Context, images Images) error {
	s.fit, s.held, s.others = subset{images: images}, subset{images: images}, subset{images: images}
	some := subset{images: images}
	for i, n := 0, min(searchImages, images.Len()); i < n; i++ {
		some.index = append(some.index, i*images.Len()/n)
	}
	responses, err := s.respond(ctx, some)
	if err != nil {
		return err
	}
	slices.SortStableFunc(responses, func(a, b response) int { return cmp.Compare(b.strength, a.strength) })
	n := 0
	if len(responses) >= leastImages {
		n = len(responses) / 4
	}
	held := responses[:n]
	slices.SortFunc(held, func(a, b response) int { return a.image - b.image })
	out := map[int]bool{}
	for _, r := range held {
		out[r.image] = true
		s.held.index, s.logits = append(s.held.index, r.image), append(s.logits, r.logits)
	}
	for i := range images.Len() {
		if !out[i] {
			s.fit.index = append(s.fit.index, i)
		}
	}
	for _, r := range responses[n:] {
		s.others.index = append(s.others.index, r.image)
	}
	slices.Sort(s.others.index)
	if s.judges, err = s.held.load(); err != nil {
		return err
	}
	return s.observe(ctx, &s.best)
}

// response is what the float network gives for a picture.
type response struct {
	image    int
	strength float32 // the last convolution's largest value
	logits   []float32
}

// respond runs the float network on pictures, those that cannot be loaded left
// out.
func (s *search) respond(ctx context.Context, images subset) ([]response, error) {
	units, err := lower(s.graph)
	if err != nil {
		return nil, err
	}
	logits, last := units[len(units)-1].tensor, ""
	for _, u := range units {
		if _, conv := u.op.(*models.Conv); conv {
			last = u.tensor
		}
	}
	o := ObserveOptions{Threads: s.Threads, Skip: func(error) {}, Progress: s.report("preparing")}
	workers := make([]response, o.workers(images))
	var responses []response
	hashes, err := pass(ctx, s.graph, images, o, []string{last, logits}, watch{
		look: func(worker int, name string, _ tensor.Shape, values []float32) error {
			if name == last {
				workers[worker].strength = slices.Max(values)
			} else {
				workers[worker].logits = slices.Clone(values)
			}
			return nil
		},
		done: func(worker int) { responses = append(responses, workers[worker]) },
	})
	if err != nil {
		return nil, err
	}
	at := 0
	for i, h := range hashes {
		if h != nil {
			responses[at].image = images.index[i]
			at++
		}
	}
	return responses, nil
}

// subset is some of the pictures.
type subset struct {
	images Images
	index  []int
}

func (s subset) Len() int                    { return len(s.index) }
func (s subset) Load(i int) ([]uint8, error) { return s.images.Load(s.index[i]) }

// load returns all pictures of a subset.
func (s subset) load() (pictures [][]uint8, err error) {
	for i := range s.index {
		rgb, err := s.Load(i)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, rgb)
	}
	return pictures, nil
}

// compare measures logits against the float network's.
func compare(exact, logits [][]float32) (sqnr, agreement float64) {
	var n Noise
	agree := 0
	for i, want := range exact {
		for c, v := range want {
			d := float64(logits[i][c]) - float64(v)
			n.add(Noise{float64(float64(v) * float64(v)), float64(d * d)})
		}
		if slices.Index(want, slices.Max(want)) == slices.Index(logits[i], slices.Max(logits[i])) {
			agree++
		}
	}
	ratio := math.Inf(1)
	if db := n.SQNR(); db != nil {
		ratio = *db
	}
	return ratio, float64(agree) / float64(len(exact))
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
	n, err := c.rounder.quantize(c.table())
	if err != nil {
		return fmt.Errorf("%s: %w", m.step, err)
	}
	logits, err := s.Engine.Logits(ctx, n, s.judges)
	if err != nil {
		return err
	}
	noise, agreement := compare(s.logits, logits)
	t := Trial{Name: m.step, SQNR: noise, Agreement: agreement, Kept: m.always || noise > s.score}
	if t.Kept {
		s.best, s.score = *c, noise
	}
	last := len(s.trials) - 1
	switch {
	case last < 0 || s.trials[last].Name != m.step:
		s.trials = append(s.trials, t)
	case t.SQNR > s.trials[last].SQNR:
		t.Kept = t.Kept || s.trials[last].Kept
		s.trials[last] = t
	}
	return nil
}

// moves are all moves, in the order in which they are tried.
func (s *search) moves() []move {
	moves := []move{s.choice("mse ranges", func(c *candidate) { c.method = MSE })}
	moves[0].always = true
	for _, m := range Methods() {
		if m != MSE {
			moves = append(moves, s.choice(string(m)+" ranges", func(c *candidate) { c.method = m }))
		}
	}
	if !s.WithoutBias {
		moves = append(moves, s.choice("bias correction by means", func(c *candidate) { c.means = true }))
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
	all := s.choice("ranges of all pictures", func(c *candidate) { c.useAll = true })
	all.always = true
	moves = append(moves, all)
	if !s.WithoutBias {
		for _, u := range s.best.rounder.units {
			moves = append(moves, s.correction(u))
		}
	}
	return moves
}

func (s *search) choice(step string, change func(c *candidate)) move {
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

// earlyWeights bounds the weights that second moments are taken for. The first
// layers have few, and their errors pass through all others; the moments of the
// last would take minutes and megabytes of table for little.
const earlyWeights = 2 << 20

// early are the first planes.
func (s *search) early() (groups [][]string) {
	weights := 0
	for _, units := range s.planes() {
		for _, u := range s.best.rounder.units {
			if slices.Contains(units, u.name) {
				weights += len(u.op.(*models.Conv).Weight)
			}
		}
		if weights > earlyWeights {
			break
		}
		groups = append(groups, units)
	}
	return groups
}

// rescaling takes second moments of inputs into account in weights' scales.
func (s *search) rescaling(units []string) move {
	return move{step: "weight scales by second moments", from: func(ctx context.Context, c candidate) (*candidate, error) {
		scales := cloned(c.scales)
		err := s.eachCovariance(ctx, &c, units, func(u unit, weight []float32, cov *covariance) error {
			rows := make(Means, u.shape.C)
			parallel(len(rows), func(o int) {
				rows[o] = cov.scale(weight[o*cov.depth:(o+1)*cov.depth], o, len(rows))
			})
			scales[u.name] = rows.rounded()
			return nil
		})
		c.scales = scales
		return &c, err
	}}
}

// rounding takes second moments of inputs into account in weights' rounding.
func (s *search) rounding(units []string) move {
	return move{step: "rounding by second moments", from: func(ctx context.Context, c candidate) (*candidate, error) {
		steps, table := cloned(c.steps), c.table()
		err := s.eachCovariance(ctx, &c, units, func(u unit, weight []float32, cov *covariance) error {
			rounded, err := c.rounder.byTable(u, table)
			if err == nil {
				steps[u.name], err = cov.steps(weight, rounded)
			}
			return err
		})
		c.steps = steps
		return &c, err
	}}
}

// cloned is a copy of m to write to, also of a nil one.
func cloned[V any](m map[string]V) map[string]V {
	c := maps.Clone(m)
	if c == nil {
		c = map[string]V{}
	}
	return c
}

// eachCovariance calls f for units with their exact weights.
func (s *search) eachCovariance(ctx context.Context, c *candidate, units []string, f func(u unit, weight []float32, cov *covariance) error) error {
	if s.covariances == nil {
		if err := s.sample(ctx, c); err != nil {
			return err
		}
	}
	for _, u := range c.rounder.units {
		if !slices.Contains(units, u.name) {
			continue
		}
		weight, _ := c.rounder.exact(u)
		if err := f(u, weight, s.covariances[u.name]); err != nil {
			return err
		}
	}
	return nil
}

// sample finds the covariances of the inputs of the early units. It runs one
// picture after another: sums of floats depend on their order.
func (s *search) sample(ctx context.Context, c *candidate) error {
	g := c.rounder.graph
	tensors, shapes := map[string]string{g.InputName: g.InputName}, map[string]tensor.Shape{g.InputName: g.Input}
	early, samplers := slices.Concat(s.early()...), map[string]map[string]*sampler{} // by tensor and unit
	for _, u := range c.rounder.units {
		tensors[u.name], shapes[u.name] = u.tensor, u.shape
		if in := u.inputs[0]; slices.Contains(early, u.name) {
			if samplers[tensors[in]] == nil {
				samplers[tensors[in]] = map[string]*sampler{}
			}
			samplers[tensors[in]][u.name] = newSampler(u, shapes[in])
		}
	}
	add := func(tensor string, values []float32) (err error) {
		for _, s := range samplers[tensor] {
			err = errors.Join(err, s.add(values))
		}
		return err
	}
	shown := slices.DeleteFunc(slices.Collect(maps.Keys(samplers)), func(t string) bool { return t == g.InputName })
	executor, err := NewExecutor(g, max(1, s.Threads), shown...)
	if err != nil {
		return err
	}
	input, zero := make([]float32, g.Input.Elements()), imageTensor(g)
	for i := range s.others.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		rgb, err := s.others.Load(i)
		if err != nil {
			return err
		}
		for k, p := range rgb {
			input[k] = float32(int(p) - 128 - int(zero.ZeroAt(k%3)))
		}
		failed := add(g.InputName, input)
		g.Preprocess.Float(input, rgb)
		_, err = executor.Run(input, func(name string, _ tensor.Shape, values []float32) {
			failed = errors.Join(failed, add(name, values))
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		s.report("sampling")(i+1, s.others.Len())
	}
	s.covariances = map[string]*covariance{}
	for _, of := range samplers {
		for unit, sampler := range of {
			if s.covariances[unit], err = sampler.covariance(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *search) widening(units []string, factor float64) move {
	return s.choice("widths of ranges", func(c *candidate) {
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
		exponents, err := balanceAll(s.graph, s.best.fit.peaks, beta)
		if err != nil {
			return nil, err
		}
		c.exponents = exponents
		return &c, s.observe(ctx, &c)
	}}
}

// correction moves the biases of a unit by what quantization adds to its inputs
// on average, as the layers before it really are. (Finkelstein et al., "Fighting
// Quantization Bias With Bias", arXiv:1906.03193, with averages taken through
// the unit's linear part: before the ReLU.)
func (s *search) correction(u unit) move {
	return move{step: "bias correction layer by layer", from: func(ctx context.Context, c candidate) (*candidate, error) {
		inputs := slices.DeleteFunc(slices.Clone(u.inputs), func(in string) bool { return in == s.graph.InputName })
		weight, bias := c.rounder.exact(u)
		if len(bias) == 0 || len(inputs) < len(u.inputs) {
			return nil, nil
		}
		drifts, err := s.drifts(ctx, &c, inputs)
		if err != nil {
			return nil, err
		}
		shift := moved(u, weight, drifts)
		for o, before := range c.shifts[u.name] {
			shift[o] += before
		}
		shifts := cloned(c.shifts)
		shifts[u.name] = shift.rounded()
		c.shifts = shifts
		return &c, nil
	}}
}

// drifts are the differences between the means of quantized outputs and of
// float ones, in real units.
func (s *search) drifts(ctx context.Context, c *candidate, layers []string) ([][]float64, error) {
	n, err := c.rounder.quantize(c.table())
	if err != nil {
		return nil, err
	}
	pictures, err := s.typical().load()
	if err != nil {
		return nil, err
	}
	means, err := s.Engine.Means(ctx, n, pictures, layers...)
	if err != nil {
		return nil, err
	}
	if s.exact == nil {
		if s.exact, err = Observe(ctx, c.rounder.graph, s.typical(), ObserveOptions{Threads: s.Threads}); err != nil {
			return nil, err
		}
	}
	drifts := make([][]float64, len(layers))
	for i := range n.Layers {
		l := &n.Layers[i]
		if at := slices.Index(layers, l.Name); at >= 0 {
			exact := s.exact.means(l.Name)
			for ch, mean := range means[l.Name] {
				drifts[at] = append(drifts[at], float64(mean*float64(l.Out.Scale))-exact[ch])
			}
		}
	}
	return drifts, nil
}

// moved is what the drifts of its inputs do to a unit's biases, to be undone.
func moved(u unit, weight []float32, drifts [][]float64) Means {
	outputs, groups := u.shape.C, 1
	if op, ok := u.op.(*models.Conv); ok {
		groups = op.Groups
	}
	drift := drifts[0]
	depth, groupIn, groupOut := len(weight)/outputs, len(drift)/groups, outputs/groups
	shift := make(Means, outputs)
	parallel(outputs, func(o int) {
		first := o / groupOut * groupIn
		for k, w := range weight[o*depth : (o+1)*depth] {
			shift[o] -= float64(float64(w) * drift[first+k%groupIn])
		}
		if len(drifts) > 1 {
			shift[o] -= drifts[1][o]
		}
	})
	return shift
}
