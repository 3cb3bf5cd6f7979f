package diagnose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// Analysis is what quantization does to each layer of a network.
type Analysis struct {
	Images  int
	Layers  []LayerAnalysis // in the network's order
	Margins []Margin        // of each image
}

// LayerAnalysis compares a layer's output with the float network's.
type LayerAnalysis struct {
	Layer     string
	Seen      quantize.Range // of the float network's values
	Histogram Histogram
	Saturated float64 // share of the float network's values that no code stands for
	Codes     int     // distinct output codes; 0 for logits
	Dead      int     // channels that never left zero
	Headroom  float64 // bits between the accumulator's bound and int32; 0 where there is none

	Isolated   Noise // of this layer's own errors: float inputs, everything else exact
	Weights    Noise // of the rounding of weights and biases alone
	Rounding   Noise // of the rounding of the output alone
	Clipping   Noise // of the clipping of the output alone
	Cumulative Noise // of the integer network; the last layer's is that of the logits
}

// Histogram counts values in bins of equal width from From on.
type Histogram struct {
	From   float64  `json:"from"`
	Width  float64  `json:"width"`
	Counts []uint64 `json:"counts"`
}

// Noise is the sum of squares of a tensor's values, and of an error in them.
type Noise struct{ Signal, Noise float64 }

// NoiseOf is that of values in place of exact ones.
func NoiseOf(exact, values []float32) (n Noise) {
	for i, v := range exact {
		d := float64(values[i]) - float64(v)
		n.Signal += float64(float64(v) * float64(v))
		n.Noise += float64(d * d)
	}
	return n
}

// SQNR is the signal-to-quantization-noise ratio in dB, nil where there is no
// noise or no signal.
func (n Noise) SQNR() *float64 {
	if n.Noise == 0 || n.Signal == 0 {
		return nil
	}
	ratio := 10 * math.Log10(n.Signal/n.Noise)
	return &ratio
}

// Add adds the sums of another tensor.
func (n *Noise) Add(other Noise) {
	n.Signal += other.Signal
	n.Noise += other.Noise
}

// Analyze runs n and the folded float graph g that it was made from on
// images, side by side. The result depends on the images and the kind of
// CPU alone, not on threads. Memory does not grow with the number of images,
// but for the two numbers of each margin.
func Analyze(ctx context.Context, g *models.Graph, n *int8.Network, images dataset.Images, p dataset.Pass) (*Analysis, error) {
	workers, err := newAnalysts(g, n, p.Workers(images))
	if err != nil {
		return nil, err
	}
	a, total := &Analysis{}, make([]noises, len(n.Layers))
	a.Images, err = run(ctx, p, images, func(worker int, rgb []uint8) error {
		return workers[worker].run(rgb)
	}, func(worker int) {
		a.Margins = append(a.Margins, workers[worker].margin)
		for i, c := range workers[worker].layers {
			total[i].add(c.noise)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, other := range workers[1:] {
		workers[0].join(other)
	}
	for i, c := range workers[0].layers {
		a.Layers = append(a.Layers, c.analysis(total[i], headroom(n.Layers[i].Op.Parameters(), n.Inputs(&n.Layers[i])[0])))
	}
	return a, nil
}

// run calls look with images and behind each keep. It returns how many there were.
func run(ctx context.Context, p dataset.Pass, images dataset.Images, look func(worker int, rgb []uint8) error, keep func(worker int)) (seen int, err error) {
	hashes, err := p.Run(ctx, images, look, keep)
	if err != nil {
		return 0, err
	}
	if seen, _ = hashes.Sum(); seen == 0 {
		return 0, errors.New("diagnose: there are no pictures to look at, or none could be loaded")
	}
	return seen, nil
}

// headroom is the number of bits between the largest accumulator of a layer and
// int32; 0 where there is none.
func headroom(p int8.Parameters, in *int8.Tensor) float64 {
	low, high := in.Limits()
	reach, largest := int64(max(-low, high)), int64(0)
	for o, b := range p.Bias {
		sum := int8.AbsSum(p.Row(o))*reach + max(int64(b), -int64(b))
		largest = max(largest, sum<<p.Shift)
	}
	if largest == 0 {
		return 0
	}
	return 31 - math.Log2(float64(largest))
}

// Prefixes of the simulations that stand beside the integer network's in one
// graph.
const (
	exactly = "exactly/" // the float network
	weighed = "weighed/" // each layer with its integer weights on the float network's inputs
)

// sideBySide writes three simulations, layer by layer.
func (s *simulator) sideBySide() {
	exact, quantized := s.begin(), s.begin()
	for i := range s.network.Layers {
		out := s.layer(exactly, i, exact, Precision{FloatWeights: true, Unrounded: true, Unclipped: true})
		if s.network.Layers[i].WeightBytes() > 0 {
			s.layer(weighed, i, exact, Precision{Unrounded: true, Unclipped: true})
		}
		exact = append(exact, out)
		quantized = append(quantized, s.layer("", i, quantized, Precision{}))
	}
}

// analyst works on one goroutine's images.
type analyst struct {
	executor *fp32.Executor
	layers   []*comparison
	shown    map[tensor.ID]listener
	exact    []float32 // what the layer at hand gives in the float network
	margin   Margin    // of the last image
}

// listener is shown a layer's output in one of the simulations.
type listener struct {
	*comparison
	exact bool // it is that of the float network
	look  func(c *comparison, exact, values []float32) error
}

// newAnalysts makes a number of analysts that share weights.
func newAnalysts(g *models.Graph, n *int8.Network, number int) ([]*analyst, error) {
	s, err := newSimulator(g, n)
	if err != nil {
		return nil, err
	}
	s.sideBySide()
	graph, err := s.graph()
	if err != nil {
		return nil, err
	}
	var analysts []*analyst
	for range number {
		analysts = append(analysts, newAnalyst(s, graph.Topology()))
	}
	executor, err := fp32.NewExecutor(graph, 1, slices.Collect(maps.Keys(analysts[0].shown))...)
	if err != nil {
		return nil, err
	}
	for _, a := range analysts {
		a.executor = executor.Clone()
	}
	return analysts, nil
}

func newAnalyst(s *simulator, t *tensor.Topology) *analyst {
	a := &analyst{shown: map[tensor.ID]listener{}}
	for i := range s.network.Layers {
		l := &s.network.Layers[i]
		c := newComparison(l, &s.units[i])
		a.layers = append(a.layers, c)
		for prefix, heard := range map[string]listener{
			exactly: {c, true, (*comparison).exactly},
			weighed: {c, false, (*comparison).weighed},
			"":      {c, false, (*comparison).quantized},
		} {
			if id, err := t.ID(prefix + l.Name); err == nil { // layers without weights are not weighed
				a.shown[id] = heard
			}
		}
	}
	return a
}

func (a *analyst) run(rgb []uint8) error {
	logits, err := a.executor.RunImage(rgb, func(t tensor.ID, values []float32) error {
		l := a.shown[t]
		if l.exact {
			a.exact = append(a.exact[:0], values...)
		}
		if err := l.look(l.comparison, a.exact, values); err != nil {
			return fmt.Errorf("diagnose: layer %q: %w", l.layer.Name, err)
		}
		return nil
	})
	if err == nil {
		a.margin = NewMargin(a.exact, logits)
	}
	return err
}

func (a *analyst) join(other *analyst) {
	for i, c := range a.layers {
		c.join(other.layers[i])
	}
}
