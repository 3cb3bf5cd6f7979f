package calibrate

import (
	"cmp"
	"context"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/observe"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/tensor"
)

// prepare chooses the validation set and observes the network.
func (s *search) prepare(ctx context.Context, images dataset.Images) error {
	responses, err := s.respond(ctx, dataset.Subset{Images: images, Index: dataset.Evenly(images.Len(), searchImages)})
	if err != nil {
		return err
	}
	slices.SortStableFunc(responses, func(a, b response) int { return cmp.Compare(b.strength, a.strength) })
	n := 0
	if len(responses) >= leastImages {
		n = len(responses) / 4
	}
	held, others := responses[:n], responses[n:]
	byImage := func(a, b response) int { return a.image - b.image }
	slices.SortFunc(held, byImage)
	slices.SortFunc(others, byImage)
	s.fit.Images, s.held, s.others = images, subset(images, held), subset(images, others)
	for i := range images.Len() {
		if !slices.Contains(s.held.Index, i) {
			s.fit.Index = append(s.fit.Index, i)
		}
	}
	for _, r := range held {
		s.logits = append(s.logits, r.logits)
	}
	validation, err := load(s.held)
	if err != nil {
		return err
	}
	s.validation = newReplay(validation, s.Threads)
	equalizations := []quantize.Equalization{nil}
	if !s.WithoutEqualization && n > 0 {
		peaks := peaksOf(others)
		for _, beta := range betas {
			equalizations = append(equalizations, quantize.NewEqualization(s.graph, peaks, beta))
		}
	}
	return s.observe(ctx, equalizations)
}

// peaksOf are the largest magnitudes of the tensors' channels.
func peaksOf(responses []response) map[tensor.ID][]float64 {
	peaks := map[tensor.ID][]float64{}
	for _, r := range responses {
		for id, one := range r.peaks {
			if peaks[id] == nil {
				peaks[id] = slices.Clone(one)
			}
			for c, v := range one {
				peaks[id][c] = max(peaks[id][c], v)
			}
		}
	}
	return peaks
}

// response is what the float network gives for an image.
type response struct {
	image    int
	strength float32 // the largest value of the last tensor before the logits
	logits   []float32
	peaks    map[tensor.ID][]float64 // of all tensors that need a range, by channel
}

// respond runs the float network on images, those that cannot be loaded left out.
func (s *search) respond(ctx context.Context, images dataset.Subset) ([]response, error) {
	units, err := quantize.Lower(s.graph)
	if err != nil {
		return nil, err
	}
	shown := []tensor.ID{units[len(units)-1].Output} // the logits
	last := tensor.Input                             // where the image is classified as it is
	for _, u := range quantize.Activations(units) {
		if last = u.Output; last != tensor.Input && !slices.Contains(shown, last) {
			shown = append(shown, last)
		}
	}
	pass := dataset.Pass{Threads: s.Threads, Skip: func(error) {}, Progress: s.Progress.Of("preparing")}
	bends, workers := quantize.Bends(s.graph), make([]response, pass.Workers(images))
	var responses []response
	hashes, err := fp32.Watch(ctx, s.graph, images, pass, shown, func(worker int, id tensor.ID, values []float32) error {
		r := &workers[worker]
		if id == shown[0] {
			r.logits = slices.Clone(values)
			return nil
		}
		if id == last {
			r.strength = slices.Max(values)
		}
		if r.peaks == nil {
			r.peaks = map[tensor.ID][]float64{}
		}
		if limits, ok := bends[id]; ok {
			values = slices.Clone(values)
			observe.Limit(values, limits)
		}
		r.peaks[id] = observe.Magnitudes(values, s.graph.Shape(id).C)
		return nil
	}, func(worker int) {
		responses = append(responses, workers[worker])
		workers[worker] = response{}
	})
	if err != nil {
		return nil, err
	}
	at := 0
	for i, h := range hashes {
		if h != nil {
			responses[at].image = images.Index[i]
			at++
		}
	}
	return responses, nil
}

// subset is the images of responses.
func subset(images dataset.Images, responses []response) dataset.Subset {
	s := dataset.Subset{Images: images}
	for _, r := range responses {
		s.Index = append(s.Index, r.image)
	}
	return s
}

// load returns all images of a set.
func load(images dataset.Images) (all [][]uint8, err error) {
	for i := range images.Len() {
		rgb, err := images.Load(i)
		if err != nil {
			return nil, err
		}
		all = append(all, rgb)
	}
	return all, nil
}
