package calibrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/preprocess"
	"edgeclassify/tensor"
)

// AnalyzeOptions steer Analyze and Sensitivities.
type AnalyzeOptions struct {
	Threads int
	Limit   int // the number of pictures to look at, evenly drawn; 0 takes all
	// Skip, if not nil, is told of pictures that cannot be loaded, which are
	// then left out, in order. Without it they end the analysis.
	Skip func(err error)
	// Progress, if not nil, is called after every picture, one call at a time.
	Progress func(done, total int)
}

// Analysis is what quantization does to each layer of a network.
type Analysis struct {
	Images  int
	Layers  []LayerAnalysis // in the network's order
	Margins []Margin        // of each picture
}

// LayerAnalysis compares a layer's output with the float network's.
type LayerAnalysis struct {
	Layer     string
	Seen      Range // of the float network's values
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

// SQNR is the signal-to-quantization-noise ratio in dB, nil where there is no
// noise or no signal.
func (n Noise) SQNR() *float64 {
	if n.Noise == 0 || n.Signal == 0 {
		return nil
	}
	ratio := 10 * math.Log10(n.Signal/n.Noise)
	return &ratio
}

func (n *Noise) add(other Noise) {
	n.Signal += other.Signal
	n.Noise += other.Noise
}

// Analyze runs n and the folded float graph g that it was made from on
// pictures, side by side. The result depends on the pictures and the kind of
// CPU alone, not on threads. Memory does not grow with the number of pictures,
// but for the two numbers of each margin.
func Analyze(ctx context.Context, g *models.Graph, n *int8.Network, images Images, o AnalyzeOptions) (*Analysis, error) {
	workers, err := newAnalysts(g, n, o.workers(images))
	if err != nil {
		return nil, err
	}
	a, total := &Analysis{}, make([]noises, len(n.Layers))
	a.Images, err = o.each(ctx, images, func(worker int, rgb []uint8) error {
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
		a.Layers = append(a.Layers, c.analysis(total[i], headroom(n, i)))
	}
	return a, nil
}

// workers is the number of goroutines that look at pictures.
func (o AnalyzeOptions) workers(images Images) int {
	return max(1, min(o.Threads, len(Evenly(images.Len(), o.Limit))))
}

// each calls look with pictures, on as many goroutines as there are workers,
// and keep after each, in the pictures' order. It returns how many there were.
func (o AnalyzeOptions) each(ctx context.Context, images Images, look func(worker int, rgb []uint8) error, keep func(worker int)) (seen int, err error) {
	images = subset{images, Evenly(images.Len(), o.Limit)}
	err = inOrder(ctx, images, o.workers(images), o.Skip, o.Progress, func(worker, _ int, rgb []uint8) error {
		return look(worker, rgb)
	}, func(worker int) {
		seen++
		keep(worker)
	})
	if err == nil && seen == 0 {
		err = errors.New("calibrate: there are no pictures to look at, or none could be loaded")
	}
	return seen, err
}

// headroom is the number of bits between the largest accumulator of layer i
// and int32.
func headroom(n *int8.Network, i int) float64 {
	l, largest := &n.Layers[i], int64(0)
	in := &n.Input
	if at := slices.IndexFunc(n.Layers, func(m int8.Layer) bool { return m.Name == l.Inputs[0] }); at >= 0 {
		in = &n.Layers[at].Out
	}
	reach := int64(128)
	if in.Type == int8.Int16 {
		reach = int64(in.Bound)
	}
	rows := func(weight []int8.Value, bias []int32, shift uint8) {
		depth := len(weight) / len(bias)
		for o, b := range bias {
			sum := int8.AbsSum(weight[o*depth:(o+1)*depth])*reach + max(int64(b), -int64(b))
			largest = max(largest, sum<<shift)
		}
	}
	switch op := l.Op.(type) {
	case *int8.Conv:
		rows(op.Weight, op.Bias, op.Shift)
	case *int8.Dense:
		rows(op.Weight, op.Bias, 0)
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
		l := &s.network.Layers[i]
		out := s.layer(exactly, l, exact, Precision{FloatWeights: true, Unrounded: true, Unclipped: true})
		if hasWeights(l) {
			s.layer(weighed, l, exact, Precision{Unrounded: true, Unclipped: true})
		}
		exact[l.Name] = out
		quantized[l.Name] = s.layer("", l, quantized, Precision{})
	}
}

func hasWeights(l *int8.Layer) bool { return l.WeightBytes() > 0 }

// analyst works on one goroutine's pictures.
type analyst struct {
	executor   *Executor
	preprocess preprocess.Spec // of the simulations
	input      []float32
	layers     []*comparison
	nodes      map[string]listener
	exact      []float32 // what the layer at hand gives in the float network
	margin     Margin    // of the last picture
}

// listener is shown the output of a node; it may keep the exact one.
type listener func(exact, values []float32) error

// newAnalysts makes a number of analysts that share weights.
func newAnalysts(g *models.Graph, n *int8.Network, number int) ([]*analyst, error) {
	s, err := newSimulator(g, n)
	if err != nil {
		return nil, err
	}
	s.sideBySide()
	graph := s.simulation()
	var analysts []*analyst
	for range number {
		analysts = append(analysts, newAnalyst(s, graph.Preprocess))
	}
	executor, err := NewExecutor(graph, 1, slices.Collect(maps.Keys(analysts[0].nodes))...)
	if err != nil {
		return nil, err
	}
	for _, a := range analysts {
		a.executor = executor.Clone()
	}
	return analysts, nil
}

func newAnalyst(s *simulator, p preprocess.Spec) *analyst {
	a := &analyst{preprocess: p, input: make([]float32, s.network.Input.Shape.Elements()), nodes: map[string]listener{}}
	for i := range s.network.Layers {
		l := &s.network.Layers[i]
		c := newComparison(l, s.units[l.Name].relu)
		a.layers = append(a.layers, c)
		a.nodes[exactly+l.Name] = c.exactly
		a.nodes[l.Name] = c.quantized
		if hasWeights(l) {
			a.nodes[weighed+l.Name] = c.weighed
		}
	}
	return a
}

func (a *analyst) run(rgb []uint8) error {
	if err := checkPicture(rgb, a.input); err != nil {
		return err
	}
	a.preprocess.Float(a.input, rgb)
	var failed error
	logits, err := a.executor.Run(a.input, func(name string, _ tensor.Shape, values []float32) {
		if strings.HasPrefix(name, exactly) {
			a.exact = append(a.exact[:0], values...)
		}
		if err := a.nodes[name](a.exact, values); err != nil && failed == nil {
			failed = fmt.Errorf("calibrate: layer %q: %w", strings.TrimPrefix(name, exactly), err)
		}
	})
	if err == nil {
		a.margin = NewMargin(a.exact, logits)
	}
	return errors.Join(err, failed)
}

func checkPicture(rgb []uint8, input []float32) error {
	if len(rgb) != len(input) {
		return fmt.Errorf("calibrate: a picture has %d values, want %d", len(rgb), len(input))
	}
	return nil
}

func (a *analyst) join(other *analyst) {
	for i, c := range a.layers {
		c.join(other.layers[i])
	}
}
