package calibrate

import (
	"cmp"
	"context"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/preprocess"
)

// Sensitivity is what the rounding and clipping of one convolution's output
// costs the logits.
type Sensitivity struct {
	Layer string
	// Share is this output's part of the noise power in a picture's logits, on
	// average over pictures. Shares of several layers add up, in a first
	// approximation: errors are small and independent.
	Share float64
}

// Gain is what the logits' SQNR gains, in dB, without this layer's noise.
func (s Sensitivity) Gain() float64 { return gain(s.Share) }

// gain is that of taking away a share of all noise. An estimate near 1, or
// beyond, says no more than that little is left.
func gain(share float64) float64 { return -10 * math.Log10(max(1-share, leastLeft)) }

const leastLeft = 0.01

// Sensitivities quantizes the output of every convolution of n, one at a time,
// in the float network g, runs that again from there on, and compares the error
// in the logits with that of the whole integer network. Few pictures are enough,
// since no other layer's errors blur the result and no picture counts for more
// than another.
func Sensitivities(ctx context.Context, g *models.Graph, n *int8.Network, images Images, o AnalyzeOptions) ([]Sensitivity, error) {
	probes, err := newProbes(g, n, o.workers(images))
	if err != nil {
		return nil, err
	}
	sensitivities := make([]Sensitivity, len(probes[0].targets))
	seen, err := o.each(ctx, images, func(worker int, rgb []uint8) error {
		return probes[worker].run(rgb)
	}, func(worker int) {
		for i, share := range probes[worker].shares {
			sensitivities[i].Share += share
		}
	})
	if err != nil {
		return nil, err
	}
	for i, t := range probes[0].targets {
		sensitivities[i].Layer = t.layer
		sensitivities[i].Share /= float64(seen)
	}
	return sensitivities, nil
}

// target is a tensor to quantize.
type target struct {
	layer string
	step  int // of the float network's plan, which makes it
	scale float64
	grid  *grid // in steps
}

// probe measures on one goroutine's pictures.
type probe struct {
	float                *replay
	quantized            *Executor
	toFloat, toQuantized preprocess.Spec
	input                []float32
	targets              []target
	shares               []float64 // of the last picture's noise, by target
}

// newProbes makes a number of probes that share weights.
func newProbes(g *models.Graph, n *int8.Network, number int) ([]*probe, error) {
	g = g.Logits()
	simulation, err := Simulate(g, n, nil)
	if err != nil {
		return nil, err
	}
	quantized, err := NewExecutor(simulation, 1)
	if err != nil {
		return nil, err
	}
	units, err := lower(g)
	if err != nil {
		return nil, err
	}
	plan, err := compile(g, observed(units))
	if err != nil {
		return nil, err
	}
	targets := newTargets(n, units, plan)
	var probes []*probe
	for range number {
		probes = append(probes, &probe{
			float: newReplay(plan), quantized: quantized.Clone(),
			toFloat: g.Preprocess, toQuantized: simulation.Preprocess,
			input: make([]float32, g.Input.Elements()), targets: targets, shares: make([]float64, len(targets)),
		})
	}
	return probes, nil
}

func newTargets(n *int8.Network, units []unit, p *plan) (targets []target) {
	for _, u := range units {
		if _, conv := u.op.(*models.Conv); !conv {
			continue
		}
		layer := n.Layers[slices.IndexFunc(n.Layers, func(l int8.Layer) bool { return l.Name == u.name })]
		targets = append(targets, target{
			layer: u.name,
			step:  slices.IndexFunc(p.steps, func(s step) bool { return s.name == u.tensor }),
			scale: float64(layer.Out.Scale),
			grid:  Precision{}.grid(signal{Tensor: &layer.Out, relu: u.relu}),
		})
	}
	return targets
}

func (p *probe) run(rgb []uint8) error {
	if err := checkPicture(rgb, p.input); err != nil {
		return err
	}
	p.toQuantized.Float(p.input, rgb)
	quantized, err := p.quantized.Run(p.input, nil)
	if err != nil {
		return err
	}
	p.toFloat.Float(p.input, rgb)
	exact := p.float.run(p.input)
	total := distance(exact, quantized)
	for i, t := range p.targets {
		p.shares[i] = 0
		if total > 0 {
			p.shares[i] = distance(exact, p.float.from(t.step, t.quantize)) / total
		}
	}
	return nil
}

func (t *target) quantize(y, x []float32) {
	for i, v := range x {
		y[i] = float32(t.grid.nearest(float64(v)/t.scale) * t.scale)
	}
}

// distance is the sum of squared differences.
func distance(x, y []float32) (sum float64) {
	for i, v := range x {
		sum += square(float64(v) - float64(y[i]))
	}
	return sum
}

