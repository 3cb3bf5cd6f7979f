package diagnose

import (
	"context"
	"math"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Sensitivity is what the rounding and clipping of one output that has a range costs
// the logits.
type Sensitivity struct {
	Layer string
	// Share is this output's part of the noise power in a image's logits, on
	// average over images. Shares of several layers add up, in a first
	// approximation: errors are small and independent.
	Share float64
}

// Gain is what the logits' SQNR gains, in dB, without this layer's noise.
func (s Sensitivity) Gain() float64 { return Gain(s.Share) }

// Gain is that of taking away a share of all noise. An estimate near 1, or
// beyond, says no more than that little is left.
func Gain(share float64) float64 { return -10 * math.Log10(max(1-share, LeastLeft)) }

// LeastLeft is the share of the noise that Gain leaves at least.
const LeastLeft = 0.01

// Sensitivities quantizes every output of n that has a range, one at a time,
// in the float network g, runs that again from there on, and compares the error
// in the logits with that of the whole integer network. Few images are enough,
// since no other layer's errors blur the result and no image counts for more
// than another.
func Sensitivities(ctx context.Context, g *models.Graph, n *int8.Network, images dataset.Images, p dataset.Pass) ([]Sensitivity, error) {
	probes, err := newProbes(g, n, p.Workers(images))
	if err != nil {
		return nil, err
	}
	sensitivities := make([]Sensitivity, len(probes[0].targets))
	seen, err := run(ctx, p, images, func(worker int, rgb []uint8) error {
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
	tensor tensor.ID // of the float network
	layer  string
	scale  float64
	grid   *grid // in steps
}

// probe measures on one goroutine's images.
type probe struct {
	float     *fp32.Replay
	quantized *fp32.Executor
	targets   []target
	shares    []float64 // of the last image's noise, by target
}

// newProbes makes a number of probes that share weights.
func newProbes(g *models.Graph, n *int8.Network, number int) ([]*probe, error) {
	g = g.Logits()
	simulation, err := Simulate(g, n, nil)
	if err != nil {
		return nil, err
	}
	quantized, err := fp32.NewExecutor(simulation, 1)
	if err != nil {
		return nil, err
	}
	targets, err := newTargets(g, n)
	if err != nil {
		return nil, err
	}
	var alterable []tensor.ID
	for _, t := range targets {
		alterable = append(alterable, t.tensor)
	}
	float, err := fp32.NewReplay(g, alterable...)
	if err != nil {
		return nil, err
	}
	var probes []*probe
	for range number {
		probes = append(probes, &probe{float.Clone(), quantized.Clone(), targets, make([]float64, len(targets))})
	}
	return probes, nil
}

// newTargets are the outputs of n, quantized from g, that have ranges of their own.
func newTargets(g *models.Graph, n *int8.Network) (targets []target, err error) {
	units, err := quantize.Lower(g)
	if err != nil {
		return nil, err
	}
	for _, u := range quantize.Activations(units) {
		id, err := n.Topology().ID(u.Name)
		if err != nil {
			return nil, err
		}
		out := n.Tensor(id)
		targets = append(targets, target{
			tensor: u.Output, layer: u.Name, scale: float64(out.Scale),
			grid: Precision{}.grid(output(&u, out)),
		})
	}
	return targets, nil
}

func (p *probe) run(rgb []uint8) error {
	quantized, err := p.quantized.RunImage(rgb, nil)
	if err != nil {
		return err
	}
	exact, err := p.float.Run(rgb)
	if err != nil {
		return err
	}
	total := distance(exact, quantized)
	for i, t := range p.targets {
		p.shares[i] = 0
		if total > 0 {
			p.shares[i] = distance(exact, p.float.From(t.tensor, t.quantize)) / total
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
