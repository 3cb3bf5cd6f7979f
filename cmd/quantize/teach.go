package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"edgeclassify/internal/cli"
	"edgeclassify/q8"
	"edgeclassify/report"
	"edgeclassify/runtime"
	"edgeclassify/teach"
	"edgeclassify/teach/photos"
)

const teachUsage = `Usage: quantize teach -model BASE.q8 -images DIR -out FILE.q8 [flags]

Teaches a quantized network classes of your own, from a few photographs of each: its
other layers stay as they are, and a classifier is trained on what they see. Float
weights, a GPU or a training framework are not needed.

-images has a folder for each class, named by its label, with photographs right in it,
or is a .zip of that:

  toys/cup/1.jpg   toys/cup/2.jpg   ...
  toys/keys/1.jpg  toys/keys/2.jpg  ...
  toys/none/1.jpg  ...   anything else that the camera may see; may be left out

Three photographs of a class are something, eight are good, more are better; take them
where the camera will be. Without a folder none (or _none) the class "unknown" is added,
for what looks like none of the classes. With -multi a picture may show several classes,
or none: it lies in the folders of all.

How often the network will be right is measured by leaving photographs out in turn, and
told with its 95 % interval. One that is right no more often than by always naming the
largest class is not written: the exit code is 3.

With -json: model, provenance, taught (classes, accuracy, confusion, suspects, curve,
unknown, quantization, ...), warnings, advice, seconds.

Example, from photographs to the camera:
  quantize fetch resnet50-keras
  quantize build -model resnet50-keras -out resnet50.q8
  quantize teach -model resnet50.q8 -images toys/ -out toys.q8 -report toys.html
  edge-classify -model toys.q8 -camera auto -http :8080`

type teachOptions struct {
	model, images, out, name string
	threads                  int
	seed                     uint64
	multi, noUnknown         bool
	json, force              bool
	reports                  reportFiles
}

func parseTeach(args []string, s cli.Streams) (o teachOptions, err error) {
	f := cli.Flags("quantize teach", teachUsage, s)
	f.StringVar(&o.model, "model", "", "the quantized network to teach, a .q8 `FILE`, which stays as it is")
	f.StringVar(&o.images, "images", "", "learn from the photographs in `DIR`, a folder for each class, or a .zip of it")
	f.StringVar(&o.out, "out", "", "write the taught network to `FILE.q8`")
	f.StringVar(&o.name, "name", "", "call the network `NAME`; that of -out if empty")
	f.BoolVar(&o.multi, "multi", false, "classes are independent: a picture may show several, or none")
	f.BoolVar(&o.noUnknown, "no-unknown", false, "add no class \"unknown\": always answer with one of the classes")
	f.Uint64Var(&o.seed, "seed", 1, "the `SEED` that decides which photographs are left out together")
	f.IntVar(&o.threads, "threads", goruntime.NumCPU(), "use `N` threads; the result does not depend on it")
	f.Var(&o.reports, "report", "write a report to `FILE`.html, for people, or .json; may be given several times")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	f.BoolVar(&o.force, "force", false, "write a network that is not fit for use, too")
	rest, err := cli.Parse(f, args)
	switch {
	case err != nil:
		return o, err
	case len(rest) > 0:
		return o, cli.Usagef("unexpected argument %q", rest[0])
	case o.model == "":
		return o, cli.Usagef("no network given: -model BASE.q8")
	case o.images == "":
		return o, cli.Usagef("no photographs given: -images DIR")
	case o.out == "":
		return o, cli.Usagef("no output given: -out FILE.q8")
	case o.threads < 1 || o.threads > runtime.MaxThreads:
		return o, cli.Usagef("-threads %d: want 1 to %d", o.threads, runtime.MaxThreads)
	}
	if o.name == "" {
		o.name = strings.TrimSuffix(filepath.Base(o.out), filepath.Ext(o.out))
	}
	return o, nil
}

func (o *teachOptions) checkOutputs() error {
	outputs := []place{{"-out", o.out}}
	for _, file := range o.reports {
		outputs = append(outputs, place{"-report", file})
	}
	return checkOutputs([]place{{"-model", o.model}, {"-images", o.images}}, outputs...)
}

func teachCommand(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parseTeach(args, s)
	if err != nil {
		return err
	}
	if err := o.checkOutputs(); err != nil {
		return err
	}
	base, err := q8.Open(o.model)
	if err != nil {
		return err
	}
	defer base.Close()
	folder, err := photos.Open(o.images)
	if err != nil {
		return err
	}
	defer folder.Close()
	m, r, err := o.teach(ctx, base, folder, s)
	if err != nil {
		return err
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(s.Err, "quantize: %s\n", warning)
	}
	if !r.Good && !o.force {
		if err := o.reports.write(r); err != nil {
			return err
		}
		return fmt.Errorf("%s is not written: the network is %w: %s; %s; -force writes it all the same", o.out, cli.ErrPoor, r.Summary(), strings.Join(r.Advice, "; "))
	}
	if err := q8.Write(o.out, m); err != nil {
		return err
	}
	if err := r.Model.AddFile(o.out); err != nil {
		return err
	}
	if err := o.reports.write(r); err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(s.Out).Encode(r)
	}
	return r.WriteText(s.Out)
}

// teach makes the model and the report on it.
func (o *teachOptions) teach(ctx context.Context, base *q8.File, folder *photos.Folder, s cli.Streams) (*q8.Model, *report.Teaching, error) {
	bars := newBars(s.Err)
	defer func() { bars.end() }()
	stage := func(name string) func(done, total int) {
		return func(done, total int) { bars.move(name, done, total) }
	}
	options := teach.Options{Threads: o.threads, Multi: o.multi, NoUnknown: o.noUnknown, Seed: o.seed, Progress: stage("training")}
	if err := options.Check(folder.Labels); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.images, err)
	}
	start := time.Now()
	examples, err := folder.Examples(ctx, base.Model, photos.Options{Threads: o.threads, Multi: o.multi, Progress: stage("features")})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.model, err)
	}
	seen := time.Now()
	head, taught, err := teach.Train(ctx, base.Network, &examples.Set, options)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.images, err)
	}
	r := &report.Teaching{
		Taught: taught, Warnings: append(examples.Warnings, taught.Warnings...),
		Seconds: report.TeachingSeconds{Features: seen.Sub(start).Seconds(), Training: time.Since(seen).Seconds()},
	}
	taught.Warnings = nil
	from := base.Provenance
	from.Tool, from.Method, from.Seed, from.RangesHash = quantizer, taught.Method.String(), o.seed, ""
	from.Base, from.Images, from.ImagesHash = base.SHA256, examples.Images, examples.Hash
	m, err := head.Model(named(base.Model, o.name), from, examples.SelfTest)
	if err != nil {
		return nil, nil, err
	}
	return m, r, r.Complete(m, folder.Thumbnail)
}

// named is a model whose network has another name.
func named(m *q8.Model, name string) *q8.Model {
	renamed, network := *m, *m.Network
	network.Name, renamed.Network = name, &network
	return &renamed
}
