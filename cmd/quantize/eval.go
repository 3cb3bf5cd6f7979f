package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	goruntime "runtime"
	"time"

	"edgeclassify/evaluate"
	"edgeclassify/internal/cli"
	"edgeclassify/models"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

const evalUsage = `Usage: quantize eval -model FILE.q8 -images DIR [flags]

Runs a model on pictures and reports how often it is right, and, with -float,
how close it is to its float network: how often both name the same class (of
independent ones: or none) first (agreement), which pictures flip from right to wrong and back and whether that
is more than chance (McNemar's test), and the signal-to-noise ratio of the
logits (SQNR, in dB) of all pictures together, of the worst and of the median one.
Shares have 95 % Wilson intervals.

True classes come from WordNet ids in the names of pictures or their folders
(n01440764_tench.jpg, n01440764/1.jpg, val_1_n01440764.jpg), from folders named
by labels (tench/1.jpg) or by the classes' numbers (0/1.jpg), or from -truth FILE,
which is one of:

  lines of file name and class: its number from 0, WordNet id or label,
      such as Caffe's val.txt
  LOC_val_solution.csv of Kaggle
  ILSVRC2012_validation_ground_truth.txt of the ILSVRC development kit, for
      pictures named ILSVRC2012_val_00000001.JPEG

Without any, only agreement and SQNR are reported.

With -resume FILE an evaluation that was interrupted goes on where it stopped
when the same command is given again. The FILE is for one model and one float
network; a picture that was replaced under its name is not seen again.

With -json: images, labelled, skipped (pictures), sqnr_db, sqnr_db_by_picture
(worst: its name; deciles: from the lowest to the highest; histogram), seconds, flips,
classes (with -classes), and top1, top5, float_top1, float_top5 and agreement, each with
count, of, value, low and high. What cannot be told is null.

Example:
  quantize eval -model resnet50.q8 -images photos/ -float resnet50-keras -holdout`

type evalOptions struct {
	model, images, float, truth, resume string
	limit, threads                      int
	seed                                uint64
	holdout, classes, json              bool
	weights                             models.ImportOptions
}

func parseEval(args []string, s cli.Streams) (o evalOptions, err error) {
	f := cli.Flags("quantize eval", evalUsage, s)
	f.StringVar(&o.model, "model", "", "the quantized network, a .q8 `FILE`")
	f.StringVar(&o.images, "images", "", "the pictures in `DIR` and the folders within")
	f.StringVar(&o.float, "float", "", "compare with the float network: a fetched network's name or a `PATH`")
	f.StringVar(&o.truth, "truth", "", "take the true classes from the text `FILE`")
	f.StringVar(&o.resume, "resume", "", "keep the outcome of every picture in `FILE`, and go on where it ends")
	f.BoolVar(&o.holdout, "holdout", false, "leave out the pictures of -images that the model was calibrated on")
	f.BoolVar(&o.classes, "classes", false, "report each class, the worst first")
	f.IntVar(&o.limit, "limit", 0, "draw at most `N` of the pictures; 0 takes all")
	f.Uint64Var(&o.seed, "seed", 1, "the `SEED` that decides which pictures -limit draws")
	f.IntVar(&o.threads, "threads", goruntime.NumCPU(), "work on `N` pictures at a time")
	registerWeights(f, &o.weights)
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
	e, err := o.prepare(ctx, model, s.Err)
	if err != nil {
		return err
	}
	start := time.Now()
	move, end := cli.Progress(s.Err, "evaluating", false)
	err = e.Run(ctx, o.threads, func(done, total int) { move(int64(done), int64(total)) })
	end()
	if err = errors.Join(err, e.Close()); err != nil {
		return err
	}
	for _, err := range e.LeftOut() {
		fmt.Fprintf(s.Err, "quantize: left out: %v\n", err)
	}
	r := e.Result()
	r.Seconds = time.Since(start).Seconds()
	if r.Images == 0 {
		return fmt.Errorf("%s: none of the pictures could be read", o.images)
	}
	if !o.classes {
		r.Classes = nil
	}
	if o.json {
		return json.NewEncoder(s.Out).Encode(r)
	}
	return printResult(s.Out, r)
}

// prepare finds all that the evaluation needs.
func (o evalOptions) prepare(ctx context.Context, model *q8.File, warnings io.Writer) (*evaluate.Evaluation, error) {
	images, err := evaluate.Draw(o.images, model.Preprocess, o.limit, o.seed)
	if err != nil {
		return nil, err
	}
	tellLeftOut(warnings, images)
	if o.holdout {
		if images, err = evaluate.Holdout(ctx, o.threads, images, o.images, model.Provenance); err != nil {
			return nil, fmt.Errorf("-holdout: %w", err)
		}
	}
	truth, err := evaluate.TrueClasses(o.truth, o.images, images.Files, model.Classes)
	if err != nil {
		return nil, err
	}
	if unnamed := evaluate.Unnamed(o.images, images.Files, truth); o.truth == "" && len(unnamed) > 0 {
		fmt.Fprintf(warnings, "quantize: %d folders are not named by a label, or by one that several classes have, such as %q: their pictures have no true class; -truth FILE can tell it\n",
			len(unnamed), unnamed[0])
	}
	float, hash, err := o.loadFloat(model.Model, warnings)
	if err != nil {
		return nil, err
	}
	e, err := evaluate.New(model.Model, float, images, truth)
	if err != nil || o.resume == "" {
		return e, err
	}
	return e, e.Resume(o.resume, model.SHA256, hash)
}

// loadFloat imports the float network, if one was named, and folds it. It sees
// pictures as the model does.
func (o evalOptions) loadFloat(m *q8.Model, warnings io.Writer) (folded *models.Graph, hash string, err error) {
	if o.float == "" {
		return nil, "", nil
	}
	if m.Provenance.Base != "" {
		return nil, "", fmt.Errorf("-float %s: %s was taught, and no float network has its classes: leave -float out, or compare the model that it was taught on", o.float, o.model)
	}
	o.weights.Input = m.Preprocess.Crop
	g, err := load(o.float, o.weights)
	if err != nil {
		return nil, "", err
	}
	if g.PreprocessFrom != "" && g.Preprocess != m.Preprocess {
		fmt.Fprintf(warnings, "quantize: %s sees pictures as %s does, not as %s says\n", o.float, o.model, g.PreprocessFrom)
	}
	if folded, err = g.Logits().Fold(); err != nil {
		return nil, "", err
	}
	return folded.With(m.Preprocess, m.Classes, m.Activation), g.Hash(), nil
}

// tellLeftOut tells what is in the folder of pictures besides those.
func tellLeftOut(w io.Writer, images evaluate.ImageSet) {
	if images.LeftOut != "" {
		fmt.Fprintf(w, "quantize: %s\n", images.LeftOut)
	}
}
