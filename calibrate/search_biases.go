package calibrate

import (
	"context"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/observe"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// correctable tells whether a unit has biases and its inputs errors that are known.
func (s *search) correctable(i int) bool {
	units := s.best.quantizer.Units()
	_, linear := units[i].Op.(models.Linear)
	return linear && !slices.ContainsFunc(units[i].Inputs, func(in tensor.ID) bool {
		return in == tensor.Input || units[in.Node()].Output == tensor.Input
	})
}

// correction moves the biases of a unit by what quantization adds to its inputs
// on average, as the layers before it really are. (Finkelstein et al., "Fighting
// Quantization Bias With Bias", arXiv:1906.03193, with averages taken through
// the unit's linear part: before the ReLU.)
func (s *search) correction(i int) candidate {
	return candidate{trial: "bias correction layer by layer", brief: true, change: func(ctx context.Context, c *choices) error {
		u := &c.quantizer.Units()[i]
		errors, err := s.meanErrors(ctx, c, i)
		if err != nil {
			return err
		}
		shift := c.quantizer.BiasShifts(i, errors)
		for o, before := range c.shifts[u.Name] {
			shift[o] += before
		}
		c.shifts = cloned(c.shifts)
		c.shifts[u.Name] = shift.Rounded()
		return nil
	}}
}

// meanErrors are the differences between the means of what unit i reads, quantized by
// the best choices, and of float tensors, in real units, by channel.
func (s *search) meanErrors(ctx context.Context, c *choices, i int) ([][]float64, error) {
	if s.images == nil {
		images, err := load(s.others)
		if err != nil {
			return nil, err
		}
		s.images = newReplay(images, s.Threads)
		s.exact = c.fit
		if s.others.Len() < s.fit.Len() {
			if s.exact, err = observe.Observe(ctx, c.quantizer.Graph(), s.others, dataset.Pass{Threads: s.Threads}); err != nil {
				return nil, err
			}
		}
	}
	means, err := s.images.means(ctx, s.plan, i)
	if err != nil {
		return nil, err
	}
	for at, id := range c.quantizer.Units()[i].Inputs {
		exact, scale := s.exact.Means(c.quantizer.Units()[id.Node()].Name), s.plan.Network().Tensor(id).Scale
		for ch, mean := range means[at] {
			means[at][ch] = float64(mean*float64(scale)) - exact[ch]
		}
	}
	return means, nil
}
