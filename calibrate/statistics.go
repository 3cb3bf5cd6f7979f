package calibrate

import (
	"context"
	"errors"
	"fmt"
	"math"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Statistics are what Observe sees of a folded graph's tensors: histograms of
// convolutions' outputs, means and peaks of channels. They grow with the
// network, not with the number of pictures.
type Statistics struct {
	Images     int         // pictures seen
	ImagesHash string      // see ImageHashes.Sum
	Hashes     ImageHashes // by the number of the picture
	graph      *models.Graph
	units      []unit
	plain      map[string]*histogram // by unit
	weighted   map[string]*histogram // by unit: channels count as ChannelMSE weighs them
	sums       sums                  // by unit, over pictures, of channels' means
	peaks      map[string][]float64  // by tensor: the largest magnitudes of channels
}

// Observe runs the folded graph on all pictures. The result depends on the
// pictures and the kind of CPU alone, not on threads.
func Observe(ctx context.Context, g *models.Graph, images Images, o ObserveOptions) (*Statistics, error) {
	units, err := lower(g)
	if err != nil {
		return nil, err
	}
	weights, err := channelWeights(g, units)
	if err != nil {
		return nil, err
	}
	workers := make([]*observer, o.workers(images))
	var tensors []string
	for i := range workers {
		workers[i], tensors = newObserver(g, units, weights)
	}
	total := sums{}
	hashes, err := pass(ctx, g, images, o, tensors, watch{
		look: func(worker int, name string, shape tensor.Shape, values []float32) error {
			return workers[worker].look(name, shape, values)
		},
		done: func(worker int) { total.add(workers[worker].sums) },
	})
	if err != nil {
		return nil, err
	}
	s := &workers[0].Statistics
	for _, other := range workers[1:] {
		s.join(&other.Statistics)
	}
	s.sums, s.Hashes = total, hashes
	if s.Images, s.ImagesHash = hashes.Sum(); s.Images == 0 {
		return nil, errors.New("calibrate: none of the pictures could be loaded")
	}
	return s, nil
}

// Table chooses ranges by a method. It has the means of what weights multiply.
func (s *Statistics) Table(m Method) *RangeTable {
	t := &RangeTable{
		Model: s.graph.Name, Method: m, Images: s.Images, ImagesHash: s.ImagesHash,
		Ranges: map[string]Range{}, Means: map[string]Means{},
	}
	histograms := s.plain
	if m == ChannelMSE {
		histograms = s.weighted
	}
	for unit, h := range histograms {
		t.Ranges[unit] = m.choose(h)
	}
	for _, unit := range averaged(s.units) {
		t.Means[unit] = s.means(unit)
	}
	return t
}

// means are the averages of a unit's channels.
func (s *Statistics) means(unit string) Means {
	m := make(Means, len(s.sums[unit]))
	for c, sum := range s.sums[unit] {
		m[c] = sum / float64(s.Images)
	}
	return m.rounded()
}

// with returns the statistics of the pictures of both.
func (s *Statistics) with(other *Statistics) *Statistics {
	joined, _ := newObserver(s.graph, s.units, nil)
	both := &joined.Statistics
	both.sums = sums{}
	for _, part := range []*Statistics{s, other} {
		both.join(part)
		both.sums.add(part.sums)
		both.Images += part.Images
	}
	return both
}

// join adds all but sums, whose order matters.
func (s *Statistics) join(other *Statistics) {
	for unit := range s.plain {
		s.plain[unit].join(other.plain[unit])
		s.weighted[unit].join(other.weighted[unit])
	}
	for tensor, peaks := range s.peaks {
		raise(peaks, other.peaks[tensor])
	}
}

// observer is the statistics of one worker's pictures.
type observer struct {
	Statistics
	names   map[string]string   // of units, by tensor
	weights map[string][]uint64 // by tensor, of channels
}

// newObserver also names the tensors that it wants to look at.
func newObserver(g *models.Graph, units []unit, weights map[string][]uint64) (o *observer, tensors []string) {
	o = &observer{
		Statistics: Statistics{
			graph: g, units: units, sums: sums{}, peaks: map[string][]float64{},
			plain: map[string]*histogram{}, weighted: map[string]*histogram{},
		},
		names: map[string]string{}, weights: weights,
	}
	for _, u := range units {
		o.names[u.tensor] = u.name
		tensors = append(tensors, u.tensor)
		if _, conv := u.op.(*models.Conv); conv {
			o.plain[u.name], o.weighted[u.name] = newHistogram(), newHistogram()
			o.peaks[u.tensor] = make([]float64, u.shape.C)
		}
	}
	return o, tensors
}

func (o *observer) look(name string, shape tensor.Shape, values []float32) error {
	unit := o.names[name]
	o.sums.set(unit, values, shape.C)
	if o.plain[unit] == nil {
		return nil
	}
	if err := addBoth(o.plain[unit], o.weighted[unit], values, o.weights[name]); err != nil {
		return fmt.Errorf("calibrate: node %q: %w", name, err)
	}
	raise(o.peaks[name], magnitudes(values, shape.C))
	return nil
}

// magnitudes are the largest of each channel's values, in HWC order. Those of
// floats compare as integers do.
func magnitudes(values []float32, channels int) []float64 {
	bits := make([]uint32, channels)
	for ; len(values) > 0; values = values[channels:] {
		for c, v := range values[:len(bits)] {
			bits[c] = max(bits[c], math.Float32bits(v)&math.MaxInt32)
		}
	}
	largest := make([]float64, channels)
	for c, b := range bits {
		largest[c] = float64(math.Float32frombits(b))
	}
	return largest
}

// raise brings peaks up to others.
func raise(peaks, others []float64) {
	for c, v := range others {
		peaks[c] = max(peaks[c], v)
	}
}
