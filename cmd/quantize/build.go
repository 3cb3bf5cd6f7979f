package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"time"

	"edgeclassify/calibrate"
	"edgeclassify/calibrate/quantize"
	"edgeclassify/evaluate"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
	"edgeclassify/models"
	"edgeclassify/q8"
	"edgeclassify/report"
)

const buildUsage = `Usage: quantize build -model PATH -out FILE.q8 [-images DIR] [-labels PATH] [flags]

Quantizes a trained float network into an int8 model file.

PATH is what the network was trained or saved as, told by its content:
  PyTorch     a checkpoint of a residual network (.pth, .pt, .ckpt, .bin, .pth.tar,
              .safetensors), or a folder from the hub (timm, transformers); other
              networks as ONNX
  ONNX        .onnx, of torch.onnx, tf2onnx and others
  Keras       .keras, .h5, a TensorFlow.js layers model
  Teachable Machine   its folder or zip for TensorFlow.js
  a fetched network's name, see 'quantize fetch -h'

-images are a few hundred pictures of the kind that the camera will see, with or
without folders for the classes; eight are better than none. Without them a network
with batch norms is quantized from these, unless a range table comes with the program.

What pictures look like to the network and what its classes are called is read from
its files where they say it; every build prints what is used. With -images that name
their classes the float network is tried first: where another preprocessing fits its
answers far better, build says which.

The model is checked beside its float network on pictures. One whose logits have an
SQNR below 15 dB, or that surely agrees with the float network on less than 95 % of
pictures, is not written: the exit code is 3, and standard error names the layers to
blame and what helps.

Examples:
  quantize build -model my.onnx -labels labels.txt -images photos/ -out my.q8
  quantize build -model checkpoint.pth.tar -preprocess torchvision -labels train/ -images train/ -out my.q8
  quantize build -model folder-from-the-hub/ -images photos/ -out my.q8
  quantize build -model teachable-machine.zip -out my.q8`

const methodUsage = `quantize by ` + "`METHOD`" + `:
best: try everything below, keep what lessens the noise of the logits on
  pictures held out, then tune ranges and biases layer by layer: about
  200 candidates for ResNet50, or -budget of them
fast: mse, without any search
clip-mse: ranges with the least squared error, clipping counted four times
mse: ranges with the least squared error
channel-mse: clip-mse, channels weighted by what their errors do to the logits
entropy: ranges with the least Kullback-Leibler divergence
percentile: ranges that hold 99.99 % of the values
minmax: ranges that hold all values
The same pictures give the same file, byte for byte, on fast and slow machines with
one kind of CPU and for any number of threads`

// The methods that are more than a way to choose ranges.
const (
	methodBest = "best"
	methodFast = "fast"
)

type buildOptions struct {
	model, images, ranges, out, saveRanges string
	dataFree                               bool
	method                                 string
	maxDrop                                float64
	correctBias, equalize, roundWeights    bool
	budget, limit, threads                 int
	seed                                   uint64
	reports                                reportFiles
	force                                  bool
	networkFlags
}

func buildSections() []cli.Section {
	return []cli.Section{
		{Title: "What the network expects, where its files do not say it", Flags: networkSection},
		{Title: "Tuning", Flags: []string{"method", "budget", "max-drop", "correct-bias", "round-weights", "equalize",
			"ranges", "save-ranges", "data-free", "limit", "seed", "threads", "force"}},
	}
}

