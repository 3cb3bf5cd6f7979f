// Command edge-classify tells what pictures show, with a quantized network
// from the quantize command. Run it with -h for its flags.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"edgeclassify/int8/q8"
	"edgeclassify/internal/cli"
	"edgeclassify/runtime"
)

const usage = `Usage: edge-classify -model FILE.q8 [flags] PATH...
       edge-classify bench -model FILE.q8 [flags] [PATH]
       edge-classify kernels [-json]

Classifies pictures. PATH is a JPEG or PNG file, a folder of them, or - for a
picture on standard input. (A file called bench or kernels is ./bench.)

bench measures how fast the network runs on this machine, and kernels lists
the kernels that its CPU can run; 'edge-classify bench -h' tells more.

Examples:
  edge-classify -model resnet50.q8 cat.jpg
  edge-classify -model resnet50.q8 -json photos/ > results.jsonl
  edge-classify bench -model resnet50.q8 -layers

With -json every picture gives one line on standard output:
  path, top (class, id, label, prob), ms (decode, preprocess, infer) and
  logits_sha256, over the int32 logits in little-endian order;
  a picture that cannot be classified gives path and error.

Exit codes: 0 all pictures classified; 1 a picture or the model could not be
read, the other pictures are classified all the same, or this CPU lacks the
kernel; 2 wrong usage.`

func main() { os.Exit(cli.Main("edge-classify", run)) }

// run runs the subcommand that the first argument names.
func run(ctx context.Context, args []string, s cli.Streams) error {
	if len(args) > 0 {
		switch args[0] {
		case "bench":
			return runBench(ctx, args[1:], s)
		case "kernels":
			return runKernels(args[1:], s)
		}
	}
	return runClassify(ctx, args, s)
}

// engine is the options that say what runs, and how.
type engine struct {
	model, kernel string
	threads       int
}

func (e *engine) flags(f *flag.FlagSet) {
	f.StringVar(&e.model, "model", "", "the quantized network, a .q8 `FILE`")
	f.IntVar(&e.threads, "threads", runtime.DefaultThreads(), "share a picture's work among `N` threads, best one for each fast core")
	f.StringVar(&e.kernel, "kernel", "", "use the kernel `NAME` instead of the fastest")
}

func (e *engine) check() error {
	switch {
	case e.model == "":
		return cli.Usagef("no model given: -model FILE.q8")
	case e.threads < 1 || e.threads > runtime.MaxThreads:
		return cli.Usagef("-threads %d: want 1 to %d", e.threads, runtime.MaxThreads)
	}
	return nil
}

// open reads the model and compiles it. Weights that the kernel has packed
// leave memory, so that they are held once.
func (e *engine) open() (*q8.Model, *runtime.Plan, error) {
	model, err := q8.Open(e.model)
	if err != nil {
		return nil, nil, err
	}
	plan, err := runtime.Compile(model.Network, runtime.Options{Threads: e.threads, Kernel: e.kernel, Packed: model.Release})
	if err != nil {
		model.Close()
		return nil, nil, fmt.Errorf("%s: %w", e.model, err)
	}
	return model, plan, nil
}

// options of the program without subcommand.
type options struct {
	engine
	top           int
	json, version bool
	paths         []string
}

func parse(args []string, s cli.Streams) (options, error) {
	var o options
	f := cli.Flags("edge-classify", usage, s)
	o.flags(f)
	f.IntVar(&o.top, "top", 5, "show the `N` most probable classes")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	paths, err := cli.Parse(f, args)
	if err != nil || o.version {
		return o, err
	}
	o.paths = paths
	if err := o.check(); err != nil {
		return o, err
	}
	switch {
	case len(o.paths) == 0:
		return o, cli.Usagef("no pictures given")
	case o.top < 1:
		return o, cli.Usagef("-top %d: want at least 1", o.top)
	}
	return o, nil
}

func runClassify(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parse(args, s)
	if err != nil {
		return err
	}
	if o.version {
		fmt.Fprintln(s.Out, "edge-classify", cli.Version)
		return nil
	}
	return runFiles(ctx, o, s)
}
