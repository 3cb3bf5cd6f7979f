package report

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/int8"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

const (
	probedImages = 8 // for sensitivities; few are enough
	worstImages  = 12
	worthwhile   = 0.5 // dB that an int16 output gives to be advised
)

// New reports on a network that was made from images and checked, layers
// included. It works on as many images at a time as there are threads. The report
// has no time stamp: the same images give the same one.
func New(ctx context.Context, m *q8.Model, c *evaluate.Calibration, k *evaluate.Check, threads int, progress calibrate.Progress) (*Report, error) {
	plan := k.Evaluation.Plan()
	r := &Report{
		Model: Model{Name: m.Name, Size: SizeOf(plan)}, Provenance: m.Provenance, Verdict: k.Verdict, Evaluation: k.Result,
		Ablation: c.Trials, Arena: plan.Buffers(),
	}
	var err error
	if r.Worst, err = k.Evaluation.Worst(ctx, threads, worstImages); err != nil {
		return nil, err
	}
	choices := calibrate.DescribeLayers(c.Table, c.Float)
	outputs, err := int16Outputs(ctx, m.Network, c, k.Images, threads, progress)
	if err != nil {
		return nil, err
	}
	if r.Verdict.Good {
		r.Verdict.Advice = append(r.Verdict.Advice, advise(outputs)...)
	}
	for i := range m.Layers {
		l := layerOf(&m.Layers[i], &k.Analysis.Layers[i])
		l.Choices = choices[l.Name]
		if output, ok := outputs[l.Name]; ok {
			l.Int16 = &output
		}
		r.Layers = append(r.Layers, l)
	}
	return r, nil
}

// int16Outputs are those of the layers, by sensitivities that are known or else
// measured on images.
func int16Outputs(ctx context.Context, n *int8.Network, c *evaluate.Calibration, images dataset.Images, threads int, progress calibrate.Progress) (map[string]calibrate.Int16Output, error) {
	if c.Sensitivities != nil {
		return calibrate.Int16Outputs(n, c.Sensitivities), nil
	}
	float, err := c.Equalized()
	if err != nil {
		return nil, err
	}
	sensitivities, err := diagnose.Sensitivities(ctx, float, n, images, dataset.Pass{
		Threads: threads, Limit: probedImages, Progress: progress.Of("probing"), Skip: func(error) {},
	})
	return calibrate.Int16Outputs(n, sensitivities), err
}

// advise names the layer whose int16 output gives the most, if that is much.
func advise(outputs map[string]calibrate.Int16Output) []string {
	best, gain := "", worthwhile
	for _, layer := range slices.Sorted(maps.Keys(outputs)) {
		if output := outputs[layer]; !output.Chosen && output.Gain > gain {
			best, gain = layer, output.Gain
		}
	}
	if best == "" {
		return nil
	}
	return []string{fmt.Sprintf("Of all outputs, that of %s adds most to the noise: stored as int16 it gives %.1f dB for about %.0f µs.",
		best, gain, outputs[best].Microseconds)}
}

// SizeOf is the size of a network, but for its file's.
func SizeOf(p *runtime.Plan) Size {
	s := Size{WeightBytes: p.WeightBytes(), ArenaBytes: p.ArenaBytes(), ArenaLowerBound: p.ArenaLowerBound()}
	for i := range p.Network().Layers {
		s.MACs += p.Network().Layers[i].MACs()
	}
	return s
}

// AddFile tells of the model file that was written.
func (m *Model) AddFile(path string) error {
	file, err := q8.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	m.File, m.SHA256, m.FileBytes = filepath.Base(path), file.SHA256, file.Size
	return nil
}

// layerOf says of a layer what it is and what was seen.
func layerOf(l *int8.Layer, a *diagnose.LayerAnalysis) Layer {
	shape := l.Out.Shape
	return Layer{
		Name: l.Name, Op: l.Op.Kind(), Shape: [3]int{shape.H, shape.W, shape.C}, Type: l.Out.Type, Scale: float64(l.Out.Scale),
		MACs: l.MACs(), WeightBytes: l.WeightBytes(),
		Range: covered(l), Seen: &a.Seen, Histogram: &a.Histogram,
		Saturated: a.Saturated, Codes: a.Codes, Dead: a.Dead, Headroom: a.Headroom,
		SQNR: SQNR{
			Isolated: a.Isolated.SQNR(), Cumulative: a.Cumulative.SQNR(),
			Weights: a.Weights.SQNR(), Activations: a.Rounding.SQNR(), Clipping: a.Clipping.SQNR(),
		},
	}
}

// covered is the span of an activation's codes; sums and logits have none.
func covered(l *int8.Layer) *quantize.Range {
	if !l.Activation() {
		return nil
	}
	low, high := l.Out.Limits()
	zero := int32(l.Out.ZeroAt(0))
	scale := float64(l.Out.Scale)
	return &quantize.Range{Min: scale * float64(low-zero), Max: scale * float64(high-zero)}
}