func parseBuild(args []string, s cli.Streams) (o buildOptions, err error) {
	f := cli.Flags("quantize build", buildUsage, s, buildSections()...)
	o.register(f)
	f.StringVar(&o.model, "model", "", "the float network: a `PATH` or a fetched network's name")
	f.StringVar(&o.images, "images", "", "calibrate on the pictures in `DIR` and the folders within")
	f.StringVar(&o.ranges, "ranges", "", "take activation ranges from the table `FILE` instead of pictures")
	f.BoolVar(&o.dataFree, "data-free", false, "take activation ranges from the network's batch norms instead of pictures")
	f.StringVar(&o.saveRanges, "save-ranges", "", "write the range table to `FILE`")
	f.StringVar(&o.out, "out", "", "write the model to `FILE.q8`")
	f.IntVar(&o.limit, "limit", 0, "draw at most `N` of the pictures; 0 takes all")
	f.Uint64Var(&o.seed, "seed", 1, "the `SEED` that decides which pictures -limit draws")
	f.IntVar(&o.threads, "threads", goruntime.NumCPU(), "use `N` threads; the result does not depend on it")
	f.StringVar(&o.method, "method", methodBest, methodUsage)
	f.Func("budget", "end the search of -method best after `N` candidates; 0, the default, lets it try all", o.setBudget)
	f.Float64Var(&o.maxDrop, "max-drop", 0, "let the first class change on at most `PERCENT` of pictures, as expected from -images, with the fewest int16 outputs: those of the layers that make the most noise, each of which costs time and memory; 0 has none")
	f.BoolVar(&o.correctBias, "correct-bias", true, "correct biases for what quantization adds on average")
	f.BoolVar(&o.roundWeights, "round-weights", true, "let the search round weights by the Hessian of their outputs' error")
	f.BoolVar(&o.equalize, "equalize", true, "let the search scale channels that stand out")
	f.Var(&o.reports, "report", "write a report on the model to `FILE`.html, for people, or .json; may be given several times")
	f.BoolVar(&o.force, "force", false, "write a model that is not fit for use, too")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return o, err
	}
	sources := 0
	for _, given := range []bool{o.images != "", o.ranges != "", o.dataFree} {
		if given {
			sources++
		}
	}
	switch {
	case len(rest) > 0:
		return o, cli.Usagef("unexpected argument %q", rest[0])
	case o.model == "":
		return o, cli.Usagef("no network given: -model PATH")
	case o.out == "":
		return o, cli.Usagef("no output given: -out FILE.q8")
	case sources > 1:
		return o, cli.Usagef("-images, -ranges and -data-free exclude each other")
	case o.method != methodBest && o.method != methodFast && !quantize.Method(o.method).Valid():
		return o, cli.Usagef("unknown method %q: want %s, %s or one of %q", o.method, methodBest, methodFast, quantize.Methods())
	case len(o.reports) > 0 && o.images == "":
		return o, cli.Usagef("-report tells what pictures do to the layers: it needs -images DIR")
	case !(o.maxDrop >= 0):
		return o, cli.Usagef("-max-drop %g: want 0 or more", o.maxDrop)
	case o.maxDrop > 0 && o.images == "":
		return o, cli.Usagef("-max-drop is measured on pictures: it needs -images DIR")
	case o.limit < 0:
		return o, cli.Usagef("-limit %d: want 0 or more", o.limit)
	case o.threads < 1:
		return o, cli.Usagef("-threads %d: want at least 1", o.threads)
	}
	return o, nil
}

func (o *buildOptions) setBudget(text string) (err error) {
	if o.budget, err = strconv.Atoi(text); err != nil || o.budget < 0 {
		return errors.New("want a number of candidates such as 100, or 0 for all")
	}
	return nil
}

func (o *buildOptions) checkOutputs() error {
	outputs := []place{{"-out", o.out}, {"-save-ranges", o.saveRanges}}
	for _, file := range o.reports {
		outputs = append(outputs, place{"-report", file})
	}
	return checkOutputs([]place{
		{"-model", o.model}, {"-ranges", o.ranges}, {"-labels", o.labels.labels}, {"-preprocess", o.preprocess.source},
	}, outputs...)
}

// build is a model that is being made.
type build struct {
	buildOptions
	streams cli.Streams
	evaluate.Calibration
	graph     *models.Graph // up to the logits, not folded
	hash      string        // of the network
	tableHash string        // of the table's file, where it came from one
	found     *calibrate.Found
}

