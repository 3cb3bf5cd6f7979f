package teach

import (
	"fmt"
	"math"
	"slices"

	"edgeclassify/int8"
	"edgeclassify/labels"
	"edgeclassify/q8"
	"edgeclassify/runtime"
	"edgeclassify/tensor"
)

// Head is a classifier of own classes: what stands behind a network's features.
type Head struct {
	Embedding  *int8.Embedding
	Bound      int32 // of the embedding's values
	Dense      *int8.Dense
	Classes    []labels.Class
	Activation labels.Activation

	base  *base
	float *regression // what it was quantized from
}

// regression is a head in float.
type regression struct {
	share  float64     // of the pooled part
	weight [][]float64 // [classes][pooled+logits], of an embedding of length 1
	bias   []float64
}

// logits of a sample.
func (r *regression) logits(v *vectors, sample int) []float64 {
	z := make([]float64, len(r.weight))
	pooled, logits := lengths(r.share)
	for k, w := range r.weight {
		z[k] = r.bias[k]
		for j, q := range v.row(sample) {
			length := pooled
			if j >= v.pooled {
				length = logits
			}
			z[k] += float64(w[j] * float64(length/unit*float64(q)))
		}
	}
	return z
}

// quantize makes the head. Each class's weights have a scale of their own; the
// embedding's values are as large as int32 sums allow.
func (b *base) quantize(r *regression, classes []string, a labels.Activation) *Head {
	h := &Head{Embedding: b.embedding(r.share), Activation: a, base: b, float: r}
	width := b.tensor.Shape.C + len(h.Embedding.Scale)
	d := &int8.Dense{In: width, Out: len(classes), Weight: make([]int8.Value, 0, width*len(classes))}
	h.Dense = d
	steps, top := make([]float64, d.Out), 0.0
	for k, w := range r.weight {
		for _, v := range w[:width] {
			steps[k] = max(steps[k], math.Abs(v)/math.MaxInt8)
		}
		top = max(top, steps[k])
	}
	if top == 0 {
		top = 1
	}
	h.Bound = math.MaxInt16
	for k, w := range r.weight {
		if steps[k] == 0 {
			steps[k] = top
		}
		for _, v := range w[:width] {
			d.Weight = append(d.Weight, int8.Value(math.RoundToEven(v/steps[k])))
		}
		// |x.w| + |bias| <= bound*(sum of |w| + |bias|/step) stays within int32.
		reach := float64(int8.AbsSum(d.Weight[k*width:])) + math.Abs(r.bias[k])/steps[k]
		h.Bound = min(h.Bound, int32((math.MaxInt32-1)/max(reach, 1)))
	}
	h.Bound = max(h.Bound, 1)
	for k, v := range r.bias {
		d.Bias = append(d.Bias, int32(math.RoundToEven(float64(v/steps[k])*float64(h.Bound))))
		d.Scale = append(d.Scale, float32(steps[k]/float64(h.Bound)))
	}
	for _, name := range classes {
		h.Classes = append(h.Classes, labels.Class{ID: name, Name: name})
	}
	return h
}

// Logits are what the engine gives for an image of these features.
func (h *Head) Logits(dst []int32, features []int16) {
	embedding := make([]int16, h.Dense.In)
	var logits []int32
	if len(h.Embedding.Scale) > 0 {
		logits = make([]int32, h.base.dense.Out)
		h.base.answer(logits, features, make([]int16, len(features)))
	}
	h.Embedding.Of(embedding, features, logits, h.Bound)
	runtime.Kernels()[0].Dense(h.Dense, dst, embedding, 0, h.Dense.Out)
}

// selfTestSeed is that of the picture whose answer is stored with the model.
const selfTestSeed = 1

// SelfTestImage is the picture whose features Model wants.
func SelfTestImage(n *int8.Network) []uint8 {
	return (&q8.SelfTest{Seed: selfTestSeed}).Image(n)
}

// Model is the base network with the head in place of its classifier, which stays where
// the embedding reads it. The features are those of SelfTestImage; without them the
// model has no self-test.
func (h *Head) Model(base *q8.Model, from q8.Provenance, selfTest []int16) (*q8.Model, error) {
	layers, embedding := h.layers(base.Network)
	layers = append(layers, embedding)
	out := int8.Tensor{Shape: tensor.Shape{H: 1, W: 1, C: h.Dense.Out}, Type: int8.Int32}
	layers = append(layers, int8.Layer{Name: vacant("head", layers), Inputs: []tensor.ID{tensor.Output(len(layers) - 1)}, Op: h.Dense, Out: out})
	n, err := int8.NewNetwork(base.Name, base.Input, layers)
	if err != nil {
		return nil, fmt.Errorf("teach: %w", err)
	}
	var test *q8.SelfTest
	if selfTest != nil {
		logits := make([]int32, h.Dense.Out)
		h.Logits(logits, selfTest)
		test = &q8.SelfTest{Seed: selfTestSeed, LogitsSHA256: int8.HashLogits(logits)}
	}
	m, err := q8.New(n, base.Preprocess, h.Classes, h.Activation, from, test)
	if err != nil {
		return nil, fmt.Errorf("teach: %w", err)
	}
	return m, nil
}

// layers are the base's up to what the embedding reads, and the embedding's.
func (h *Head) layers(n *int8.Network) ([]int8.Layer, int8.Layer) {
	inputs, last := []tensor.ID{h.base.features}, h.base.features
	if len(h.Embedding.Scale) > 0 {
		inputs, last = append(inputs, h.base.logits), max(last, h.base.logits)
	}
	layers := slices.Clone(n.Layers[:last.Node()+1])
	return layers, int8.Layer{
		Name: vacant("embedding", layers), Inputs: inputs, Op: h.Embedding,
		Out: h.Embedding.Output(h.base.tensor.Shape.C, h.Bound),
	}
}

// vacant is a name that no layer has.
func vacant(name string, layers []int8.Layer) string {
	for slices.ContainsFunc(layers, func(l int8.Layer) bool { return l.Name == name }) {
		name += "_"
	}
	return name
}
