package nettest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"edgeclassify/int8"
	"edgeclassify/q8"
	"edgeclassify/tensor"
)

// Taught is a random network of that seed, of any kind, whose classifier reads an
// embedding: of features alone, or of the logits of the classifier before it, too.
func Taught(seed uint64) *q8.Model {
	base := featured(seed)
	b := &builder{Rand: rand.New(rand.NewPCG(seed, 2)), input: base.Input, spec: base.Preprocess, provenance: base.Provenance}
	b.provenance.Base = fmt.Sprintf("%064x", seed)
	last := len(base.Layers) - 1
	b.layers = append(b.layers, base.Layers[:last]...)
	id, _ := base.Features()
	inputs, e := []tensor.ID{id}, &int8.Embedding{Pooled: 1}
	if b.chance(3) {
		b.dense(b.embedding(e, inputs))
		return b.model(fmt.Sprintf("taught-%d", seed))
	}
	b.layers = append(b.layers, base.Layers[last])
	part := pick(b, 0, 0.5, 0.5, 1, b.Float64())
	e.Pooled, e.Logits = float32(math.Sqrt(part)), float32(math.Sqrt(1-part))
	e.Threshold = pick(b, 0, 1, 2*b.Float32())
	for range base.Classifier().Out {
		e.Scale = append(e.Scale, b.scale())
	}
	b.dense(b.embedding(e, append(inputs, tensor.Output(last))))
	return b.model(fmt.Sprintf("taught-%d", seed))
}

// featured is a random model with features.
func featured(seed uint64) *q8.Model {
	if seed%3 > 0 {
		return Model(seed, seed%3 > 1)
	}
	for ; ; seed++ {
		m := OperationsModel(seed)
		if _, ok := m.Features(); ok {
			return m
		}
	}
}

func (b *builder) embedding(e *int8.Embedding, inputs []tensor.ID) node {
	features := b.layers[inputs[0].Node()].Out
	bound := pick(b, math.MaxInt16, 1+b.Int32N(math.MaxInt16), 1+b.Int32N(1000))
	return b.add(e, e.Output(features.Shape.C, bound), inputs...)
}
