package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/models"
	"edgeclassify/runtime"
)

// evaluation compares an int8 network with the truth and with its float origin
// on pictures. Of each picture it keeps the verdict only.
type evaluation struct {
	plan     *runtime.Plan
	float    *calibrate.Executor // nil without a float network
	set      imageSet
	verdicts []verdict          // by picture
	margins  []calibrate.Margin // of the pictures that have been run, where there is a float network
	journal  *journal           // nil where verdicts are not written down
}

// verdict is the outcome for one picture. Ranks count the classes with a
// higher logit than the true one: -1 where that, or the network, is missing.
type verdict struct {
	Class     int     `json:"class"` // the true one, -1 if unknown
	Rank      int     `json:"rank"`
	FloatRank int     `json:"float_rank"`
	Agree     bool    `json:"agree"`  // both networks name the same class first
	Signal    float64 `json:"signal"` // sum of the float logits' squares
	Noise     float64 `json:"noise"`  // sum of the squared differences to them

	known bool
	err   error // why the picture was left out
}

// newEvaluation prepares to run the networks on a set of pictures, of which
// truth holds the true classes, -1 where they are unknown. The float network,
// as it was imported, may be nil.
func newEvaluation(n *int8.Network, float *models.Graph, set imageSet, truth []int) (*evaluation, error) {
	e := &evaluation{set: set, verdicts: make([]verdict, set.Len()), margins: make([]calibrate.Margin, set.Len())}
	for i, class := range truth {
		e.verdicts[i].Class = class
	}
	var err error
	if e.plan, err = runtime.Compile(n, runtime.Options{Threads: 1}); err != nil {
		return nil, err
	}
	if float != nil {
		e.float, err = floatExecutor(float, n)
	}
	return e, err
}

// floatExecutor prepares the float network and checks that it is of a kind
// with the int8 one.
func floatExecutor(g *models.Graph, n *int8.Network) (*calibrate.Executor, error) {
	g, err := calibrate.Fold(g.Logits())
	if err != nil {
		return nil, err
	}
	if g.Input != n.Input.Shape || len(g.Classes) != len(n.Classes) || g.Preprocess != n.Preprocess {
		return nil, fmt.Errorf("%s: input, preprocessing or classes differ from the quantized network's", g.Name)
	}
	return calibrate.NewExecutor(g, 1)
}

// run finds the verdicts that are not known yet, on several pictures at a
// time. Progress, which may be nil, counts them.
func (e *evaluation) run(ctx context.Context, threads int, progress func(done, total int)) error {
	var todo []int
	for i, v := range e.verdicts {
		if !v.known {
			todo = append(todo, i)
		}
	}
	return e.each(ctx, threads, len(todo), progress, func(w *evalWorker, k int) error {
		file, v := e.set.files[todo[k]], &e.verdicts[todo[k]]
		rgb, err := e.set.Load(todo[k])
		if err != nil {
			v.err = err
			return nil
		}
		if e.margins[todo[k]], err = w.judge(v, rgb); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		return e.journal.add(file, *v)
	})
}

// each calls do for 0 to n-1, on several at a time.
func (e *evaluation) each(ctx context.Context, threads, n int, progress func(done, total int), do func(w *evalWorker, k int) error) error {
	workers := make([]*evalWorker, min(threads, n))
	for i := range workers {
		workers[i] = e.newWorker()
		defer workers[i].session.Close()
	}
	return calibrate.EachImage(ctx, len(workers), n, progress, func(worker, k int) error { return do(workers[worker], k) })
}

// evalWorker runs both networks for one goroutine.
type evalWorker struct {
	network *int8.Network
	session *runtime.Session
	float   *calibrate.Executor // nil without a float network
	input   []float32
	logits  []float32
}

func (e *evaluation) newWorker() *evalWorker {
	n := e.plan.Network()
	w := &evalWorker{network: n, session: e.plan.NewSession(), logits: make([]float32, len(n.Classes))}
	if e.float != nil {
		w.float, w.input = e.float.Clone(), make([]float32, n.Input.Shape.Elements())
	}
	return w
}

// run returns the real logits of both networks, which are valid until its next
// call: float is nil without a float network.
func (w *evalWorker) run(rgb []uint8) (quantized, float []float32, err error) {
	logits, err := w.session.Run(rgb)
	if err != nil {
		return nil, nil, err
	}
	w.network.Logits().Scaled(w.logits, logits)
	if w.float != nil {
		w.network.Preprocess.Float(w.input, rgb)
		float, err = w.float.Run(w.input, nil)
	}
	return w.logits, float, err
}

// judge completes the verdict on a picture.
func (w *evalWorker) judge(v *verdict, rgb []uint8) (m calibrate.Margin, err error) {
	quantized, float, err := w.run(rgb)
	if err != nil {
		return m, err
	}
	v.Rank, v.FloatRank, v.known = rank(quantized, v.Class), -1, true
	if float == nil {
		return m, nil
	}
	v.FloatRank, v.Agree = rank(float, v.Class), best(float) == best(quantized)
	for c, f := range float {
		d := float64(f) - float64(quantized[c])
		v.Signal += float64(float64(f) * float64(f))
		v.Noise += float64(d * d)
	}
	if math.IsNaN(v.Noise) || math.IsInf(v.Noise, 0) {
		return m, errors.New("the float network's logits are not finite: fetch its weights again")
	}
	return calibrate.NewMargin(float, quantized), nil
}

// known are the margins of pictures that could be read.
func (e *evaluation) known() (margins []calibrate.Margin) {
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
