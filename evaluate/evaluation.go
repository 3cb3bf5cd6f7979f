package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/calibrate/dataset"
	"edgeclassify/calibrate/diagnose"
	"edgeclassify/calibrate/fp32"
	"edgeclassify/models"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

// Evaluation compares an int8 network with the truth and with its float origin
// on images. Of each image it keeps the verdict only.
type Evaluation struct {
	model    *q8.Model
	plan     *runtime.Plan
	float    *fp32.Executor // nil without a float network
	images   ImageSet
	logits   [][]float32       // of the float network, by image, that are known without running it
	verdicts []verdict         // by image
	margins  []diagnose.Margin // of the images that have been run, where there is a float network
	journal  *journal          // nil where verdicts are not written down
}

// verdict is the outcome for one image. Ranks count the answers (labels.Activation)
// with a higher logit than the true class: -1 where that, or the network, is
// missing.
type verdict struct {
	Class     int     `json:"class"` // the true one, -1 if unknown
	Rank      int     `json:"rank"`
	FloatRank int     `json:"float_rank"`
	Agree     bool    `json:"agree"`  // both networks give the same answer
	Signal    float64 `json:"signal"` // sum of the float logits' squares
	Noise     float64 `json:"noise"`  // sum of the squared differences to them

	known bool
	err   error // why the image was left out
}

// New prepares to run m on images, of which truth holds the true classes, -1
// where they are unknown. The float network, folded, may be nil. It must be of a
// kind with m.
func New(m *q8.Model, float *models.Graph, images ImageSet, truth []int) (*Evaluation, error) {
	e := &Evaluation{
		model: m, images: images, logits: make([][]float32, images.Len()),
		verdicts: make([]verdict, images.Len()), margins: make([]diagnose.Margin, images.Len()),
	}
	for i, class := range truth {
		e.verdicts[i].Class = class
	}
	var err error
	if e.plan, err = runtime.Compile(m.Network, runtime.Options{Threads: 1}); err != nil || float == nil {
		return e, err
	}
	if float.Input() != m.Input.Shape || float.Shape(float.Output()) != m.Layers[len(m.Layers)-1].Out.Shape || float.Preprocess != m.Preprocess {
		return nil, fmt.Errorf("%s: input, preprocessing or classes differ from the quantized network's", float.Name)
	}
	e.float, err = fp32.NewExecutor(float, 1)
	return e, err
}

// Plan is how the network is run.
func (e *Evaluation) Plan() *runtime.Plan { return e.plan }

// Run finds the verdicts that are not known yet, on as many images at a time as
// there are threads. Progress, which may be nil, counts them. Images that cannot
// be read are left out.
func (e *Evaluation) Run(ctx context.Context, threads int, progress func(done, total int)) error {
	var todo []int
	for i, v := range e.verdicts {
		if !v.known {
			todo = append(todo, i)
		}
	}
	return e.each(ctx, threads, len(todo), progress, func(w *worker, k int) error {
		i := todo[k]
		file, v := e.images.Files[i], &e.verdicts[i]
		rgb, err := e.images.Load(i)
		if err != nil {
			v.err = err
			return nil
		}
		if e.margins[i], err = w.judge(v, rgb, e.logits[i]); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return e.journal.add(file, *v)
	})
}

// LeftOut says of each image that could not be read why.
func (e *Evaluation) LeftOut() (errs []error) {
	for i, v := range e.verdicts {
		if v.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", e.images.Files[i], v.err))
		}
	}
	return errs
}

// each calls do for 0 to n-1, on several at a time.
func (e *Evaluation) each(ctx context.Context, threads, n int, progress func(done, total int), do func(w *worker, k int) error) error {
	workers := make([]*worker, min(threads, n))
	for i := range workers {
		workers[i] = e.newWorker()
		defer workers[i].session.Close()
	}
	return dataset.Each(ctx, len(workers), n, progress, func(worker, k int) error { return do(workers[worker], k) })
}

// worker runs both networks for one goroutine.
type worker struct {
	model   *q8.Model
	session *runtime.Session
	float   *fp32.Executor // nil without a float network
	logits  []float32
}

func (e *Evaluation) newWorker() *worker {
	w := &worker{model: e.model, session: e.plan.NewSession(), logits: make([]float32, e.model.Classifier().Out)}
	if e.float != nil {
		w.float = e.float.Clone()
	}
	return w
}

// run returns the real logits of both networks, which are valid until its next
// call. Those of float are nil without a float network; it is not run where they
// are known.
func (w *worker) run(rgb []uint8, known []float32) (quantized, float []float32, err error) {
	logits, err := w.session.Run(rgb)
	if err != nil {
		return nil, nil, err
	}
	w.model.Classifier().Scaled(w.logits, logits)
	if float = known; float == nil && w.float != nil {
		float, err = w.float.RunImage(rgb, nil)
	}
	return w.logits, float, err
}

// judge completes the verdict on an image.
func (w *worker) judge(v *verdict, rgb []uint8, known []float32) (m diagnose.Margin, err error) {
	quantized, float, err := w.run(rgb, known)
	if err != nil {
		return m, err
	}
	said := w.model.Activation.Answers(quantized)
	v.Rank, v.FloatRank, v.known = rank(said, v.Class), -1, true
	if float == nil {
		return m, nil
	}
	saidByFloat := w.model.Activation.Answers(float)
	v.FloatRank, v.Agree = rank(saidByFloat, v.Class), best(saidByFloat) == best(said)
	noise := diagnose.NoiseOf(float, quantized)
	v.Signal, v.Noise = noise.Signal, noise.Noise
	if math.IsNaN(v.Noise) || math.IsInf(v.Noise, 0) {
		return m, errors.New("the float network's logits are not finite: fetch its weights again")
	}
	return diagnose.NewMargin(saidByFloat, said), nil
}

// known are the margins of images that could be read.
func (e *Evaluation) known() (margins []diagnose.Margin) {
	for i, v := range e.verdicts {
		if v.known {
			margins = append(margins, e.margins[i])
		}
	}
	return margins
}

func best(logits []float32) int { return slices.Index(logits, slices.Max(logits)) }

// rank counts the classes that come before class; those of equal logits rank
// by number. -1 for an unknown class.
func rank(logits []float32, class int) int {
	if class < 0 {
		return -1
	}
	n := 0
	for c, v := range logits {
		if v > logits[class] || (v == logits[class] && c < class) {
			n++
		}
	}
	return n
}
