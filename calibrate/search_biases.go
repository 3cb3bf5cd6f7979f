package calibrate

import (
	"context"
	"slices"

	"edgeclassify/models"
)

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
	n, err := c.rounder.quantize(s.table(c))
	if err != nil {
		return nil, err
	}
	if s.pictures == nil {
		if s.pictures, err = s.others.load(); err != nil {
			return nil, err
		}
		s.exact = c.fit
		if s.others.Len() < s.fit.Len() {
			if s.exact, err = Observe(ctx, c.rounder.graph, s.others, ObserveOptions{Threads: s.Threads}); err != nil {
				return nil, err
			}
		}
	}
	means, err := int8Means(ctx, n, s.pictures, s.Threads, layers...)
	if err != nil {
		return nil, err
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
