package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"text/tabwriter"
	"time"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/int8/q8"
	"edgeclassify/internal/cli"
	"edgeclassify/labels"
	"edgeclassify/runtime"
)

const evalUsage = `Usage: quantize eval -model FILE.q8 -images DIR [flags]

Runs a model on pictures and reports how often it is right, and, with -float,
how close it is to its float network: how often both name the same class
(agreement) and the signal-to-noise ratio of the logits (SQNR, in dB).

The true classes come from -truth FILE (lines of file name and class), or from
WordNet ids in names: n01440764_tench.jpg, n01440764/1.jpg, val_1_n01440764.jpg.
Without either, only agreement and SQNR are reported.

With -json: images, labelled, top1, top5, float_top1, float_top5, agreement (all
shares from 0 to 1), sqnr_db, seconds, skipped.

Example:
  quantize eval -model resnet50.q8 -images photos/ -float resnet50-keras -holdout`

type evalOptions struct {
	model, images, float, truth string
	limit, threads              int
	seed                        uint64
	holdout, json               bool
}

func parseEval(args []string, s cli.Streams) (o evalOptions, err error) {
	f := cli.Flags("quantize eval", evalUsage, s)
	f.StringVar(&o.model, "model", "", "the quantized network, a .q8 `FILE`")
	f.StringVar(&o.images, "images", "", "the pictures in `DIR` and the folders within")
	f.StringVar(&o.float, "float", "", "compare with the float network: a fetched network's name or a `PATH`")
	f.StringVar(&o.truth, "truth", "", "take the true classes from the text `FILE`")
	f.BoolVar(&o.holdout, "holdout", false, "leave out the pictures of -images that the model was calibrated on")
	f.IntVar(&o.limit, "limit", 0, "draw at most `N` of the pictures; 0 takes all")
	f.Uint64Var(&o.seed, "seed", 1, "the `SEED` that decides which pictures -limit draws")
	f.IntVar(&o.threads, "threads", goruntime.NumCPU(), "work on `N` pictures at a time")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return o, err
	}
	switch {
	case len(rest) > 0:
		return o, cli.Usagef("unexpected argument %q", rest[0])
	case o.model == "":
		return o, cli.Usagef("no model given: -model FILE.q8")
	case o.images == "":
		return o, cli.Usagef("no pictures given: -images DIR")
	case o.threads < 1 || o.threads > runtime.MaxThreads:
		return o, cli.Usagef("-threads %d: want 1 to %d", o.threads, runtime.MaxThreads)
	case o.limit < 0:
		return o, cli.Usagef("-limit %d: want 0 or more", o.limit)
	}
	return o, nil
}

func evalCommand(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parseEval(args, s)
	if err != nil {
		return err
	}
	model, err := q8.Open(o.model)
	if err != nil {
		return err
	}
	defer model.Close()
	e, err := newEvaluation(model.Network, o)
	if err != nil {
		return err
	}
	defer e.close()
	start := time.Now()
	move, end := cli.Progress(s.Err, "evaluating", false)
	err = calibrate.EachImage(ctx, len(e.workers), e.set.Len(), func(done, total int) { move(int64(done), int64(total)) }, e.run)
	end()
	if err != nil {
		return err
	}
	for i, v := range e.verdicts {
		if v.err != nil {
			fmt.Fprintf(s.Err, "quantize: left out: %s: %v\n", e.set.files[i], v.err)
		}
	}
	r := e.report()
	r.Seconds = time.Since(start).Seconds()
	if r.Images == 0 {
		return fmt.Errorf("%s: none of the pictures could be read", o.images)
	}
	if o.json {
		return json.NewEncoder(s.Out).Encode(r)
	}
	return r.print(s.Out)
}

// evaluation compares an int8 network with the truth and its float origin.
type evaluation struct {
	network  *int8.Network
	set      imageSet
	truth    []int // the true class of every picture, -1 if unknown
	workers  []*evalWorker
	verdicts []verdict
}

// evalWorker is what one goroutine needs.
type evalWorker struct {
	session *runtime.Session
	float   *calibrate.Executor // nil without a float network
	input   []float32
	logits  []float32
}

// verdict is the outcome for one picture. Ranks count the classes with a
// higher logit than the true one.
type verdict struct {
	err             error
	rank, floatRank int
	agree           bool
	signal, noise   float64 // sums of squares over the logits
}

func newEvaluation(n *int8.Network, o evalOptions) (*evaluation, error) {
	e := &evaluation{network: n}
	var err error
	if e.set, err = draw(o.images, n.Preprocess, o.limit, o.seed); err != nil {
		return nil, err
	}
	if o.holdout {
		if e.set, err = holdout(e.set, o.images, n.Provenance); err != nil {
			return nil, err
		}
	}
	if e.truth, err = truth(o.truth, e.set.files, n.Classes); err != nil {
		return nil, err
	}
	e.verdicts = make([]verdict, e.set.Len())
	plan, err := runtime.Compile(n, runtime.Options{Threads: 1})
	if err != nil {
		return nil, err
	}
	var float *calibrate.Executor
	if o.float != "" {
		if float, err = floatExecutor(o.float, n); err != nil {
			return nil, err
		}
	}
	for range min(o.threads, e.set.Len()) {
		w := &evalWorker{session: plan.NewSession(), logits: make([]float32, len(n.Classes))}
		if float != nil {
			w.float, w.input = float.Clone(), make([]float32, n.Input.Shape.Elements())
		}
		e.workers = append(e.workers, w)
	}
	return e, nil
}

func (e *evaluation) close() {
	for _, w := range e.workers {
		w.session.Close()
	}
}

