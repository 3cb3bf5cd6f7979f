package calibrate

import (
	"context"
	"reflect"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// replay runs networks on the same images again and again. What the first layers make
// of an image is kept, and not made again for a network that shares these.
type replay struct {
	images  [][]uint8
	states  []runtime.State // by image
	memory  int             // bytes that all states may take; a search has two replays
	threads int
}

func newReplay(images [][]uint8, threads int) *replay {
	const memory = 256 << 20
	return &replay{images, make([]runtime.State, len(images)), memory, threads}
}

// each calls do for the images [from, to), each brought to where next is to be made: all
// before it is kept. What was kept behind next is not that of the plan's network.
func (r *replay) each(ctx context.Context, plan *runtime.Plan, next tensor.ID, from, to int, do func(s *runtime.Session, i int) error) error {
	keep := plan.StateBytes(next) <= r.memory/len(r.images)
	return eachSession(ctx, plan, to-from, r.threads, func(s *runtime.Session, i int) error {
		i += from
		state := &r.states[i]
		if state.Next() > next {
			*state = runtime.State{}
		}
		if err := s.Resume(r.images[i], state); err != nil {
			return err
		}
		s.Advance(next)
		if keep && state.Next() != next {
			s.Save(state)
		}
		return do(s, i)
	})
}

// forget drops what was kept behind next.
func (r *replay) forget(next tensor.ID) {
	for i := range r.states {
		if r.states[i].Next() > next {
			r.states[i] = runtime.State{}
		}
	}
}

// logits are the real ones of the images [from, to).
func (r *replay) logits(ctx context.Context, plan *runtime.Plan, next tensor.ID, from, to int) ([][]float32, error) {
	logits := make([][]float32, to-from)
	return logits, r.each(ctx, plan, next, from, to, func(s *runtime.Session, i int) error {
		quantized := s.Finish()
		logits[i-from] = make([]float32, len(quantized))
		plan.Network().Classifier().Scaled(logits[i-from], quantized)
		return nil
	})
}

// means are the averages of q - zero of each channel of what a layer reads, over all
// images and pixels.
func (r *replay) means(ctx context.Context, plan *runtime.Plan, layer int) ([][]float64, error) {
	n := plan.Network()
	inputs := n.Layers[layer].Inputs
	sums := make([][][]int64, len(r.images)) // by image and input
	if err := r.each(ctx, plan, tensor.Output(layer), 0, len(r.images), func(s *runtime.Session, i int) error {
		for _, id := range inputs {
			sums[i] = append(sums[i], channelSums(n.Tensor(id), s.Output(id)))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	means := make([][]float64, len(inputs))
	for at, id := range inputs {
		shape := n.Tensor(id).Shape
		means[at] = make([]float64, shape.C)
		count := float64(shape.H * shape.W * len(r.images))
		for _, s := range sums {
			for c, v := range s[at] {
				means[at][c] += float64(v) / count
			}
		}
	}
	return means, nil
}

// channelSums adds up q - zero of each channel.
func channelSums(t *int8.Tensor, values []int32) []int64 {
	sums := make([]int64, t.Shape.C)
	for rest := values; len(rest) > 0; rest = rest[len(sums):] {
		for c, q := range rest[:len(sums)] {
			sums[c] += int64(q)
		}
	}
	for c := range sums {
		sums[c] -= int64(len(values)/len(sums)) * int64(t.ZeroAt(c))
	}
	return sums
}

// shared is the number of the first layers that two networks have in common.
func shared(a, b *int8.Network) (n int) {
	for n < len(a.Layers) && n < len(b.Layers) {
		k, l := &a.Layers[n], &b.Layers[n]
		if k.Op != l.Op || !reflect.DeepEqual(k.Out, l.Out) || !slices.Equal(k.Inputs, l.Inputs) {
			break
		}
		n++
	}
	return n
}

// identical tells whether two networks have all layers in common.
func identical(a, b *int8.Network) bool {
	return a != nil && len(a.Layers) == len(b.Layers) && shared(a, b) == len(b.Layers)
}
