package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/int8/q8"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
	"edgeclassify/models"
	"edgeclassify/report"
	"edgeclassify/runtime"
)

const (
	probedImages = 8 // for sensitivities; few are enough
	worstImages  = 12
	worthwhile   = 0.5 // dB that a promotion gives to be advised
)

// reportWriters write a report by the suffix of its file.
func reportWriters() map[string]func(*report.Report, io.Writer) error {
	return map[string]func(*report.Report, io.Writer) error{
		".html": (*report.Report).WriteHTML, ".json": (*report.Report).WriteJSON,
	}
}

// reportFiles is a flag that may be given several times.
type reportFiles []string

func (f *reportFiles) String() string { return strings.Join(*f, " ") }

func (f *reportFiles) Set(file string) error {
	if reportWriters()[filepath.Ext(file)] == nil {
		return fmt.Errorf("a report is FILE.html or FILE.json")
	}
	*f = append(*f, file)
	return nil
}

// write writes a report to all the files.
func (f reportFiles) write(r *report.Report) error {
	for _, file := range f {
		write := reportWriters()[filepath.Ext(file)]
		if err := atomicfile.Write(file, 0o644, func(w io.Writer) error { return write(r, w) }); err != nil {
			return err
		}
	}
	return nil
}

// report fills all sections in. It has no time stamp: the same pictures give
// the same report.
func (c *calibration) report(ctx context.Context, n *int8.Network, a *assessment, o buildOptions, stderr io.Writer) (*report.Report, error) {
	bars := newBars(stderr)
	defer bars.end()
	plan := a.evaluation.plan
	r := &report.Report{
		Model: modelOf(plan), Provenance: n.Provenance, Verdict: a.verdict, Evaluation: a.outcome,
		Ablation: c.ablation(), Arena: arenaOf(plan),
	}
	if c.sensitivities == nil {
		float, err := c.equalized()
		if err != nil {
			return nil, err
		}
		if c.sensitivities, err = calibrate.Sensitivities(ctx, float, n, a.evaluation.set, o.looking(probedImages, bars.of("probing"))); err != nil {
			return nil, err
		}
	}
	var err error
	r.Worst, err = a.evaluation.worst(ctx, o.threads, worstImages)
	if err != nil {
		return nil, err
	}
	choices, err := c.choices()
	if err != nil {
		return nil, err
	}
	promotions := map[string]report.Promotion{}
	for name, p := range calibrate.Int16Outputs(n, c.sensitivities) {
		promotions[name] = report.Promotion{SQNR: p.Gain, Bytes: p.Bytes, Microseconds: p.Microseconds, Chosen: p.Chosen}
	}
	if r.Verdict.Good {
		r.Verdict.Advice = append(r.Verdict.Advice, advise(promotions)...)
	}
	for i := range n.Layers {
		l := layerOf(&n.Layers[i], a.analysis.Layers[i])
		l.Choices = choices[l.Name]
		if p, ok := promotions[l.Name]; ok {
			l.Promotion = &p
		}
		r.Layers = append(r.Layers, l)
	}
	return r, nil
}

// advise names the layer whose promotion gives the most, if that is much.
func advise(promotions map[string]report.Promotion) []string {
	best, gain := "", worthwhile
	for _, layer := range slices.Sorted(maps.Keys(promotions)) {
		if p := promotions[layer]; !p.Chosen && p.SQNR > gain {
			best, gain = layer, p.SQNR
		}
	}
	if best == "" {
		return nil
	}
	return []string{fmt.Sprintf("Of all outputs, that of %s adds most to the noise: stored as int16 it gives %.1f dB for about %.0f µs.",
		best, gain, promotions[best].Microseconds)}
}

// equalized is the float network that the integer one has the scales of.
func (c *calibration) equalized() (*models.Graph, error) {
	return calibrate.Equalize(c.folded, c.table.Exponents)
}

