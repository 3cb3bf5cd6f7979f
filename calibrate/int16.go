package calibrate

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/int8"
	"edgeclassify/models"
)

// probedImages tell sensitivities.
const probedImages = 8

// Int16Options steer ChooseInt16.
type Int16Options struct {
	Threads int
	// MaxDrop is the share of images, from 0 to 1, on which the first class may be
	// expected to change.
	MaxDrop  float64
	Progress Progress
}

// Int16Choice is the outcome of ChooseInt16.
type Int16Choice struct {
	Table  *quantize.RangeTable // with the layers whose output is int16
	Layers []Int16Layer         // these, in the order in which they were chosen
	Rounds []Int16Round         // the network without int16 outputs, others, and the one chosen
	// Sensitivities are those of the network without int16 outputs, nil where it
	// needs none.
	Sensitivities []diagnose.Sensitivity
	// Logits are the float network's, by image.
	Logits [][]float32
}

// Int16Layer is a layer with an int16 output: what is expected once this one and
// those before it have that, and what it costs beside them.
type Int16Layer struct {
	Layer        string
	Gain         float64 // of the logits' SQNR, in dB
	Drop         float64 // share of images whose first class changes
	Bytes        int     // of memory for the output
	Microseconds float64 // predicted, one Cortex-A76 core at 2.4 GHz
}

// Int16Round is a network that was measured.
type Int16Round struct {
	Network *int8.Network
	Drop    float64 // the share of images whose first class is expected to change
}

// ChooseInt16 stores outputs as int16 of the network that the table, which has none,
// makes of the folded graph g: those that make the most noise, the fewest with
// which at most MaxDrop of the answers are expected to change, or all that make
// noise where that is out of reach. It measures on all of the images: 64 are
// enough.
func ChooseInt16(ctx context.Context, g *models.Graph, table *quantize.RangeTable, images dataset.Images, o Int16Options) (*Int16Choice, error) {
	q, err := quantize.New(g, table.Equalization)
	if err != nil {
		return nil, err
	}
	copied := *table
	c := &int16Chooser{Int16Options: o, quantizer: q, Int16Choice: Int16Choice{Table: &copied}}
	if err := c.runFloat(ctx, g, images); err != nil {
		return nil, err
	}
	if err := c.rebuild(ctx); err != nil || c.met() {
		return &c.Int16Choice, err
	}
	pass := dataset.Pass{Threads: o.Threads, Limit: probedImages, Progress: c.Progress.Of("probing")}
	if c.Sensitivities, err = diagnose.Sensitivities(ctx, q.Graph(), c.Rounds[0].Network, images, pass); err != nil {
		return nil, err
	}
	c.rank(c.eligible())
	for len(c.Table.Int16) < len(c.Layers) && !c.met() {
		c.extend()
		if err := c.rebuild(ctx); err != nil {
			return nil, err
		}
		c.Progress.Of("promoting")(len(c.Table.Int16), len(c.Layers))
	}
	c.settle()
	return &c.Int16Choice, nil
}

// int16Chooser has all layers that may be chosen in Layers, the best first.
type int16Chooser struct {
	Int16Options
	Int16Choice
	quantizer *quantize.Quantizer
	images    [][]uint8
}

// runFloat finds the float network's logits.
func (c *int16Chooser) runFloat(ctx context.Context, g *models.Graph, images dataset.Images) error {
	executor, err := fp32.NewExecutor(g, 1)
	if err != nil {
		return err
	}
	executors := make([]*fp32.Executor, max(1, min(c.Threads, images.Len())))
	for i := range executors {
		executors[i] = executor.Clone()
	}
	c.images, c.Logits = make([][]uint8, images.Len()), make([][]float32, images.Len())
	return dataset.Each(ctx, len(executors), images.Len(), c.Progress.Of("running the float network"), func(worker, i int) error {
		rgb, err := images.Load(i)
		if err != nil {
			return err
		}
		c.images[i] = rgb
		c.Logits[i], err = executors[worker].RunImage(rgb, nil)
		return err
	})
}

