// Package observe chooses the ranges of activations: from histograms of what a
// float network makes of images, or from its batch norms alone.
package observe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Statistics are what Observe sees of a folded graph's tensors: histograms of
// outputs that need ranges, means and peaks of channels. They grow with the
// network, not with the number of images.
type Statistics struct {
	Images     int            // images seen
	ImagesHash string         // see dataset.Hashes.Sum
	Hashes     dataset.Hashes // by the number of the image
	model      string
	units      []observed
}

// observed is what is known of a unit's output.
type observed struct {
	unit   quantize.Unit
	ranged bool      // it needs a range, and has what follows but the sums
	sums   []float64 // over images, of channels' means
	peaks  []float64 // the largest magnitudes of channels
	plain  *Histogram
	// weighted counts channels as ChannelMSE weighs them.
	weighted *Histogram
}

// Observe runs the folded graph on images. The result depends on the images and
// the kind of CPU alone, not on threads.
func Observe(ctx context.Context, g *models.Graph, images dataset.Images, p dataset.Pass) (*Statistics, error) {
	units, err := quantize.Lower(g)
	if err != nil {
		return nil, err
	}
	weights := quantize.ChannelWeights(g, units)
	total := newStatistics(g.Name, units)
	workers := make([]*Statistics, p.Workers(images)) // their sums are of one image
	for i := range workers {
		workers[i] = newStatistics(g.Name, units)
	}
	var shown []tensor.ID
	at := map[tensor.ID]int{} // where several units have a tensor's values, the first
	for i, u := range units {
		if _, again := at[u.Output]; !again && u.Output != tensor.Input {
			shown, at[u.Output] = append(shown, u.Output), i
		}
	}
	total.Hashes, err = fp32.Watch(ctx, g, images, p, shown, func(worker int, t tensor.ID, values []float32) error {
		if err := workers[worker].units[at[t]].look(values, weights[t]); err != nil {
			return fmt.Errorf("observe: node %q: %w", g.Topology().Name(t), err)
		}
		return nil
	}, func(worker int) { total.addSums(workers[worker]) })
	if err != nil {
		return nil, err
	}
	for _, s := range workers {
		total.join(s)
	}
	if total.Images, total.ImagesHash = total.Hashes.Sum(); total.Images == 0 {
		return nil, errors.New("observe: none of the pictures could be loaded")
	}
	return total, nil
}

func newStatistics(model string, units []quantize.Unit) *Statistics {
	s := &Statistics{model: model, units: make([]observed, len(units))}
	ranged := map[tensor.ID]bool{}
	for _, u := range quantize.Activations(units) {
		ranged[u.Output] = true
	}
	for i, u := range units {
		s.units[i] = observed{unit: u, ranged: ranged[u.Output], sums: make([]float64, u.Shape.C)}
		if ranged[u.Output] {
			s.units[i].peaks = make([]float64, u.Shape.C)
			s.units[i].plain, s.units[i].weighted = NewHistogram(), NewHistogram()
		}
	}
	return s
}

// Table chooses ranges by a method. It has the means of what weights multiply.
func (s *Statistics) Table(m quantize.Method) *quantize.RangeTable {
	t := &quantize.RangeTable{
		Model: s.model, Method: m, Images: s.Images, ImagesHash: s.ImagesHash,
		Ranges: map[string]quantize.Range{}, Means: map[string]quantize.PerChannel{},
	}
	var units []quantize.Unit
	for _, o := range s.units {
		units = append(units, o.unit)
	}
	behind := quantize.Behind(units)
	for i := range s.units {
		if o := &s.units[i]; o.ranged {
			t.Ranges[o.unit.Name] = o.histogram(m).Range(m, behind[o.unit.Output])
		}
	}
	for _, u := range quantize.Averaged(units) {
		t.Means[u.Name] = s.Means(u.Name)
	}
	return t
}

// histogram is that by which a method chooses.
func (o *observed) histogram(m quantize.Method) *Histogram {
	if m == quantize.ChannelMSE {
		return o.weighted
	}
	return o.plain
}

// Means are the averages of the channels of a unit's output.
func (s *Statistics) Means(unit string) quantize.PerChannel {
	at := slices.IndexFunc(s.units, func(o observed) bool { return o.unit.Name == unit })
	if at < 0 {
		return nil
	}
	means := make(quantize.PerChannel, len(s.units[at].sums))
	for c, sum := range s.units[at].sums {
		means[c] = sum / float64(s.Images)
	}
	return means.Rounded()
}

// Peaks are the largest magnitudes of the channels of all outputs that need a
// range, by tensor.
func (s *Statistics) Peaks() map[tensor.ID][]float64 {
	peaks := map[tensor.ID][]float64{}
	for _, o := range s.units {
		if o.ranged {
			peaks[o.unit.Output] = o.peaks
		}
	}
	return peaks
}

// With returns the statistics of the images of both, of one graph.
func (s *Statistics) With(other *Statistics) *Statistics {
	var units []quantize.Unit
	for _, o := range s.units {
		units = append(units, o.unit)
	}
	both := newStatistics(s.model, units)
	for _, part := range []*Statistics{s, other} {
		both.join(part)
		both.addSums(part)
		both.Images += part.Images
	}
	return both
}

// join adds all but sums, whose order matters.
func (s *Statistics) join(other *Statistics) {
	for i, o := range s.units {
		if o.ranged {
			o.plain.Join(other.units[i].plain)
			o.weighted.Join(other.units[i].weighted)
			raise(o.peaks, other.units[i].peaks)
		}
	}
}

func (s *Statistics) addSums(other *Statistics) {
	for i, o := range s.units {
		for c, v := range other.units[i].sums {
			o.sums[c] += v
		}
	}
}

// look takes the values of one image, in HWC order.
func (o *observed) look(values []float32, weights []uint64) error {
	clear(o.sums)
	peaks := make([]uint32, len(o.sums))
	lo, hi, err := limits(survey(o.sums, peaks, values))
	pixels := float64(len(values) / len(o.sums))
	for c := range o.sums {
		o.sums[c] /= pixels
	}
	if !o.ranged {
		return nil
	}
	if err != nil {
		return err
	}
	countBoth(o.plain, o.weighted, values, weights, lo, hi)
	for c, bits := range peaks {
		o.peaks[c] = max(o.peaks[c], float64(math.Float32frombits(bits)))
	}
	return nil
}

// raise brings peaks up to others.
func raise(peaks, others []float64) {
	for c, v := range others {
		peaks[c] = max(peaks[c], v)
	}
}
