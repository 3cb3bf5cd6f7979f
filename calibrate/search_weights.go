package calibrate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"edgeclassify/models"
	"edgeclassify/tensor"
)

// earlyWeights bounds the weights that second moments are taken for. The first
// layers have few, and their errors pass through all others; the moments of the
// last would take minutes and megabytes of table for little.
const earlyWeights = 2 << 20

// early are the first planes.
func (s *search) early() (groups [][]string) {
	weights := 0
	for _, units := range s.planes() {
		for _, u := range s.best.rounder.units {
			if slices.Contains(units, u.name) {
				weights += len(u.op.(*models.Conv).Weight)
			}
		}
		if weights > earlyWeights {
			break
		}
		groups = append(groups, units)
	}
	return groups
}

// rescaling takes second moments of inputs into account in weights' scales.
func (s *search) rescaling(units []string) move {
	return move{step: "weight scales by second moments, " + s.plane(units), from: func(ctx context.Context, c candidate) (*candidate, error) {
		scales := cloned(c.scales)
		err := s.eachCovariance(ctx, &c, units, func(u unit, weight []float32, cov *covariance) error {
			rows := make(Means, u.shape.C)
			parallel(len(rows), func(o int) {
				rows[o] = cov.scale(weight[o*cov.depth:(o+1)*cov.depth], o, len(rows))
			})
			scales[u.name] = rows.rounded()
			return nil
		})
		c.scales = scales
		return &c, err
	}}
}

// rounding takes second moments of inputs into account in weights' rounding.
func (s *search) rounding(units []string) move {
	return move{step: "rounding by second moments, " + s.plane(units), from: func(ctx context.Context, c candidate) (*candidate, error) {
		steps, table := cloned(c.steps), s.table(&c)
		err := s.eachCovariance(ctx, &c, units, func(u unit, weight []float32, cov *covariance) error {
			rounded, err := c.rounder.byTable(u, table)
			if err == nil {
				steps[u.name], err = cov.steps(weight, rounded)
			}
			return err
		})
		c.steps = steps
		return &c, err
	}}
}

// plane names the size of units' outputs.
func (s *search) plane(units []string) string {
	for _, u := range s.best.rounder.units {
		if u.name == units[0] {
			return fmt.Sprintf("outputs of %dx%d", u.shape.H, u.shape.W)
		}
	}
	return ""
}

// cloned is a copy of m to write to, also of a nil one.
func cloned[V any](m map[string]V) map[string]V {
	c := maps.Clone(m)
	if c == nil {
		c = map[string]V{}
	}
	return c
}

// eachCovariance calls f for units with their exact weights.
func (s *search) eachCovariance(ctx context.Context, c *candidate, units []string, f func(u unit, weight []float32, cov *covariance) error) error {
	if s.covariances == nil {
		if err := s.sample(ctx, c); err != nil {
			return err
		}
	}
	for _, u := range c.rounder.units {
		if !slices.Contains(units, u.name) {
			continue
		}
		weight, _ := c.rounder.exact(u)
		if err := f(u, weight, s.covariances[u.name]); err != nil {
			return err
		}
	}
	return nil
}

// sample finds the covariances of the inputs of the early units. It runs one
// picture after another: sums of floats depend on their order.
func (s *search) sample(ctx context.Context, c *candidate) error {
	g := c.rounder.graph
	tensors, shapes := map[string]string{g.InputName: g.InputName}, map[string]tensor.Shape{g.InputName: g.Input}
	early, samplers := slices.Concat(s.early()...), map[string]map[string]*sampler{} // by tensor and unit
	for _, u := range c.rounder.units {
		tensors[u.name], shapes[u.name] = u.tensor, u.shape
		if in := u.inputs[0]; slices.Contains(early, u.name) {
			if samplers[tensors[in]] == nil {
				samplers[tensors[in]] = map[string]*sampler{}
			}
			samplers[tensors[in]][u.name] = newSampler(u, shapes[in])
		}
	}
	add := func(tensor string, values []float32) (err error) {
		for _, s := range samplers[tensor] {
			err = errors.Join(err, s.add(values))
		}
		return err
	}
	shown := slices.DeleteFunc(slices.Collect(maps.Keys(samplers)), func(t string) bool { return t == g.InputName })
	executor, err := NewExecutor(g, max(1, s.Threads), shown...)
	if err != nil {
		return err
	}
	input, zero := make([]float32, g.Input.Elements()), imageTensor(g)
	for i := range s.others.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		rgb, err := s.others.Load(i)
		if err != nil {
			return err
		}
		for k, p := range rgb {
			input[k] = float32(int(p) - 128 - int(zero.ZeroAt(k%3)))
		}
		failed := add(g.InputName, input)
		g.Preprocess.Float(input, rgb)
		_, err = executor.Run(input, func(name string, _ tensor.Shape, values []float32) {
			failed = errors.Join(failed, add(name, values))
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		s.Progress.Of("sampling")(i+1, s.others.Len())
	}
	s.covariances = map[string]*covariance{}
	for _, of := range samplers {
		for unit, sampler := range of {
			if s.covariances[unit], err = sampler.covariance(); err != nil {
				return err
			}
		}
	}
	return nil
}