// replay runs a network on one image, and then parts of it again, from a tensor
// that was altered. It keeps all tensors of the first run.
type replay struct {
	plan     *plan
	original [][]float32 // by tensor number; 0 is the image
	altered  [][]float32
	differs  []bool // whether to read the altered tensor
	worker   worker
}

func newReplay(p *plan) *replay {
	r := &replay{plan: p, altered: p.executor(1).values, differs: make([]bool, len(p.steps)+1)}
	r.original = append(r.original, nil)
	for _, s := range p.steps {
		r.original = append(r.original, make([]float32, s.shape.Elements()))
	}
	r.worker = worker{0, 1, make([]float32, p.scratch)}
	return r
}

// run returns the network's output for an image, which must stay as it is.
func (r *replay) run(image []float32) []float32 {
	r.original[0] = image
	clear(r.differs)
	for i := range r.plan.steps {
		r.step(i, r.original[i+1])
	}
	return r.original[len(r.plan.steps)]
}

// from returns the output that follows when alter writes a step's output y in
// place of its original x.
func (r *replay) from(step int, alter func(y, x []float32)) []float32 {
	clear(r.differs)
	alter(r.altered[step+1], r.original[step+1])
	r.differs[step+1] = true
	for i := step + 1; i < len(r.plan.steps); i++ {
		if slices.ContainsFunc(r.plan.steps[i].src, func(t int) bool { return r.differs[t] }) {
			r.step(i, r.altered[i+1])
			r.differs[i+1] = true
		}
	}
	return r.tensor(len(r.plan.steps))
}

func (r *replay) tensor(t int) []float32 {
	if r.differs[t] {
		return r.altered[t]
	}
	return r.original[t]
}

func (r *replay) step(i int, y []float32) {
	s := &r.plan.steps[i]
	var residual []float32
	if len(s.src) > 1 {
		residual = r.tensor(s.src[1])
	}
	s.op.run(r.worker, y, r.tensor(s.src[0]), residual)
}

// Promotion is a layer whose output is to be stored in finer steps, and what is
// expected once this and all before it are.
type Promotion struct {
	Layer        string
	Gain         float64 // of the logits' SQNR, in dB, over no promotion at all
	Disagreement float64
}

// Promote chooses the fewest layers whose promotion brings the expected
// disagreement with the float network below a target: those with the largest
// shares of the noise. The disagreement shrinks as the noise's amplitude does.
// Where the target is out of reach, all layers that make noise are promoted.
func Promote(sensitivities []Sensitivity, disagreement, target float64) (promoted []Promotion) {
	sensitivities = slices.Clone(sensitivities)
	slices.SortStableFunc(sensitivities, func(a, b Sensitivity) int { return cmp.Compare(b.Share, a.Share) })
	share, expected := 0.0, disagreement
	for _, s := range sensitivities {
		if expected < target || s.Share == 0 || 1-share < leastLeft {
			break
		}
		share += s.Share
		expected = disagreement * math.Sqrt(max(1-share, leastLeft))
		promoted = append(promoted, Promotion{s.Layer, gain(share), expected})
	}
	return promoted
}

// Margin is how far a picture's best class is ahead of the second in the float
// network's logits, and what quantization adds to that distance.
type Margin struct{ Float, Error float64 }

func newMargin(float, quantized []float32) Margin {
	if len(float) < 2 {
		return Margin{Float: math.Inf(1)}
	}
	first, second := 0, 1
	if float[1] > float[0] {
		first, second = 1, 0
	}
	for c, v := range float[2:] {
		switch c += 2; {
		case v > float[first]:
			first, second = c, first
		case v > float[second]:
			second = c
		}
	}
	m := Margin{Float: float64(float[first]) - float64(float[second])}
	m.Error = float64(quantized[first]) - float64(quantized[second]) - m.Float
	return m
}

// Disagreement estimates the share of pictures whose best class quantization
// changes, far below what counting them in a sample could tell. With a density
// f(0) of margins near zero it is f(0) times the mean of what errors take away
// from a margin, max(0, -error): for normal errors 0.4 * f(0) times their
// standard deviation.
func Disagreement(margins []Margin) float64 {
	if len(margins) == 0 {
		return 0
	}
	loss, floats := 0.0, make([]float64, len(margins))
	for i, m := range margins {
		loss += max(0, -m.Error)
		floats[i] = m.Float
	}
	if loss == 0 {
		return 0
	}
	return min(1, densityAtZero(floats)*loss/float64(len(margins)))
}

// densityAtZero estimates the density at zero of values that are not negative
// from the nearest sqrt(n) of them. (Loftsgaarden, Quesenberry: A Nonparametric
// Estimate of a Multivariate Density Function, 1965.)
func densityAtZero(values []float64) float64 {
	slices.Sort(values)
	k := int(math.Ceil(math.Sqrt(float64(len(values)))))
	return float64(k) / (float64(len(values)) * values[k-1])
}
