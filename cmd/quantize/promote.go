package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/report"
	"edgeclassify/runtime"
)

// marginImages is how many of the calibration pictures tell what share of
// answers quantization changes.
const marginImages = 64

// promoter stores the outputs of the layers that make the most noise as int16,
// the fewest with which few enough answers are expected to change.
type promoter struct {
	*calibration
	o        buildOptions
	pictures [][]uint8
	exact    [][]float32 // their float logits
	order    []calibrate.Promotion
	rounds   []round
}

// round is a network that was measured.
type round struct {
	network *int8.Network
	drop    float64 // the share of pictures expected to change class
}

// promote returns the network with as many int16 outputs as -max-drop takes,
// and puts them in the table. The table of what they give goes to out.
func (c *calibration) promote(ctx context.Context, n *int8.Network, o buildOptions, out, stderr io.Writer) (*int8.Network, error) {
	p := &promoter{calibration: c, o: o}
	bars := newBars(stderr)
	err := p.run(ctx, n, bars)
	bars.end()
	if err != nil {
		return nil, err
	}
	if err := p.print(out); err != nil {
		return nil, err
	}
	last := p.rounds[len(p.rounds)-1]
	if last.drop <= o.maxDrop/100 {
		return last.network, nil
	}
	err = fmt.Errorf("-max-drop %g is out of reach: the first class is still expected to change on %.2f %% of pictures with %d int16 outputs, on %.2f %% without any; "+
		"the rest of the noise comes from 8-bit weights: try -method best, more pictures or a higher -max-drop",
		o.maxDrop, 100*last.drop, len(p.table.Wide), 100*p.rounds[0].drop)
	if o.force {
		fmt.Fprintf(stderr, "quantize: %v\n", err)
		return last.network, nil
	}
	return nil, err
}

func (p *promoter) run(ctx context.Context, n *int8.Network, bars *bars) error {
	if err := p.prepare(ctx, bars); err != nil {
		return err
	}
	if err := p.measure(ctx, n); err != nil || p.met() {
		return err
	}
	sensitivities, err := p.probe(ctx, n, p.set, p.o, bars)
	if err != nil {
		return err
	}
	p.order = calibrate.Promote(sensitivities, p.rounds[0].drop, 0)
	for len(p.table.Wide) < len(p.order) && !p.met() {
		p.choose()
		if err := p.rebuild(ctx); err != nil {
			return err
		}
		bars.move("promoting", len(p.table.Wide), len(p.order))
	}
	return nil
}

// probe finds the sensitivities of n's layers, once.
func (c *calibration) probe(ctx context.Context, n *int8.Network, images calibrate.Images, o buildOptions, bars *bars) ([]calibrate.Sensitivity, error) {
	if c.sensitivities != nil {
		return c.sensitivities, nil
	}
	float, err := c.equalized()
	if err != nil {
		return nil, err
	}
	c.sensitivities, err = calibrate.Sensitivities(ctx, float, n, images, o.looking(probedImages, bars.of("probing")))
	return c.sensitivities, err
}

// prepare runs the float network.
func (p *promoter) prepare(ctx context.Context, bars *bars) error {
	float, err := p.equalized()
	if err != nil {
		return err
	}
	set := imageSet{p.graph.Preprocess, evenly(p.readable(), marginImages)}
	p.pictures, p.exact = make([][]uint8, set.Len()), make([][]float32, set.Len())
	executor, err := calibrate.NewExecutor(float, 1)
	if err != nil {
		return err
	}
	executors := make([]*calibrate.Executor, min(p.o.threads, set.Len()))
	for i := range executors {
		executors[i] = executor.Clone()
	}
	return calibrate.EachImage(ctx, len(executors), set.Len(), bars.of("running the float network"), func(worker, i int) error {
		rgb, err := set.Load(i)
		if err != nil {
			return err
		}
		input := make([]float32, len(rgb))
		float.Preprocess.Float(input, rgb)
		logits, err := executors[worker].Run(input, nil)
		p.pictures[i], p.exact[i] = rgb, slices.Clone(logits)
		return err
	})
}

// measure asks the integer runtime for what share of answers a network changes.
func (p *promoter) measure(ctx context.Context, n *int8.Network) error {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return err
	}
	sessions := make([]*runtime.Session, min(p.o.threads, len(p.pictures)))
	for i := range sessions {
		sessions[i] = plan.NewSession()
		defer sessions[i].Close()
	}
	margins := make([]calibrate.Margin, len(p.pictures))
	err = calibrate.EachImage(ctx, len(sessions), len(p.pictures), nil, func(worker, i int) error {
		quantized, err := sessions[worker].Run(p.pictures[i])
		if err != nil {
			return err
		}
		logits := make([]float32, len(quantized))
		n.Logits().Scaled(logits, quantized)
		margins[i] = calibrate.NewMargin(p.exact[i], logits)
		return nil
	})
	p.rounds = append(p.rounds, round{n, calibrate.Disagreement(margins)})
	return err
}

func (p *promoter) drop() float64 { return p.rounds[len(p.rounds)-1].drop }

func (p *promoter) met() bool { return p.drop() <= p.o.maxDrop/100 }

// choose adds layers to the table until the drop is expected to be small enough:
// at least one, all if need be.
func (p *promoter) choose() {
	now, before := p.drop(), p.rounds[0].drop
	if k := len(p.table.Wide); k > 0 {
		before = p.order[k-1].Disagreement
	}
	for k := len(p.table.Wide); k < len(p.order); k++ {
		p.table.Wide = append(p.table.Wide, p.order[k].Layer)
		if now*p.order[k].Disagreement/before <= p.o.maxDrop/100 {
			return
		}
	}
}

