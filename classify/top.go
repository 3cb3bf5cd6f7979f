package classify

import "edgeclassify/labels"

// Prediction is one class with its probability.
type Prediction struct {
	Class       int     `json:"class"` // index into Model.Classes
	ID          string  `json:"id"`    // WordNet ID, of ImageNet's classes
	Label       string  `json:"label"` // name for people
	Probability float64 `json:"prob"`  // by softmax or sigmoid, as the model says
	Logit       float32 `json:"-"`     // real value; 0 for the first of two classes with one logit
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
	m.activation.Probabilities(scores, len(m.logits))
	for i := range top {
		top[i].Probability = scores[top[i].Class]
	}
	return top
}

// Probabilities writes those of the last image to dst, which holds one value for
// each class; nothing before the first image.
func (m *Model) Probabilities(dst []float64) {
	m.activation.Probabilities(m.real(dst), len(m.logits))
}

// real writes the classes' logits as real numbers to dst.
func (m *Model) real(dst []float64) []float64 {
	for i, v := range m.logits {
		dst[i] = float64(float32(v) * m.scale[i])
	}
	return m.activation.Scores(dst, len(m.logits))
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