func modelOf(p *runtime.Plan) report.Model {
	n := p.Network()
	m := report.Model{Name: n.Name, WeightBytes: p.WeightBytes(), ArenaBytes: p.ArenaBytes(), ArenaLowerBound: p.ArenaLowerBound()}
	for i := range n.Layers {
		m.MACs += n.Layers[i].MACs()
	}
	return m
}

// addFile tells what a model file is.
func addFile(m *report.Model, file string) error {
	model, err := q8.Open(file)
	if err != nil {
		return err
	}
	defer model.Close()
	m.File, m.SHA256, m.FileBytes = filepath.Base(file), model.SHA256, model.Size
	return nil
}

func arenaOf(p *runtime.Plan) (buffers []report.Buffer) {
	for _, b := range p.Buffers() {
		buffers = append(buffers, report.Buffer(b))
	}
	return buffers
}

// ablation is what the search tried; nothing without a search.
func (c *calibration) ablation() (trials []report.Trial) {
	if c.found == nil {
		return nil
	}
	for _, t := range c.found.Trials {
		trials = append(trials, report.Trial(t))
	}
	return trials
}

// choices name the methods by which each layer was quantized.
func (c *calibration) choices() (map[string]string, error) {
	equalized, err := c.equalizedLayers()
	if err != nil {
		return nil, err
	}
	t, choices := c.table, map[string]string{}
	for _, n := range c.folded.Nodes {
		_, conv := n.Op.(*models.Conv)
		_, dense := n.Op.(*models.Dense)
		if !conv && !dense {
			continue
		}
		choices[n.Name] = join([]method{
			{string(t.Method), conv},
			{methodEqualization, equalized[n.Name]},
			{methodScales, t.Scales[n.Name] != nil},
			{methodRounding, t.Steps[n.Name] != nil},
			{methodBias, t.Means != nil},
			{methodByLayer, t.Shifts[n.Name] != nil},
			{"int16 output", slices.Contains(t.Wide, n.Name)},
		})
	}
	return choices, nil
}

// equalizedLayers are those with an output that is scaled by channels.
func (c *calibration) equalizedLayers() (map[string]bool, error) {
	groups, err := calibrate.Groups(c.folded)
	if err != nil {
		return nil, err
	}
	layers := map[string]bool{}
	for _, g := range groups {
		if slices.ContainsFunc(c.table.Exponents[g.Name], func(e int) bool { return e != 0 }) {
			for _, layer := range g.Producers {
				layers[layer] = true
			}
		}
	}
	return layers, nil
}

// layerOf says of a layer what it is and what was seen.
func layerOf(l *int8.Layer, a calibrate.LayerAnalysis) report.Layer {
	seen := report.Range(a.Seen)
	histogram := report.Histogram(a.Histogram)
	shape := l.Out.Shape
	return report.Layer{
		Name: l.Name, Op: l.Op.Kind(), Shape: [3]int{shape.H, shape.W, shape.C}, Type: l.Out.Type, Scale: float64(l.Out.Scale),
		MACs: l.MACs(), WeightBytes: l.WeightBytes(),
		Range: covered(l), Seen: &seen, Histogram: &histogram,
		Saturated: a.Saturated, Codes: a.Codes, Dead: a.Dead, Headroom: a.Headroom,
		SQNR: report.SQNR{
			Isolated: a.Isolated.SQNR(), Cumulative: a.Cumulative.SQNR(),
			Weights: a.Weights.SQNR(), Activations: a.Rounding.SQNR(), Clipping: a.Clipping.SQNR(),
		},
	}
}

// covered is the span of an activation's codes; sums and logits have none.
func covered(l *int8.Layer) *report.Range {
	switch l.Op.(type) {
	case int8.GlobalAveragePool, *int8.Dense:
		return nil
	}
	low, high := l.Out.Limits()
	zero := int32(l.Out.ZeroAt(0))
	scale := float64(l.Out.Scale)
	return &report.Range{Min: scale * float64(low-zero), Max: scale * float64(high-zero)}
}

// poor tells that there is no model.
func poor(out string) error {
	return fmt.Errorf("%s is not written: the model is %w; -force writes it all the same", out, cli.ErrPoor)
}
