package calibrate

import (
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
