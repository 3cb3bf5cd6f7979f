package main

import (
	"fmt"
	"time"

	"edgeclassify/labels"
	"edgeclassify/preprocess"
	"edgeclassify/runtime"
	"edgeclassify/stream"
)

// classifier runs one model on one picture after the other. For a camera's
// frames it is a stream.Classifier.
type classifier struct {
	plan    *runtime.Plan
	session *runtime.Session
	resizer *preprocess.Resizer
	rgb     []uint8
	frame   preprocess.Image
}

func newClassifier(plan *runtime.Plan) (*classifier, error) {
	n := plan.Network()
	resizer, err := preprocess.NewResizer(n.Preprocess)
	if err != nil {
		return nil, err
	}
	return &classifier{
		plan: plan, session: plan.NewSession(), resizer: resizer,
		rgb: make([]uint8, n.Input.Shape.Elements()),
	}, nil
}

func (c *classifier) close() { c.session.Close() }

// Classes are the model's.
func (c *classifier) Classes() []labels.Class { return c.plan.Network().Classes }

// run gives the logits of a picture, which the next run overwrites, and notes
// how long that took.
func (c *classifier) run(p *preprocess.Image, took *stream.Phases) ([]int32, error) {
	start := time.Now()
	if err := c.resizer.Resize(c.rgb, p); err != nil {
		return nil, err
	}
	resized := time.Now()
	logits, err := c.session.Run(c.rgb)
	took.Preprocess, took.Infer = ms(resized.Sub(start)), ms(time.Since(resized))
	return logits, err
}

// predictions are the n most probable classes.
func (c *classifier) predictions(logits []int32, n int) []stream.Class {
	top := make([]runtime.Prediction, min(n, len(c.Classes())))
	var classes []stream.Class
	for _, p := range top[:c.plan.Top(top, logits)] {
		name := c.Classes()[p.Class]
		classes = append(classes, stream.Class{Class: p.Class, ID: name.ID, Label: name.Name, Prob: p.Prob})
	}
	return classes
}

// classifier reads the model and makes a classifier of it.
func (e *engine) classifier() (c *classifier, closeAll func(), err error) {
	model, plan, err := e.open()
	if err != nil {
		return nil, nil, err
	}
	if c, err = newClassifier(plan); err != nil {
		model.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.model, err)
	}
	return c, func() { c.close(); model.Close() }, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