// rebuild quantizes by the table and measures. Layers that cannot have an int16
// output are no longer considered.
func (p *promoter) rebuild(ctx context.Context) error {
	for {
		n, err := calibrate.Quantize(p.folded, p.table)
		overflow := (*calibrate.OverflowError)(nil)
		switch {
		case err == nil:
			return p.measure(ctx, n)
		case !errors.As(err, &overflow):
			return err
		}
		p.table.Wide = slices.DeleteFunc(p.table.Wide, func(name string) bool { return name == overflow.Layer })
		p.order = slices.DeleteFunc(p.order, func(o calibrate.Promotion) bool { return o.Layer == overflow.Layer })
	}
}

// print shows what each promotion was expected to give and costs, and what all
// did.
func (p *promoter) print(out io.Writer) error {
	first, last := p.rounds[0], p.rounds[len(p.rounds)-1]
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(p.table.Wide) > 0 {
		fmt.Fprintln(t, "int16 output\tgain so far dB\texpected drop so far\tbytes\tA76 us\t")
	}
	wide, plain := map[string]bool{}, microseconds(first.network, nil)
	before := plain
	for i, name := range p.table.Wide {
		wide[name] = true
		now := microseconds(first.network, wide)
		fmt.Fprintf(t, "%s\t%.2f\t%.2f %%\t%d\t%+.0f\t\n", name, p.order[i].Gain, 100*p.order[i].Disagreement, layer(first.network, name).Out.Shape.Elements(), now-before)
		before = now
	}
	if err := t.Flush(); err != nil {
		return err
	}
	narrowArena, err := arenaBytes(first.network)
	if err != nil {
		return err
	}
	wideArena, err := arenaBytes(last.network)
	fmt.Fprintf(out, "int16 outputs: %d; measured on %d pictures, first class expected to differ in %.2f %% instead of %.2f %%\n", len(wide), len(p.pictures), 100*last.drop, 100*first.drop)
	fmt.Fprintf(out, "arena %d bytes instead of %d; one Cortex-A76 at 2.4 GHz predicted to take %.0f us more for a frame\n", wideArena, narrowArena, before-plain)
	return err
}

func arenaBytes(n *int8.Network) (int, error) {
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return 0, err
	}
	return plan.ArenaBytes(), nil
}

// layer is the layer of that name, nil if there is none.
func layer(n *int8.Network, name string) *int8.Layer {
	at := slices.IndexFunc(n.Layers, func(l int8.Layer) bool { return l.Name == name })
	if at < 0 {
		return nil
	}
	return &n.Layers[at]
}

// What one Cortex-A76 does in a cycle or takes, by 'make perf-model' for models
// without and with int16 outputs.
const (
	int8Products  = 28.8 // of bytes a cycle, requantization included
	mixedProducts = 30.5 // of bytes a cycle where a tensor is int16; those of an int16 input are twice as many
	mixedCycles   = 2.5  // for each output of such a layer
	poolCycles    = 2.5  // for each value in a window of int16
	cacheMisses   = 1.08 // times all cycles
	cyclesPerUs   = 2400
)

// promotions are what it gives and costs to store a layer's output as int16
// instead of int8, for each layer whose sensitivity is known. The others are as
// in n, where some may be int16 already.
func promotions(sensitivities []calibrate.Sensitivity, n *int8.Network) map[string]report.Promotion {
	wide := wideTensors(n)
	promotions := map[string]report.Promotion{}
	for _, s := range sensitivities {
		l := layer(n, s.Layer)
		if l == nil {
			continue
		}
		with, without := maps.Clone(wide), maps.Clone(wide)
		with[s.Layer], without[s.Layer] = true, false
		promotions[s.Layer] = report.Promotion{
			SQNR:         s.Gain(),
			Bytes:        l.Out.Shape.Elements(),
			Microseconds: microseconds(n, with) - microseconds(n, without),
			Chosen:       wide[s.Layer],
		}
	}
	return promotions
}

// wideTensors are the convolutions of n with int16 outputs.
func wideTensors(n *int8.Network) map[string]bool {
	wide := map[string]bool{}
	for i := range n.Layers {
		l := &n.Layers[i]
		if _, conv := l.Op.(*int8.Conv); conv && l.Out.Type == int8.Int16 {
			wide[l.Name] = true
		}
	}
	return wide
}

// microseconds is the predicted time of one Cortex-A76 core at 2.4 GHz for
// convolutions and what int16 tensors slow down beside them, if the outputs of
// these layers were int16.
func microseconds(n *int8.Network, outputs map[string]bool) float64 {
	wide := map[string]bool{} // of pools, too
	maps.Copy(wide, outputs)
	cycles := 0.0
	for i := range n.Layers {
		l := &n.Layers[i]
		values := float64(l.Out.Shape.Elements())
		switch op := l.Op.(type) {
		case *int8.Conv:
			products := float64(l.MACs())
			mixed := wide[l.Name] || slices.ContainsFunc(l.Inputs, func(in string) bool { return wide[in] })
			switch {
			case wide[l.Inputs[0]]:
				cycles += 2*products/mixedProducts + values*mixedCycles
			case mixed:
				cycles += products/mixedProducts + values*mixedCycles
			default:
				cycles += products / int8Products
			}
		case *int8.MaxPool:
			wide[l.Name] = wide[l.Inputs[0]]
			if wide[l.Name] {
				cycles += values * float64(op.KH*op.KW) * poolCycles
			}
		case *int8.AveragePool: // in Go, whatever the type
			wide[l.Name] = wide[l.Inputs[0]]
		}
	}
	return cycles * cacheMisses / cyclesPerUs
}
