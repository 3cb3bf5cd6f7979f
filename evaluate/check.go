package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/q8"
)

// A model must reach these on images beside its float network. Sound ones of
// ResNet50 have 24 to 30 dB and agree on 99 % of the images, whatever the
// method; with crude ranges, or those of one image alone, 18 to 23 dB and
// 97 %. At 15 dB errors are a sixth of the logits, and beyond they decide. Where
// channels that stand out leave no codes for the others, it is -15 dB and 0 %.
const (
	leastSQNR      = 15.0 // dB
	leastAgreement = 0.95
	// From fewer images the estimate of disagreement is no better than a
	// factor of two: its density rests on the square root of so many.
	leastMargins = 64
)

const (
	heldOutImages  = 200 // to check with
	leastHeldOut   = 16  // with fewer, the calibration images tell more
	sampleImages   = 64  // of calibration
	analyzedImages = 32
	blamedLayers   = 3
	blamedLoss     = 3.0 // dB, which double the noise
	listedNames    = 5   // in a line
	// mostDead is the share of a layer's channels that may do nothing.
	mostDead = 0.25
)

// Calibration is how a model was made from images.
type Calibration struct {
	Float  *models.Graph // folded
	Table  *quantize.RangeTable
	Images ImageSet       // calibrated on
	Hashes dataset.Hashes // of these; nil for those that could not be read
	// What may be known besides, else nil.
	Trials        []calibrate.Trial      // of a search
	Sensitivities []diagnose.Sensitivity // of the layers before any had an int16 output
	Logits        [][]float32            // of the float network on the images of Sample
}

// Sample is at most 64 of the images that could be read, evenly drawn.
func (c *Calibration) Sample() ImageSet { return c.Images.read(c.Hashes).evenly(sampleImages) }

// Equalized is the float network that the integer one has the scales of.
func (c *Calibration) Equalized() (*models.Graph, error) {
	return quantize.Equalize(c.Float, c.Table.Equalization)
}

// CheckOptions steer Check.
type CheckOptions struct {
	Folder   string // that the images of calibration were drawn from
	Threads  int
	Analyze  bool     // look into the layers of a good model, too
	Remedies []string // what can make a poor model better
	Progress calibrate.Progress
}

// Check is how a model does on images beside its float network, and why.
type Check struct {
	Evaluation *Evaluation
	Images     ImageSet // it was checked with
	Result     *Result
	Analysis   *diagnose.Analysis // nil where nobody asks why
	Verdict    Verdict
}

// Verdict says whether a model is fit for use.
type Verdict struct {
	Good    bool     `json:"good"`
	Summary string   `json:"summary"`          // one sentence
	Advice  []string `json:"advice,omitempty"` // which layer is to blame, and what helps
}

// Check compares a model with its float network on images that were held out from
// calibration or, where there are few of those, on images of calibration. Where it
// is poor, or analysis is asked for, it looks into the layers too.
func (c *Calibration) Check(ctx context.Context, m *q8.Model, o CheckOptions) (*Check, error) {
	k := &Check{}
	if err := c.evaluate(ctx, k, m, o); err != nil {
		return nil, err
	}
	k.judge()
	if !k.Verdict.Good || o.Analyze {
		float, err := c.Equalized()
		if err != nil {
			return nil, err
		}
		k.Analysis, err = diagnose.Analyze(ctx, float, m.Network, k.Images, dataset.Pass{
			Threads: o.Threads, Limit: analyzedImages, Progress: o.Progress.Of("analyzing"), Skip: func(error) {},
		})
		if err != nil {
			return nil, err
		}
	}
	if !k.Verdict.Good {
		k.Verdict.Advice = blame(m.Network, k.Analysis)
		if len(o.Remedies) > 0 {
			k.Verdict.Advice = append(k.Verdict.Advice, "What can help: "+strings.Join(o.Remedies, "; ")+".")
		}
	}
	k.Verdict.Advice = append(k.Verdict.Advice, c.warnings(m.Network, k.Analysis)...)
	return k, nil
}

