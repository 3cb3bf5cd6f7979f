package calibrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"edgeclassify/calibrate/fp32"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/models"
	"edgeclassify/tensor"
)

// earlyWeights bounds the weights that Hessians are taken for. The first layers
// have few, and their errors pass through all others; the Hessians of the last
// would take minutes and megabytes of table for little.
const earlyWeights = 2 << 20

// early are the first stages.
func (s *search) early() (early [][]quantize.Unit) {
	weights := 0
	for _, stage := range s.stages() {
		for _, u := range stage {
			if l, ok := u.Op.(models.Linear); ok {
				weights += len(l.Parameters().Weight)
			}
		}
		if weights > earlyWeights {
			break
		}
		early = append(early, stage)
	}
	return early
}

// rescaling chooses weights' scales by Hessians.
func (s *search) rescaling(stage []quantize.Unit) candidate {
	return candidate{trial: "Hessian-weighted scales, " + outputsOf(stage), change: func(ctx context.Context, c *choices) error {
		scales := cloned(c.scales)
		err := s.eachHessian(ctx, c, stage, func(i int, name string, h *quantize.Hessian) error {
			scales[name] = c.quantizer.HessianScales(i, h)
			return nil
		})
		c.scales = scales
		return err
	}}
}

// rounding rounds weights by Hessians.
func (s *search) rounding(stage []quantize.Unit) candidate {
	return candidate{trial: "Hessian-based rounding, " + outputsOf(stage), change: func(ctx context.Context, c *choices) error {
		steps, table := cloned(c.steps), s.table(c)
		err := s.eachHessian(ctx, c, stage, func(i int, name string, h *quantize.Hessian) (err error) {
			steps[name], err = c.quantizer.HessianSteps(i, h, table)
			return err
		})
		c.steps = steps
		return err
	}}
}

// outputsOf names a stage by the size of its outputs.
func outputsOf(stage []quantize.Unit) string {
	return fmt.Sprintf("outputs of %dx%d", stage[0].Shape.H, stage[0].Shape.W)
}

// cloned is a copy of m to write to, also of a nil one.
func cloned[V any](m map[string]V) map[string]V {
	c := maps.Clone(m)
	if c == nil {
		c = map[string]V{}
	}
	return c
}

// eachHessian calls f for the units of a stage, by number and name.
func (s *search) eachHessian(ctx context.Context, c *choices, stage []quantize.Unit, f func(i int, name string, h *quantize.Hessian) error) error {
	if s.hessians == nil {
		if err := s.sample(ctx, c.quantizer); err != nil {
			return err
		}
	}
	for i, u := range c.quantizer.Units() {
		if s.hessians[i] == nil || !slices.ContainsFunc(stage, func(v quantize.Unit) bool { return v.Name == u.Name }) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(i, u.Name, s.hessians[i]); err != nil {
			return err
		}
	}
	return nil
}

// sample finds the Hessians of the early units. It runs one image after another:
// sums of floats depend on their order.
func (s *search) sample(ctx context.Context, q *quantize.Quantizer) error {
	samplers, readers, shown := s.samplers(q)
	add := func(id tensor.ID, values []float32) (err error) {
		for _, i := range readers[id] {
			err = errors.Join(err, samplers[i].Add(values))
		}
		return err
	}
	last := tensor.Output(0)
	for _, id := range shown {
		last = max(last, id)
	}
	executor, err := fp32.NewExecutor(q.Graph().First(int(last)), max(1, s.Threads), shown...)
	if err != nil {
		return err
	}
	zero := quantize.ImageTensor(q.Graph())
	input := make([]float32, zero.Shape.Elements())
	for i := range s.others.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		rgb, err := s.others.Load(i)
		if err != nil {
			return err
		}
		if _, err := executor.RunImage(rgb, add); err != nil { // of the image's size
			return err
		}
		for k, p := range rgb {
			input[k] = float32(int(p) - 128 - int(zero.ZeroAt(k%zero.Shape.C)))
		}
		if err := add(tensor.Input, input); err != nil {
			return err
		}
		s.Progress.Of("sampling")(i+1, s.others.Len())
	}
	s.hessians = make([]*quantize.Hessian, len(q.Units()))
	for i, sampler := range samplers {
		if s.hessians[i], err = sampler.Hessian(); err != nil {
			return err
		}
	}
	return nil
}

// samplers are those of the early units, by number. They read float tensors, which
// the executor has to show but for the image.
func (s *search) samplers(q *quantize.Quantizer) (samplers map[int]*quantize.HessianSampler, readers map[tensor.ID][]int, shown []tensor.ID) {
	samplers, readers = map[int]*quantize.HessianSampler{}, map[tensor.ID][]int{}
	early, units := slices.Concat(s.early()...), q.Units()
	for i, u := range units {
		if _, linear := u.Op.(models.Linear); !linear || !slices.ContainsFunc(early, func(v quantize.Unit) bool { return v.Name == u.Name }) {
			continue
		}
		id := tensor.Input
		if from := u.Inputs[0]; from != tensor.Input {
			id = units[from.Node()].Output
			shown = append(shown, id)
		}
		samplers[i] = quantize.NewHessianSampler(&units[i], q.Graph().Shape(id))
		readers[id] = append(readers[id], i)
	}
	return samplers, readers, shown
}
