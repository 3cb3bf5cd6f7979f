package runtime

import "math"

// Prediction is one class with its probability.
type Prediction struct {
	Class int     // index into the model's classes
	Logit float32 // real value
	Prob  float64 // softmax over all classes
}

// Top fills dst with the most probable classes, best first, and returns how
// many there are: len(dst) or all classes. Equal logits rank by class number.
// It does not allocate.
func (p *Plan) Top(dst []Prediction, logits []int32) int {
	scale := p.network.Classifier().Scale
	n := 0
	for class, v := range logits {
		logit := float32(v) * scale[class]
		i := n
		for i > 0 && dst[i-1].Logit < logit {
			i--
		}
		if i == len(dst) {
			continue
		}
		n = min(n+1, len(dst))
		copy(dst[i+1:n], dst[i:])
		dst[i] = Prediction{Class: class, Logit: logit}
	}
	if n == 0 {
		return 0
	}
	best, sum := float64(dst[0].Logit), 0.0
	for class, v := range logits {
		sum += math.Exp(float64(float32(v)*scale[class]) - best)
	}
	for i := range dst[:n] {
		dst[i].Prob = math.Exp(float64(dst[i].Logit)-best) / sum
	}
	return n
}

// Probabilities writes the softmax of the logits to dst, which holds one value
// for each class. It does not allocate.
func (p *Plan) Probabilities(dst []float64, logits []int32) {
	scale := p.network.Classifier().Scale
	best := math.Inf(-1)
	for class, v := range logits {
		dst[class] = float64(float32(v) * scale[class])
		best = max(best, dst[class])
	}
	sum := 0.0
	for class, logit := range dst {
		dst[class] = math.Exp(logit - best)
		sum += dst[class]
	}
	for class := range dst {
		dst[class] /= sum
	}
}