// evaluate runs both networks.
func (c *Calibration) evaluate(ctx context.Context, k *Check, m *q8.Model, o CheckOptions) error {
	all, err := Draw(o.Folder, c.Images.Spec, 0, 0)
	if err != nil {
		return err
	}
	others := all.without(c.Images.Files)
	own := others.Len() < leastHeldOut
	if k.Images = others.evenly(heldOutImages); own {
		k.Images = c.Sample()
	}
	truth, err := TrueClasses("", o.Folder, k.Images.Files, m.Classes)
	if err != nil {
		return err
	}
	if k.Evaluation, err = New(m, c.Float, k.Images, truth); err != nil {
		return err
	}
	if own && c.Logits != nil {
		k.Evaluation.logits = c.Logits
	}
	if err = k.Evaluation.Run(ctx, o.Threads, o.Progress.Of("checking")); err != nil {
		return err
	}
	if k.Result = k.Evaluation.Result(); k.Result.Images == 0 {
		return fmt.Errorf("%s: none of the pictures to check the model with can be read", o.Folder)
	}
	k.Result.OwnImages = own
	return nil
}

// judge says whether the model is fit for use.
func (k *Check) judge() {
	var (
		agreement = k.Result.Agreement
		expected  = diagnose.Disagreement(k.Evaluation.known())
		pictures  = "pictures held out from calibration"
		caution   = ""
		sqnr      = math.Inf(1)
	)
	if k.Result.OwnImages {
		pictures, caution = "pictures", "; they are its own calibration pictures, and it may do worse on others"
	}
	k.Verdict.Good = agreement.High >= leastAgreement
	if k.Result.SQNR != nil {
		sqnr = *k.Result.SQNR
		k.Verdict.Good = k.Verdict.Good && sqnr >= leastSQNR
	}
	estimate := ""
	if agreement.Of >= leastMargins {
		estimate = fmt.Sprintf(" (%s expected from margins)", percent(1-expected))
		k.Verdict.Good = k.Verdict.Good && 1-expected >= leastAgreement
	}
	k.Verdict.Summary = fmt.Sprintf("int8 agrees with float on %s of %d %s%s, with an SQNR of %.1f dB in the logits%s.",
		percent(agreement.Value), agreement.Of, pictures, estimate, sqnr, caution)
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// suspect is a layer with the SQNR that it takes away.
type suspect struct {
	diagnose.LayerAnalysis
	before, after, loss float64 // cumulative SQNR, of the worst input and of the output
}

// blame names the layers behind which the SQNR falls the most.
func blame(n *int8.Network, a *diagnose.Analysis) (lines []string) {
	cumulative := []float64{soundSQNR} // by tensor
	var suspects []suspect
	for i, l := range a.Layers {
		s := suspect{LayerAnalysis: l, before: soundSQNR, after: soundSQNR}
		for _, in := range n.Layers[i].Inputs {
			s.before = min(s.before, cumulative[in])
		}
		if after := l.Cumulative.SQNR(); after != nil {
			s.after = max(drowned, min(*after, soundSQNR))
		}
		cumulative, s.loss = append(cumulative, s.after), s.before-s.after
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

// warnings tell what may be wrong with images and network although the model
// may do well. The analysis may be nil.
func (c *Calibration) warnings(n *int8.Network, a *diagnose.Analysis) (lines []string) {
	if c.Table.Images == 1 {
		lines = append(lines, "Calibrated on one picture: a few dozen give ranges that others do not leave.")
	}
	if copies := c.copies(); len(copies) > 0 {
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

// copies are the files whose pixels an earlier one has.
func (c *Calibration) copies() (files []string) {
	seen := map[string]bool{}
	for i, h := range c.Hashes {
		if h != nil && seen[string(h)] {
			files = append(files, c.Images.Files[i])
		}
		seen[string(h)] = true
	}
	return files
}
