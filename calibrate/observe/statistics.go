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
	maxima maxima
	plain  *Histogram
	// weighted counts channels as ChannelMSE weighs them.
	weighted *Histogram
}

// Observe runs the folded graph on images. The result depends on the images and
// the kind of CPU alone, not on threads.
func Observe(ctx context.Context, g *models.Graph, images dataset.Images, p dataset.Pass) (*Statistics, error) {
	all, err := ObserveEqualized(ctx, g, []quantize.Equalization{nil}, images, p)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// ObserveEqualized observes several equalizations of a graph; nil is itself. It runs the
// graph alone: all others differ from it by factors of channels, which are exact.
func ObserveEqualized(ctx context.Context, g *models.Graph, equalizations []quantize.Equalization, images dataset.Images, p dataset.Pass) ([]*Statistics, error) {
	var views []*view
	for _, e := range equalizations {
		v, err := newView(g, e, p.Workers(images))
		if err != nil {
			return nil, err
		}
		views = append(views, v)
	}
	units := views[0].total.units
	var shown []tensor.ID
	at := map[tensor.ID]int{} // where several units have a tensor's values, the first
	for i := range units {
		id := units[i].unit.Output
		if _, again := at[id]; !again && id != tensor.Input {
			shown, at[id] = append(shown, id), i
		}
	}
	hashes, err := fp32.Watch(ctx, g, images, p, shown, func(worker int, t tensor.ID, values []float32) error {
		for _, v := range views {
			if err := v.workers[worker].units[at[t]].look(v.scaled(worker, t, values), v.weights[t]); err != nil {
				return fmt.Errorf("observe: node %q: %w", g.Topology().Name(t), err)
			}
		}
		return nil
	}, func(worker int) {
		for _, v := range views {
			v.total.addSums(v.workers[worker])
		}
	})
	if err != nil {
		return nil, err
	}
	var all []*Statistics
	for _, v := range views {
		for _, s := range v.workers {
			v.total.join(s)
		}
		v.total.Hashes = hashes
		v.total.Images, v.total.ImagesHash = hashes.Sum()
		all = append(all, v.total)
	}
	if all[0].Images == 0 {
		return nil, errors.New("observe: none of the pictures could be loaded")
	}
	return all, nil
}

// view is an equalization of a graph that is observed.
type view struct {
	total   *Statistics
	workers []*Statistics // their sums are of one image
	weights map[tensor.ID][]uint64
	scales  map[tensor.ID][]float32 // by which channels are divided
	bends   map[tensor.ID]models.Clip
	values  [][]float32 // of the workers
}

func newView(g *models.Graph, e quantize.Equalization, workers int) (*view, error) {
	scales, err := e.Scales(g)
	if err != nil {
		return nil, err
	}
	bends := quantize.Bends(g)
	if e != nil {
		if g, err = quantize.Equalize(g, e); err != nil {
			return nil, err
		}
	}
	units, err := quantize.Lower(g)
	if err != nil {
		return nil, err
	}
	v := &view{total: newStatistics(g.Name, units), weights: quantize.ChannelWeights(g, units), scales: scales, bends: bends, values: make([][]float32, workers)}
	for range workers {
		v.workers = append(v.workers, newStatistics(g.Name, units))
	}
	return v, nil
}

// scaled is a tensor as the view has it, values limited to what curves of channels need;
// valid until the worker's next one.
func (v *view) scaled(worker int, t tensor.ID, values []float32) []float32 {
	scales := v.scales[t]
	if scales == nil {
		return values
	}
	inverse := make([]float32, len(scales))
	for c, s := range scales {
		inverse[c] = 1 / s
	}
	out := append(v.values[worker][:0], values...)
	v.values[worker] = out
	if limits, ok := v.bends[t]; ok {
		Limit(out, limits)
	}
	for row := out; len(row) > 0; row = row[len(inverse):] {
		for c, f := range inverse {
			row[c] *= f
		}
	}
	return out
}

// Limit clips values.
func Limit(values []float32, limits models.Clip) {
	for i, v := range values {
		values[i] = max(limits.Min, min(limits.Max, v))
	}
}

// Magnitudes are the largest ones of channels, of values in HWC order.
func Magnitudes(values []float32, channels int) []float64 {
	bits, peaks := make([]uint32, channels), make([]float64, channels)
	survey(make([]float64, channels), bits, values)
	for c, b := range bits {
		peaks[c] = float64(math.Float32frombits(b))
	}
	return peaks
}

func newStatistics(model string, units []quantize.Unit) *Statistics {
	s := &Statistics{model: model, units: make([]observed, len(units))}
	ranged := map[tensor.ID]bool{}
	for _, u := range quantize.Activations(units) {
		ranged[u.Output] = true
	}
	for i, u := range units {
		s.units[i] = observed{unit: u, ranged: ranged[u.Output], sums: make([]float64, u.Shape.C), maxima: maxima{}}
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
	ranges := make([]quantize.Range, len(s.units))
	quantize.Parallel(len(ranges), func(i int) {
		if o := &s.units[i]; o.ranged {
			ranges[i] = o.histogram(m).Range(m, behind[o.unit.Output])
		}
	})
	for i, r := range ranges {
		if s.units[i].ranged {
			t.Ranges[s.units[i].unit.Name] = r
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
			o.maxima.join(other.units[i].maxima)
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
	o.maxima.add(max(-lo, hi))
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