func buildCommand(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parseBuild(args, s)
	if err != nil {
		return err
	}
	if err := o.checkOutputs(); err != nil {
		return err
	}
	start := time.Now()
	g, lines, err := o.network(o.model)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprintf(s.Err, "quantize: %s\n", line)
	}
	b := &build{buildOptions: o, streams: s, graph: g.Logits(), hash: g.Hash()}
	if err := b.findTable(ctx); err != nil {
		return err
	}
	if o.maxDrop > 0 {
		if err := b.chooseInt16(ctx); err != nil {
			return err
		}
	}
	model, err := calibrate.Model(b.Float, b.Table, b.provenance(), o.threads)
	if err != nil {
		return err
	}
	if o.saveRanges != "" {
		if err := atomicfile.Write(o.saveRanges, 0o644, b.Table.Write); err != nil {
			return err
		}
	}
	if err := b.finish(ctx, model); err != nil {
		return err
	}
	info, err := os.Stat(o.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s: %s, %d layers, %.1f MB, %s from %d pictures, %.1f s\n",
		o.out, model.Name, len(model.Layers), float64(info.Size())/1e6, model.Provenance.Method, b.Table.Images, time.Since(start).Seconds())
	return nil
}

// finish writes the model, if it is fit for use, and the reports on it. A model
// from a table is not checked: whoever made the table has done so.
func (b *build) finish(ctx context.Context, m *q8.Model) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.Images.Len() == 0 {
		return q8.Write(b.out, m)
	}
	bars := newBars(b.streams.Err)
	check, err := b.Check(ctx, m, evaluate.CheckOptions{
		Folder: b.images, Threads: b.threads, Analyze: len(b.reports) > 0, Remedies: b.remedies(), Progress: bars.move,
	})
	bars.end()
	if err != nil {
		return err
	}
	for _, line := range append([]string{check.Verdict.Summary}, check.Verdict.Advice...) {
		fmt.Fprintf(b.streams.Err, "quantize: %s\n", line)
	}
	var r *report.Report
	if len(b.reports) > 0 {
		bars := newBars(b.streams.Err)
		r, err = report.New(ctx, m, &b.Calibration, check, b.threads, bars.move)
		bars.end()
		if err != nil {
			return err
		}
	}
	if !check.Verdict.Good && !b.force {
		return errors.Join(b.reports.write(r), fmt.Errorf("%s is not written: the model is %w; -force writes it all the same", b.out, cli.ErrPoor))
	}
	if err := q8.Write(b.out, m); err != nil {
		return err
	}
	if r == nil {
		return nil
	}
	if err := r.Model.AddFile(b.out); err != nil {
		return err
	}
	return b.reports.write(r)
}

// fewImages are too few for the best ranges.
const fewImages = 128

// remedies are what can make a poor model better.
func (b *build) remedies() (helps []string) {
	best := b.method == methodBest
	if !best {
		helps = append(helps, "-method best, which tries all methods")
	}
	if best && !b.equalize {
		helps = append(helps, "equalization, without -equalize=false")
	}
	if !b.correctBias {
		helps = append(helps, "bias correction, without -correct-bias=false")
	}
	if best && b.found.Tried < b.found.Planned {
		helps = append(helps, "a larger -budget")
	}
	if b.Table.Images < fewImages {
		helps = append(helps, fmt.Sprintf("more pictures than %d of the kind that the camera will see", b.Table.Images))
	}
	return helps
}

// quantizer is what made a model: its version counts up where the same inputs give
// another network. The program's own is none of it: model files are a function of
// their inputs.
const quantizer = "quantize 0.1.0"

func (b *build) provenance() q8.Provenance {
	t := b.Table
	return q8.Provenance{
		Tool: quantizer, Source: b.graph.Name, SourceHash: b.hash,
		Method: calibrate.Describe(t), Images: t.Images, ImagesHash: t.ImagesHash,
		Seed: t.Seed, RangesHash: b.tableHash,
	}
}
