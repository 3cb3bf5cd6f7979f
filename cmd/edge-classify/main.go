// Command edge-classify tells what pictures show, with a quantized network
// from the quantize command. Run it with -h for its flags.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/config"
	"edgeclassify/runtime"
)

const usage = `Usage: edge-classify -model FILE.q8 [flags] PATH...
       edge-classify -model FILE.q8 -camera SPEC [flags]
       edge-classify labels -model FILE.q8 [-json]
       edge-classify cameras [-json]
       edge-classify doctor [-model FILE.q8] [-camera SPEC] [-json]
       edge-classify bench -model FILE.q8 [flags] [PATH]
       edge-classify kernels [-json]

Tells what pictures show, or what a camera sees. PATH is a picture (JPEG, PNG, WebP,
GIF, BMP, TIFF), a folder of them, or - for one on standard input. (A file with the
name of a subcommand is ./bench.)

  labels   lists what the model tells apart
  cameras  lists cameras with their formats, sizes and rates
  doctor   finds out why it is slow, or wrong
  bench    measures how fast the network runs on this machine
  kernels  lists the kernels that this CPU can run

'edge-classify bench -h' and so on tell more.

Pictures:
  edge-classify -model resnet50.q8 cat.jpg
  edge-classify -model resnet50.q8 -json photos/ > results.jsonl

With -json every picture gives one line on standard output:
  path, top (class, id, label, prob), ms (decode, preprocess, infer) and
  logits_sha256, over the int32 logits in little-endian order; with -features also
  features (a list, or base64 of int16 in little-endian order) and feature_scale;
  a picture that cannot be classified gives path and error.

Cameras:
  edge-classify -model resnet50.q8 -camera test
  edge-classify -model resnet50.q8 -camera auto -http :8080
  edge-classify -model resnet50.q8 -camera auto -http 8080 -teach taught/
  edge-classify -model resnet50.q8 -camera usb -size 1280x720 -json
  edge-classify -model resnet50.q8 -camera csi -watch tabby,"Persian cat"
  edge-classify -model resnet50.q8 -camera auto -trigger GPIO17 -led GPIO27=tabby
  edge-classify -config /etc/edge-classify/edge-classify.conf

SPEC is auto (the first camera there is), usb[:/dev/videoN], csi[:N] (by
rpicam-vid), http[s]://[USER:PASSWORD@]HOST/PATH (JPEG files in a multipart stream,
or one for each request), rtsp://[USER:PASSWORD@]HOST/PATH (by ffmpeg), exec:COMMAND
(whatever writes raw I420 of -size, or JPEG files, to standard output), test (a
moving synthetic picture) or file:DIR (the pictures of a folder, one after the
other). The newest frame is classified and all others
are dropped. A camera that is unplugged is waited for. The program runs until it
is interrupted, and logs to standard error. A model file that is replaced, or copied
over, is taken up while it runs, unless it is damaged or lacks a label in use; SIGHUP
has it read at once.

With -teach one adds labels on the live page, holds a button while the thing is before
the camera, trains, and uses what was trained. It runs at the next start, too, until
it is undone or another model takes the place of the one that it was taught on.

With -json every result gives one line on standard output:
  time (of capture), sequence, age_ms (from capture to result), dropped (frames
  lost on the way to the program), top, independent (true where any number of
  classes may be there), model (its file's sha256), logits_sha256 (of this frame),
  ms, temperature_c and throttled (where the system tells them), and what -features
  adds to pictures;
  and every event of -watch: time, label, event (start or end), prob. To
  these -save and -exec add of the result: camera, top, sequence, age_ms, model,
  model_name, logits_sha256 and picture (its file, if any).

A file for -config has lines 'flag = value' and comments behind #.

Exit codes: 0 all pictures classified, or the camera stopped by SIGINT or
SIGTERM; 1 a picture, the model or the camera could not be read, the other
pictures are classified all the same, or this CPU lacks the kernel; 2 wrong
usage.`

func main() { os.Exit(cli.Main("edge-classify", run)) }

// run runs the subcommand that the first argument names.
func run(ctx context.Context, args []string, s cli.Streams) error {
	if len(args) > 0 {
		switch args[0] {
		case "bench":
			return runBench(ctx, args[1:], s)
		case "kernels":
			return runKernels(args[1:], s)
		case "labels":
			return runLabels(args[1:], s)
		case "cameras":
			return runCameras(args[1:], s)
		case "doctor":
			return runDoctor(ctx, args[1:], s)
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

// open opens the model; o says the rest.
func (e *engine) open(o classify.Options) (*classify.Model, error) {
	o.Threads, o.Kernel = e.threads, e.kernel
	return classify.Open(e.model, o)
}

// options of the program without subcommand.
type options struct {
	engine
	pictureOptions
	cameraOptions
	top           int
	json, version bool
	features      featureForm
	config        string
	paths         []string
}

func parse(args []string, s cli.Streams) (options, error) {
	var o options
	f := cli.Flags("edge-classify", usage, s, sections()...)
	o.engine.flags(f)
	o.pictureOptions.flags(f)
	o.cameraOptions.flags(f)
	f.IntVar(&o.top, "top", 5, "tell the `N` most probable classes")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line")
	f.StringVar((*string)(&o.features), "features", "", "print what the classifier reads of a picture, too, with -json, for search or clustering: `FORM` is list or base64")
	f.StringVar(&o.config, "config", "", "read flags from `FILE`, with lines such as 'camera = auto'; the command line overrides it")
	f.BoolVar(&o.version, "version", false, "print the version and exit")
	paths, err := cli.Parse(f, args)
	if err != nil || o.version {
		return o, err
	}
	if o.config != "" {
		if err := config.Apply(f, o.config, "config", "version"); err != nil {
			return o, cli.Usagef("%v", err)
		}
	}
	o.paths = paths
	return o, o.check(onlyForCamera(f))
}

// check finds values that make no sense. cameraFlags are those given that need
// -camera.
func (o *options) check(cameraFlags string) error {
	if err := cmp.Or(o.engine.check(), o.pictureOptions.check(), o.features.check(o.json)); err != nil {
		return err
	}
	switch {
	case o.top < 1:
		return cli.Usagef("-top %d: want at least 1", o.top)
	case o.camera != "" && len(o.paths) > 0:
		return cli.Usagef("-camera and pictures exclude each other, found %q", o.paths[0])
	case o.camera != "":
		return o.cameraOptions.check()
	case cameraFlags != "":
		return cli.Usagef("no camera given for %s: -camera SPEC", cameraFlags)
	case len(o.paths) == 0:
		return cli.Usagef("no pictures and no camera given")
	}
	return nil
}

func runClassify(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parse(args, s)
	switch {
	case err != nil:
		return err
	case o.version:
		fmt.Fprintln(s.Out, "edge-classify", cli.Version())
		return nil
	case o.camera != "":
		return runCamera(ctx, o, s)
	}
	return runFiles(ctx, o, s)
}