// measure asks the integer runtime for what share of answers a network changes.
func (c *int16Chooser) measure(ctx context.Context, n *int8.Network) error {
	logits, err := int8Logits(ctx, n, c.images, c.Threads)
	if err != nil {
		return err
	}
	activation, margins := c.quantizer.Graph().Activation, make([]diagnose.Margin, len(logits))
	for i := range logits {
		margins[i] = diagnose.NewMargin(activation.Answers(c.Logits[i]), activation.Answers(logits[i]))
	}
	c.Rounds = append(c.Rounds, Int16Round{n, diagnose.Disagreement(margins)})
	return nil
}

func (c *int16Chooser) drop() float64 { return c.Rounds[len(c.Rounds)-1].Drop }

func (c *int16Chooser) met() bool { return c.drop() <= c.MaxDrop }

// eligible are the sensitivities of the layers whose output may be int16.
func (c *int16Chooser) eligible() []diagnose.Sensitivity {
	return slices.DeleteFunc(slices.Clone(c.Sensitivities), func(s diagnose.Sensitivity) bool {
		return !slices.ContainsFunc(c.quantizer.Units(), func(u quantize.Unit) bool { return u.Name == s.Layer && u.Int16() })
	})
}

// rank sorts the layers by their shares of the noise. The drop shrinks as the
// noise's amplitude does.
func (c *int16Chooser) rank(sensitivities []diagnose.Sensitivity) {
	slices.SortStableFunc(sensitivities, func(a, b diagnose.Sensitivity) int { return cmp.Compare(b.Share, a.Share) })
	share := 0.0
	for _, s := range sensitivities {
		if s.Share == 0 || 1-share < diagnose.LeastLeft {
			return
		}
		share += s.Share
		c.Layers = append(c.Layers, Int16Layer{Layer: s.Layer, Gain: diagnose.Gain(share), Drop: c.Rounds[0].Drop * math.Sqrt(max(1-share, diagnose.LeastLeft))})
	}
}

// extend adds layers to the table until the drop is expected to be small enough:
// at least one, all if need be.
func (c *int16Chooser) extend() {
	now, before := c.drop(), c.Rounds[0].Drop
	if k := len(c.Table.Int16); k > 0 {
		before = c.Layers[k-1].Drop
	}
	for _, l := range c.Layers[len(c.Table.Int16):] {
		c.Table.Int16 = append(c.Table.Int16, l.Layer)
		if now*l.Drop/before <= c.MaxDrop {
			return
		}
	}
}

// rebuild quantizes by the table and measures. Layers that cannot have an int16
// output are no longer considered.
func (c *int16Chooser) rebuild(ctx context.Context) error {
	for {
		n, err := c.quantizer.Network(c.Table)
		overflow := (*quantize.OverflowError)(nil)
		switch {
		case err == nil:
			return c.measure(ctx, n)
		case !errors.As(err, &overflow):
			return err
		}
		c.Table.Int16 = slices.DeleteFunc(c.Table.Int16, func(name string) bool { return name == overflow.Layer })
		c.Layers = slices.DeleteFunc(c.Layers, func(l Int16Layer) bool { return l.Layer == overflow.Layer })
	}
}

// settle leaves the layers that were chosen, with what they cost.
func (c *int16Chooser) settle() {
	c.Layers = c.Layers[:len(c.Table.Int16)]
	n, chosen := c.Rounds[0].Network, map[string]bool{}
	before := microseconds(n, nil)
	outputs := Int16Outputs(n, c.Sensitivities)
	for i := range c.Layers {
		l := &c.Layers[i]
		l.Bytes, chosen[l.Layer] = outputs[l.Layer].Bytes, true
		now := microseconds(n, chosen)
		l.Microseconds, before = now-before, now
	}
}
