package stream

import (
	"time"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/preprocess"
)

// frames is a model that reads camera frames.
type frames struct {
	*classify.Model
	image preprocess.Image
}

// NewClassifier makes a model the Classifier of Run, which is its only user
// meanwhile.
func NewClassifier(m *classify.Model) Classifier { return &frames{Model: m} }

// Classify implements Classifier.
func (c *frames) Classify(f *capture.Frame, probs []float64) (took classify.Phases, err error) {
	start := time.Now()
	if err := f.Image(&c.image); err != nil {
		return took, err
	}
	decode := ms(time.Since(start))
	if err := c.Run(&c.image); err != nil {
		return took, err
	}
	c.Probabilities(probs)
	took = c.Phases()
	took.Decode = decode
	return took, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
