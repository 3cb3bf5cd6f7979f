package labels

import (
	"math"
	"slices"
)

// Activation turns logits into probabilities.
type Activation string

// The activations behind the last layer. With Sigmoid classes are independent of
// each other: none, or several, may be in a picture. But a network with one logit
// tells two classes apart by it: the probability is that of the second.
const (
	Softmax Activation = "softmax"
	Sigmoid Activation = "sigmoid"
)

// Classes is the number of classes that so many logits tell apart.
func (a Activation) Classes(logits int) int {
	if a == Sigmoid && logits == 1 {
		return 2
	}
	return logits
}

// Independent says whether the classes of so many logits are independent of each
// other: their probabilities do not sum to 1.
func (a Activation) Independent(logits int) bool { return a == Sigmoid && logits > 1 }

// Scores spreads the logits in front of scores over all classes, in place. The
// first of two classes with one logit has 0: with it, softmax is the sigmoid.
func (a Activation) Scores(scores []float64, logits int) []float64 {
	classes := a.Classes(logits)
	if classes > logits {
		scores[0], scores[1] = 0, scores[0]
	}
	return scores[:classes]
}

// Answers are the logits of all that a network can say of a picture: its classes
// and, where these are independent, that it shows none of them: that all are less
// likely than not. The highest is the answer.
func (a Activation) Answers(logits []float32) []float32 {
	switch {
	case a.Classes(len(logits)) > len(logits):
		return []float32{0, logits[0]}
	case a.Independent(len(logits)):
		return append(slices.Clip(logits), 0)
	}
	return logits
}

// Probabilities turns the scores of so many logits into probabilities, in place.
func (a Activation) Probabilities(scores []float64, logits int) {
	if !a.Independent(logits) {
		softmax(scores)
		return
	}
	for class, logit := range scores {
		scores[class] = 1 / (1 + math.Exp(-logit))
	}
}

func softmax(scores []float64) {
	best := math.Inf(-1)
	for _, score := range scores {
		best = max(best, score)
	}
	sum := 0.0
	for class, score := range scores {
		scores[class] = math.Exp(score - best)
		sum += scores[class]
	}
	for class := range scores {
		scores[class] /= sum
	}
}