// holdout removes the calibration pictures, which must come from the same
// folder.
func holdout(set imageSet, path string, p int8.Provenance) (imageSet, error) {
	seen, err := calibrated(path, set.spec, p)
	if err != nil {
		return set, fmt.Errorf("-holdout: %w", err)
	}
	set.files = slices.DeleteFunc(set.files, func(file string) bool { return seen[file] })
	if set.Len() == 0 {
		return set, fmt.Errorf("-holdout: no pictures are left: the model was calibrated on all of %s", path)
	}
	return set, nil
}

// truth finds the true class of every picture; -1 where it is unknown.
func truth(table string, files []string, classes []labels.Class) ([]int, error) {
	var byName map[string]int
	if table != "" {
		f, err := os.Open(table)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if byName, err = labels.ReadTruth(f, classes); err != nil {
			return nil, fmt.Errorf("%s: %w", table, err)
		}
	}
	out := make([]int, len(files))
	for i, path := range files {
		class, ok := labels.FromPath(path, classes)
		if table != "" {
			if class, ok = byName[filepath.Base(path)]; !ok {
				return nil, fmt.Errorf("%s: no line for %s", table, filepath.Base(path))
			}
		}
		if !ok {
			class = -1
		}
		out[i] = class
	}
	return out, nil
}

// floatExecutor loads the float network and checks that it is of a kind with
// the int8 one.
func floatExecutor(model string, n *int8.Network) (*calibrate.Executor, error) {
	g, err := load(model)
	if err != nil {
		return nil, err
	}
	if g, err = calibrate.Fold(g.Logits()); err != nil {
		return nil, err
	}
	if g.Input != n.Input.Shape || len(g.Classes) != len(n.Classes) || g.Preprocess != n.Preprocess {
		return nil, fmt.Errorf("%s: input, preprocessing or classes differ from the quantized network's", model)
	}
	return calibrate.NewExecutor(g, 1)
}

func (e *evaluation) run(worker, i int) error {
	w, v := e.workers[worker], &e.verdicts[i]
	rgb, err := e.set.Load(i)
	if err != nil {
		v.err = err
		return nil
	}
	logits, err := w.session.Run(rgb)
	if err != nil {
		return err
	}
	e.network.Logits().Scaled(w.logits, logits)
	v.rank = rank(w.logits, e.truth[i])
	if w.float == nil {
		return nil
	}
	e.network.Preprocess.Float(w.input, rgb)
	float, err := w.float.Run(w.input, nil)
	if err != nil {
		return err
	}
	v.floatRank = rank(float, e.truth[i])
	v.agree = best(float) == best(w.logits)
	for c, f := range float {
		d := float64(f) - float64(w.logits[c])
		v.signal += float64(float64(f) * float64(f))
		v.noise += float64(d * d)
	}
	return nil
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

// evalReport is the outcome for all pictures. Shares are from 0 to 1 and nil
// where truth or float network are missing.
type evalReport struct {
	Images    int      `json:"images"`
	Labelled  int      `json:"labelled"`
	Skipped   int      `json:"skipped"`
	Top1      *float64 `json:"top1"`
	Top5      *float64 `json:"top5"`
	FloatTop1 *float64 `json:"float_top1"`
	FloatTop5 *float64 `json:"float_top5"`
	Agreement *float64 `json:"agreement"`
	SQNR      *float64 `json:"sqnr_db"`
	Seconds   float64  `json:"seconds"`
}

func (e *evaluation) report() evalReport {
	var r evalReport
	var top1, top5, floatTop1, floatTop5, agree int
	var signal, noise float64
	for i, v := range e.verdicts {
		if v.err != nil {
			r.Skipped++
			continue
		}
		r.Images++
		signal, noise = signal+v.signal, noise+v.noise
		agree += count(v.agree)
		if e.truth[i] >= 0 {
			r.Labelled++
			top1, top5 = top1+count(v.rank < 1), top5+count(v.rank < 5)
			floatTop1, floatTop5 = floatTop1+count(v.floatRank < 1), floatTop5+count(v.floatRank < 5)
		}
	}
	hasFloat := len(e.workers) > 0 && e.workers[0].float != nil
	if r.Labelled > 0 {
		r.Top1, r.Top5 = share(top1, r.Labelled), share(top5, r.Labelled)
		if hasFloat {
			r.FloatTop1, r.FloatTop5 = share(floatTop1, r.Labelled), share(floatTop5, r.Labelled)
		}
	}
	if hasFloat && r.Images > 0 {
		r.Agreement = share(agree, r.Images)
		if noise > 0 {
			sqnr := 10 * math.Log10(signal/noise)
			r.SQNR = &sqnr
		}
	}
	return r
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func share(n, of int) *float64 {
	v := float64(n) / float64(of)
	return &v
}

func (r evalReport) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "pictures\t%d\t%d with a known class, %d left out\n", r.Images, r.Labelled, r.Skipped)
	percent := func(name string, v *float64, note string) {
		if v != nil {
			fmt.Fprintf(t, "%s\t%.2f %%\t%s\n", name, 100**v, note)
		}
	}
	percent("top-1", r.Top1, "")
	percent("top-5", r.Top5, "")
	percent("top-1 of float", r.FloatTop1, "")
	percent("top-5 of float", r.FloatTop5, "")
	percent("agreement", r.Agreement, "same top class as float")
	if r.SQNR != nil {
		fmt.Fprintf(t, "logit SQNR\t%.2f dB\t\n", *r.SQNR)
	}
	fmt.Fprintf(t, "time\t%.1f s\t\n", r.Seconds)
	return t.Flush()
}
