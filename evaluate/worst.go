package evaluate

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/internal/images"
	"edgeclassify/labels"
)

const mostProbable = 3 // classes for each image and network

// ImageResult is one image's outcome.
type ImageResult struct {
	Name  string       `json:"name"`
	JPEG  []byte       `json:"jpeg,omitempty"` // a small rendering of what the network saw
	Truth string       `json:"truth,omitempty"`
	SQNR  float64      `json:"sqnr_db"` // of this image's logits
	Float []Prediction `json:"float"`   // the three most probable classes
	Int8  []Prediction `json:"int8"`
}

// Prediction is a class with its probability.
type Prediction struct {
	Class       string  `json:"class"`
	Probability float64 `json:"probability"`
}

// Worst runs the networks again on the n images with the lowest SQNR, on as many
// at a time as there are threads, and describes them, the lowest first: none
// without a float network.
func (e *Evaluation) Worst(ctx context.Context, threads, n int) ([]ImageResult, error) {
	worst := e.lowest(n)
	out := make([]ImageResult, len(worst))
	err := e.each(ctx, threads, len(worst), nil, func(w *worker, k int) error {
		i := worst[k]
		rgb, err := e.images.Load(i)
		if err != nil {
			return err
		}
		quantized, float, err := w.run(rgb, e.logits[i])
		if err != nil {
			return err
		}
		classes, v := e.model.Classes, e.verdicts[i]
		out[k] = ImageResult{
			Name:  filepath.Base(e.images.Files[i]),
			SQNR:  *v.sqnr(),
			Float: predictions(float, classes, e.model.Activation),
			Int8:  predictions(quantized, classes, e.model.Activation),
		}
		if v.Class >= 0 {
			out[k].Truth = classes[v.Class].Name
		}
		out[k].JPEG, err = images.Thumbnail(rgb, e.model.Input.Shape)
		return err
	})
	return out, err
}

// sqnr is the image's, nil where there is no noise or no signal.
func (v verdict) sqnr() *float64 { return diagnose.Noise{Signal: v.Signal, Noise: v.Noise}.SQNR() }

// lowest finds the n images with the lowest SQNR, the lowest first. Those
// without noise are never among them.
func (e *Evaluation) lowest(n int) []int {
	var noisy []int
	for i, v := range e.verdicts {
		if v.sqnr() != nil {
			noisy = append(noisy, i)
		}
	}
	noise := func(i int) float64 { return e.verdicts[i].Noise / e.verdicts[i].Signal }
	slices.SortStableFunc(noisy, func(a, b int) int { return cmp.Compare(noise(b), noise(a)) })
	return noisy[:min(n, len(noisy))]
}

// predictions are the most probable classes.
func predictions(logits []float32, classes []labels.Class, a labels.Activation) []Prediction {
	scores, order := make([]float64, len(classes)), make([]int, len(classes))
	for i, v := range logits {
		scores[i] = float64(v)
	}
	for c := range order {
		order[c] = c
	}
	a.Scores(scores, len(logits))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	a.Probabilities(scores, len(logits))
	var out []Prediction
	for _, c := range order[:min(mostProbable, len(order))] {
		out = append(out, Prediction{Class: classes[c].Name, Probability: scores[c]})
	}
	return out
}
