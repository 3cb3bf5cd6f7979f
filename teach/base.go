package teach

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// threshold is the standard deviations from which on a logit of the base network stands
// out. By ten drawings of 1 to 8 photographs, 0.5 to 1.5 do about as well.
const threshold = 1

// base is what is used of the network that is taught.
type base struct {
	features tensor.ID
	tensor   *int8.Tensor
	logits   tensor.ID   // of its own classifier
	dense    *int8.Dense // its own classifier; nil where there is none
}

// baseOf finds the features and the own classifier of a network, which may be a taught
// one.
func baseOf(n *int8.Network) (*base, error) {
	id, ok := n.Features()
	if !ok {
		return nil, errors.New("the network has no features to learn from: its classifier reads more than one pixel; take one with a global average before its classifier")
	}
	b := &base{features: id, tensor: n.Tensor(id)}
	last := len(n.Layers) - 1
	if in := n.Layers[last].Inputs[0]; in == id {
		b.logits, b.dense = tensor.Output(last), n.Classifier()
	} else if embedding := &n.Layers[in.Node()]; len(embedding.Inputs) == 2 {
		b.logits = embedding.Inputs[1]
		b.dense = n.Layers[b.logits.Node()].Op.(*int8.Dense)
	}
	return b, nil
}

// classes is the number of the own classifier's.
func (b *base) classes() int {
	if b.dense == nil {
		return 0
	}
	return b.dense.Out
}

// answer writes the own classifier's logits of features, q - Zero.
func (b *base) answer(dst []int32, features, scratch []int16) {
	zero := int16(b.tensor.ZeroAt(0))
	for i, v := range features {
		scratch[i] = v + zero
	}
	runtime.Kernels()[0].Dense(b.dense, dst, scratch, 0, b.dense.Out)
}

// embedding with this share of the pooled part in the square of the length.
func (b *base) embedding(share float64) *int8.Embedding {
	e := &int8.Embedding{Pooled: float32(math.Sqrt(share)), Logits: float32(math.Sqrt(1 - share)), Threshold: threshold}
	if share < 1 {
		e.Scale = b.dense.Scale
	}
	return e
}

// vectors are the embeddings of all samples, both parts of length unit.
type vectors struct {
	samples, pooled, width int
	values                 []int16 // [samples][width]
	certainty              float64 // mean probability of the own classifier's first answer
}

func (v *vectors) row(i int) []int16 { return v.values[i*v.width : (i+1)*v.width] }

// embed computes the vectors, and how sure the own classifier is of the samples.
func (b *base) embed(ctx context.Context, samples []*Sample, threads int) (*vectors, error) {
	channels := b.tensor.Shape.C
	v := &vectors{samples: len(samples), pooled: channels, width: channels + b.classes()}
	v.values = make([]int16, v.samples*v.width)
	both := &int8.Embedding{Pooled: 1, Logits: 1, Threshold: threshold}
	if b.dense != nil {
		both.Scale = b.dense.Scale
	}
	tops := make([]float64, len(samples))
	err := parallel(ctx, threads, len(samples), func(_, i int) error {
		var logits []int32
		if b.dense != nil {
			logits = make([]int32, b.dense.Out)
			b.answer(logits, samples[i].Features, make([]int16, channels))
			tops[i] = top(logits, b.dense.Scale)
		}
		both.Of(v.row(i), samples[i].Features, logits, unit)
		return nil
	})
	for _, p := range tops {
		v.certainty += p / float64(len(tops))
	}
	return v, err
}

// check reports features that are none of the network's.
func (b *base) check(s *Sample) error {
	if len(s.Features) != b.tensor.Shape.C {
		return fmt.Errorf("%d features, the network has %d: compute them with it", len(s.Features), b.tensor.Shape.C)
	}
	for _, v := range s.Features {
		if v != 0 {
			return nil
		}
	}
	return errors.New("all features are 0: the picture shows the network nothing")
}

// top is the probability of the likeliest class.
func top(logits []int32, scale []float32) float64 {
	z := make([]float64, len(logits))
	for k, v := range logits {
		z[k] = float64(v) * float64(scale[k])
	}
	softmax(z)
	return slices.Max(z)
}
