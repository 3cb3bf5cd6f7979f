package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"time"

	"edgeclassify/int8"
	"edgeclassify/int8/q8"
	"edgeclassify/internal/cli"
	"edgeclassify/models"
	"edgeclassify/runtime"
)

const evalUsage = `Usage: quantize eval -model FILE.q8 -images DIR [flags]

Runs a model on pictures and reports how often it is right, and, with -float,
how close it is to its float network: how often both name the same class
(agreement), which pictures flip from right to wrong and back and whether that
is more than chance (McNemar's test), and the signal-to-noise ratio of the
logits (SQNR, in dB). Shares have 95 % Wilson intervals.

True classes come from WordNet ids in the names of pictures or their folders
(n01440764_tench.jpg, n01440764/1.jpg, val_1_n01440764.jpg), from folders named
by the classes' numbers (0/1.jpg), or from -truth FILE, which is one of:

  lines of file name and class: its number from 0, WordNet id or label,
      such as Caffe's val.txt
  LOC_val_solution.csv of Kaggle
  ILSVRC2012_validation_ground_truth.txt of the ILSVRC development kit, for
      pictures named ILSVRC2012_val_00000001.JPEG

Without any, only agreement and SQNR are reported.

With -resume FILE an evaluation that was interrupted goes on where it stopped
when the same command is given again. The FILE is for one model and one float
network; a picture that was replaced under its name is not seen again.

With -json: images, labelled, skipped (pictures), sqnr_db, seconds, flips, classes
(with -classes), and top1, top5, float_top1, float_top5 and agreement, each with
count, of, value, low and high. What cannot be told is null.

Example:
  quantize eval -model resnet50.q8 -images photos/ -float resnet50-keras -holdout`

type evalOptions struct {
	model, images, float, truth, resume string
	limit, threads                      int
	seed                                uint64
	holdout, classes, json              bool
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
	e, err := o.prepare(ctx, model)
	if err != nil {
		return err
	}
	start := time.Now()
	move, end := cli.Progress(s.Err, "evaluating", false)
	err = e.run(ctx, o.threads, func(done, total int) { move(int64(done), int64(total)) })
	end()
	if err = errors.Join(err, e.journal.close()); err != nil {
		return err
	}
	for i, v := range e.verdicts {
		if v.err != nil {
			fmt.Fprintf(s.Err, "quantize: left out: %s: %v\n", e.set.files[i], v.err)
		}
	}
	outcome := e.report()
	outcome.Seconds = time.Since(start).Seconds()
	if outcome.Images == 0 {
		return fmt.Errorf("%s: none of the pictures could be read", o.images)
	}
	if !o.classes {
		outcome.Classes = nil
	}
	if o.json {
		return json.NewEncoder(s.Out).Encode(outcome)
	}
	return printEvaluation(s.Out, outcome)
}

// prepare finds all that the evaluation needs.
func (o evalOptions) prepare(ctx context.Context, model *q8.Model) (*evaluation, error) {
	n := model.Network
	set, err := draw(o.images, n.Preprocess, o.limit, o.seed)
	if err != nil {
		return nil, err
	}
	if o.holdout {
		if set, err = holdout(ctx, o.threads, set, o.images, n.Provenance); err != nil {
			return nil, err
		}
	}
	truth, err := trueClasses(o.truth, o.images, set.files, n.Classes)
	if err != nil {
		return nil, err
	}
	float, hash, err := o.loadFloat()
	if err != nil {
		return nil, err
	}
	e, err := newEvaluation(n, float, set, truth)
	if err != nil || o.resume == "" {
		return e, err
	}
	return e, e.resume(o.resume, journalHeader{Kind: journalKind, Model: model.SHA256, Float: hash})
}

// loadFloat imports the float network, if one was named.
func (o evalOptions) loadFloat() (g *models.Graph, hash string, err error) {
	if o.float == "" {
		return nil, "", nil
	}
	if g, err = load(o.float); err != nil {
		return nil, "", err
	}
	return g, g.Hash(), nil
}

// holdout removes the calibration pictures, which must come from the same
// folder.
func holdout(ctx context.Context, threads int, set imageSet, path string, p int8.Provenance) (imageSet, error) {
	seen, err := calibrated(ctx, threads, path, set.spec, p)
	if err != nil {
		return set, fmt.Errorf("-holdout: %w", err)
	}
	set.files = slices.DeleteFunc(set.files, func(file string) bool { return seen[file] })
	if set.Len() == 0 {
		return set, fmt.Errorf("-holdout: no pictures are left: the model was calibrated on all of %s", path)
	}
	return set, nil
}
