package calibrate

import (
	"cmp"
	"context"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// prepare chooses the pictures to hold out and observes the network.
func (s *search) prepare(ctx context.Context, images Images) error {
	s.fit, s.held, s.others = subset{images: images}, subset{images: images}, subset{images: images}
	responses, err := s.respond(ctx, subset{images, Evenly(images.Len(), searchImages)})
	if err != nil {
		return err
	}
	slices.SortStableFunc(responses, func(a, b response) int { return cmp.Compare(b.strength, a.strength) })
	n := 0
	if len(responses) >= leastImages {
		n = len(responses) / 4
	}
	held := responses[:n]
	slices.SortFunc(held, func(a, b response) int { return a.image - b.image })
	out := map[int]bool{}
	for _, r := range held {
		out[r.image] = true
		s.held.index, s.logits = append(s.held.index, r.image), append(s.logits, r.logits)
	}
	for i := range images.Len() {
		if !out[i] {
			s.fit.index = append(s.fit.index, i)
		}
	}
	for _, r := range responses[n:] {
		s.others.index = append(s.others.index, r.image)
	}
	slices.Sort(s.others.index)
	if s.judges, err = s.held.load(); err != nil {
		return err
	}
	err = s.observe(ctx, &s.best)
	if err == nil {
		s.peaks = s.best.fit.peaks
	}
	return err
}

// response is what the float network gives for a picture.
type response struct {
	image    int
	strength float32 // the last convolution's largest value
	logits   []float32
}

// respond runs the float network on pictures, those that cannot be loaded left
// out.
func (s *search) respond(ctx context.Context, images subset) ([]response, error) {
	units, err := lower(s.graph)
	if err != nil {
		return nil, err
	}
	logits, last := units[len(units)-1].tensor, ""
	for _, u := range units {
		if _, conv := u.op.(*models.Conv); conv {
			last = u.tensor
		}
	}
	o := ObserveOptions{Threads: s.Threads, Skip: func(error) {}, Progress: s.Progress.Of("preparing")}
	workers := make([]response, o.workers(images))
	var responses []response
	hashes, err := pass(ctx, s.graph, images, o, []string{last, logits}, watch{
		look: func(worker int, name string, _ tensor.Shape, values []float32) error {
			if name == last {
				workers[worker].strength = slices.Max(values)
			} else {
				workers[worker].logits = slices.Clone(values)
			}
			return nil
		},
		done: func(worker int) { responses = append(responses, workers[worker]) },
	})
	if err != nil {
		return nil, err
	}
	at := 0
	for i, h := range hashes {
		if h != nil {
			responses[at].image = images.index[i]
			at++
		}
	}
	return responses, nil
}

// subset is some of the pictures.
type subset struct {
	images Images
	index  []int
}

func (s subset) Len() int                    { return len(s.index) }
func (s subset) Load(i int) ([]uint8, error) { return s.images.Load(s.index[i]) }

// load returns all pictures of a subset.
func (s subset) load() (pictures [][]uint8, err error) {
	for i := range s.index {
		rgb, err := s.Load(i)
		if err != nil {
			return nil, err
		}
		pictures = append(pictures, rgb)
	}
	return pictures, nil
}

// compare measures logits against the float network's: the mean of the pictures'
// signal-to-noise ratios, so that no picture outweighs all others, and the share
// of those with the same first class.
func compare(exact, logits [][]float32) (meanSQNR, agreement float64) {
	for i, want := range exact {
		var n Noise
		for c, v := range want {
			d := float64(logits[i][c]) - float64(v)
			n.add(Noise{float64(float64(v) * float64(v)), float64(d * d)})
		}
		db := noiseless
		if ratio := n.SQNR(); ratio != nil {
			db = min(db, *ratio)
		}
		meanSQNR += db
		if slices.Index(want, slices.Max(want)) == slices.Index(logits[i], slices.Max(logits[i])) {
			agreement++
		}
	}
	return meanSQNR / float64(len(exact)), agreement / float64(len(exact))
}

// noiseless is the SQNR, in dB, of logits without noise: more than any network's.
const noiseless = 150.0
