package classify

import (
	"math"

	"edgeclassify/labels"
)

// Prediction is one class with its probability.
type Prediction struct {
	Class       int     `json:"class"` // index into Model.Classes
	ID          string  `json:"id"`    // WordNet ID, of ImageNet's classes
	Label       string  `json:"label"` // name for people
	Probability float64 `json:"prob"`  // softmax over all classes
	Logit       float32 `json:"-"`     // real value
}

// Top fills dst with the last image's most probable classes, best first, and
// returns those: len(dst) or all classes, none before the first image. Equal
// logits rank by class number.
func (m *Model) Top(dst []Prediction) []Prediction {
	scores := m.real(m.scores)
	top := Rank(dst, m.Classes(), scores)
	for i := range top {
		top[i].Logit = float32(scores[top[i].Class])
	}
	softmax(scores)
	for i := range top {
		top[i].Probability = scores[top[i].Class]
	}
	return top
}

// Probabilities writes the last image's softmax to dst, which holds one value
// for each class; nothing before the first image.
func (m *Model) Probabilities(dst []float64) { softmax(m.real(dst)) }

// real writes the logits as real numbers to dst.
func (m *Model) real(dst []float64) []float64 {
	for class, v := range m.logits {
		dst[class] = float64(float32(v) * m.scale[class])
	}
	return dst[:len(m.logits)]
}

// softmax turns logits into probabilities, in place.
func softmax(logits []float64) {
	best := math.Inf(-1)
	for _, logit := range logits {
		best = max(best, logit)
	}
	sum := 0.0
	for class, logit := range logits {
		logits[class] = math.Exp(logit - best)
		sum += logits[class]
	}
	for class := range logits {
		logits[class] /= sum
	}
}

// Rank fills dst with the classes of the highest scores, highest first, and
// returns those: len(dst) or all. Equals keep their order. A prediction's
// Probability is its score. Rank does not allocate.
func Rank(dst []Prediction, classes []labels.Class, scores []float64) []Prediction {
	n := 0
	for class, score := range scores {
		i := n
		for i > 0 && dst[i-1].Probability < score {
			i--
		}
		if i == len(dst) {
			continue
		}
		n = min(n+1, len(dst))
		copy(dst[i+1:n], dst[i:])
		dst[i] = Prediction{Class: class, ID: classes[class].ID, Label: classes[class].Name, Probability: score}
	}
	return dst[:n]
}
