package stream

import (
	"time"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/preprocess"
)

// frames is a model that reads camera frames.
type frames struct {
	model *classify.Model
	roi   preprocess.ROI
	image preprocess.Image
}

// NewClassifier makes a model the Classifier of Run, which is its only user
// meanwhile. It looks at a region of each frame; the zero ROI is all of it.
func NewClassifier(m *classify.Model, roi preprocess.ROI) Classifier {
	return &frames{model: m, roi: roi}
}

// Model implements Classifier.
func (c *frames) Model() Model {
	m := c.model
	return Model{Name: m.File().Name, SHA256: m.File().SHA256, Base: m.File().Provenance.Base, Kernel: m.Plan().Kernel(), Classes: m.Classes(), Independent: m.Independent(), FeatureScale: m.FeatureScale()}
}

// Classify implements Classifier.
func (c *frames) Classify(f *capture.Frame, probs []float64) (took classify.Phases, err error) {
	start := time.Now()
	if err := f.Image(&c.image); err != nil {
		return took, err
	}
	if err := c.roi.Crop(&c.image); err != nil {
		return took, err
	}
	decode := ms(time.Since(start))
	if err := c.model.Run(&c.image); err != nil {
		return took, err
	}
	c.model.Probabilities(probs)
	took = c.model.Phases()
	took.Decode = decode
	return took, nil
}

// Logits implements Classifier.
func (c *frames) Logits() []int32 { return c.model.Logits() }

// Features implements Classifier.
func (c *frames) Features() []int16 { return c.model.Features() }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
