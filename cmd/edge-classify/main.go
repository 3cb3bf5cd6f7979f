// Command edge-classify tells what pictures show, with a quantized network
// from the quantize command. Run it with -h for its flags.
package main

import (
	"context"
	"fmt"
	"os"
	goruntime "runtime"

	"edgeclassify/int8/q8"
	"edgeclassify/internal/cli"
	"edgeclassify/runtime"
)

const usage = `Usage: edge-classify -model FILE.q8 [flags] PATH...

Classifies pictures. PATH is a JPEG or PNG file, a folder of them, or - for a
picture on standard input.

Examples:
  edge-classify -model resnet50.q8 cat.jpg
  edge-classify -model resnet50.q8 -json photos/ > results.jsonl

With -json every picture gives one line on standard output:
  path, top (class, id, label, prob), ms (decode, preprocess, infer) and
  logits_sha256, over the int32 logits in little-endian order;
  a picture that cannot be classified gives path and error.

Exit codes: 0 all pictures classified; 1 a picture or the model could not be
read, the other pictures are classified all the same; 2 wrong usage.`

func main() { os.Exit(cli.Main("edge-classify", run)) }

type options struct {
	model, kernel string
	top, threads  int
	json, version bool
	paths         []string
}

func parse(args []string, s cli.Streams) (options, error) {
	var o options
	f := cli.Flags("edge-classify", usage, s)
	f.StringVar(&o.model, "model", "", "the quantized network, a .q8 `FILE`")
	f.IntVar(&o.top, "top", 5, "show the `N` most probable classes")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line")
	f.IntVar(&o.threads, "threads", goruntime.NumCPU(), "share a picture's work among `N` threads")
	f.StringVar(&o.kernel, "kernel", "", "use the kernel `NAME` instead of the fastest")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	paths, err := cli.Parse(f, args)
	if err != nil {
		return o, err
	}
	o.paths = paths
	switch {
	case o.version:
	case o.model == "":
		return o, cli.Usagef("no model given: -model FILE.q8")
	case len(o.paths) == 0:
		return o, cli.Usagef("no pictures given")
	case o.top < 1:
		return o, cli.Usagef("-top %d: want at least 1", o.top)
	case o.threads < 1 || o.threads > runtime.MaxThreads:
		return o, cli.Usagef("-threads %d: want 1 to %d", o.threads, runtime.MaxThreads)
	}
	return o, nil
}

func run(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parse(args, s)
	if err != nil {
		return err
	}
	if o.version {
		fmt.Fprintln(s.Out, "edge-classify", cli.Version)
		return nil
	}
	model, err := q8.Open(o.model)
	if err != nil {
		return err
	}
	defer model.Close()
	c, err := newClassifier(model, o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.model, err)
	}
	defer c.session.Close()
	return c.all(ctx, o, s)
}
