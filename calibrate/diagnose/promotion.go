package diagnose

import (
	"cmp"
	"math"
	"slices"
)

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
