package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	goruntime "runtime"
	"slices"
	"time"

	"edgeclassify/calibrate"
	"edgeclassify/int8"
	"edgeclassify/int8/q8"
	"edgeclassify/internal/atomicfile"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/fetch"
	"edgeclassify/models"
	"edgeclassify/runtime"
)

const buildUsage = `Usage: quantize build -model PATH (-images DIR | -ranges FILE) -out FILE.q8 [flags]

Quantizes a float network into an int8 model file: folds batch norm into the
convolutions, finds the ranges of all activations, rounds the weights to
int8 with a scale per output channel, corrects biases for the rounding.

PATH is a fetched network's name (see 'quantize fetch -h'), a TensorFlow.js
layers model (model.json or its folder), or a ResNet50 with torchvision's names
(.safetensors, .pth). Without -images and -ranges, a network whose range table
comes with this program needs neither.

Examples:
  quantize build -model resnet50-keras -out resnet50.q8
  quantize build -model resnet50-keras -images photos/ -limit 128 -out resnet50.q8`

type buildOptions struct {
	model, images, ranges, out, saveRanges string
	method                                 calibrate.Method
	correctBias                            bool
	limit, threads                         int
	seed                                   uint64
}

func parseBuild(args []string, s cli.Streams) (o buildOptions, err error) {
	f := cli.Flags("quantize build", buildUsage, s)
	f.StringVar(&o.model, "model", "", "the float network: a fetched network's name or a `PATH`")
	f.StringVar(&o.images, "images", "", "calibrate on the pictures in `DIR` and the folders within")
	f.StringVar(&o.ranges, "ranges", "", "take activation ranges from the table `FILE` instead of pictures")
	f.StringVar(&o.saveRanges, "save-ranges", "", "write the calibrated range table to `FILE`")
	f.StringVar(&o.out, "out", "", "write the model to `FILE.q8`")
	f.IntVar(&o.limit, "limit", 0, "draw at most `N` of the pictures; 0 takes all")
	f.Uint64Var(&o.seed, "seed", 1, "the `SEED` that decides which pictures -limit draws")
	f.IntVar(&o.threads, "threads", goruntime.NumCPU(), "use `N` threads; the result does not depend on it")
	f.BoolVar(&o.correctBias, "correct-bias", true, "correct biases for what the rounding of weights adds on average")
	method := f.String("method", string(calibrate.ClipMSE), "choose ranges by `METHOD`: clip-mse, mse, percentile or minmax")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return o, err
	}
	o.method = calibrate.Method(*method)
	switch {
	case len(rest) > 0:
		return o, cli.Usagef("unexpected argument %q", rest[0])
	case o.model == "":
		return o, cli.Usagef("no network given: -model PATH")
	case o.out == "":
		return o, cli.Usagef("no output given: -out FILE.q8")
	case o.images != "" && o.ranges != "":
		return o, cli.Usagef("-images and -ranges exclude each other")
	case o.saveRanges != "" && o.images == "":
		return o, cli.Usagef("-save-ranges needs -images")
	case !o.method.Valid():
		return o, cli.Usagef("unknown method %q: want one of %q", o.method, calibrate.Methods())
	case o.limit < 0:
		return o, cli.Usagef("-limit %d: want 0 or more", o.limit)
	case o.threads < 1:
		return o, cli.Usagef("-threads %d: want at least 1", o.threads)
	}
	return o, nil
}

func buildCommand(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parseBuild(args, s)
	if err != nil {
		return err
	}
	start := time.Now()
	g, err := load(o.model)
	if err != nil {
		return err
	}
	hash := g.Hash()
	folded, err := calibrate.Fold(g)
	if err != nil {
		return err
	}
	table, tableHash, err := rangesFor(ctx, folded, hash, o, s.Err)
	if err != nil {
		return err
	}
	if !o.correctBias {
		table.Means = nil
	}
	network, err := calibrate.Quantize(folded, table)
	if err != nil {
		return err
	}
	method := string(table.Method)
	if table.Means != nil {
		method += ", bias correction"
	}
	network.Provenance = int8.Provenance{
		Tool: "quantize " + cli.Version, Source: g.Name, SourceHash: hash,
		Method: method, Images: table.Images, ImagesHash: table.ImagesHash,
		Seed: table.Seed, RangesHash: tableHash,
	}
	if network.SelfTest, err = newSelfTest(network, o.threads); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := q8.Write(o.out, network); err != nil {
		return err
	}
	info, err := os.Stat(o.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "%s: %s, %d layers, %.1f MB, %s from %d pictures, %.1f s\n",
		o.out, network.Name, len(network.Layers), float64(info.Size())/1e6, method, table.Images, time.Since(start).Seconds())
	return nil
}

// newSelfTest asks the portable kernel, which is no CPU's, for the network's
// answer to a picture.
func newSelfTest(n *int8.Network, threads int) (*int8.SelfTest, error) {
	plan, err := runtime.Compile(n, runtime.Options{Threads: min(threads, runtime.MaxThreads), Kernel: int8.Generic().Name})
	if err != nil {
		return nil, err
	}
	session := plan.NewSession()
	defer session.Close()
	test := &int8.SelfTest{Seed: 1}
	logits, err := session.Run(test.Picture(n))
	test.LogitsSHA256 = int8.HashLogits(logits)
	return test, err
}

// load imports a float network by its path or its name in the cache.
func load(model string) (*models.Graph, error) {
	if _, err := os.Stat(model); !errors.Is(err, fs.ErrNotExist) {
		return models.Import(model)
	}
	known := fetch.Names()
	if !slices.ContainsFunc(known, func(m fetch.Model) bool { return m.Name == model }) {
		return nil, fmt.Errorf("%s: no such file, nor a network that 'quantize fetch -h' lists", model)
	}
	path, err := fetch.Path(model, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not in the cache yet; run: quantize fetch %s", model, model)
	}
	if err != nil {
		return nil, err
	}
	return models.Import(path)
}

// rangesFor gives the range table: calibrated on pictures, read from a file,
// or the one that is shipped for this network. The hash is that of the table's
// file, empty where pictures were used.
func rangesFor(ctx context.Context, g *models.Graph, graphHash string, o buildOptions, stderr io.Writer) (table *calibrate.RangeTable, hash string, err error) {
	if o.images != "" {
		table, err = observe(ctx, g, graphHash, o, stderr)
		return table, "", err
	}
	if o.ranges == "" {
		return shippedRanges(o.model, graphHash)
	}
	data, err := os.ReadFile(o.ranges)
	if err != nil {
		return nil, "", err
	}
	table, hash, err = parseRanges(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", o.ranges, err)
	}
	if table.SourceHash != graphHash {
		return nil, "", fmt.Errorf("%s: the table was made for another network (%s, SHA-256 %s) than %s (SHA-256 %s)",
			o.ranges, table.Model, table.SourceHash, o.model, graphHash)
	}
	return table, hash, nil
}

// shippedRanges finds the shipped range table of the network with that hash.
func shippedRanges(model, graphHash string) (*calibrate.RangeTable, string, error) {
	tables, err := models.RangeTables()
	if err != nil {
		return nil, "", err
	}
	for name, data := range tables {
		table, hash, err := parseRanges(data)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", name, err)
		}
		if table.SourceHash == graphHash {
			return table, hash, nil
		}
	}
	return nil, "", fmt.Errorf("no range table is shipped for %s: calibrate on pictures with -images DIR, or give a table with -ranges FILE", model)
}

func parseRanges(data []byte) (*calibrate.RangeTable, string, error) {
	table, err := calibrate.ReadRanges(bytes.NewReader(data))
	sum := sha256.Sum256(data)
	return table, hex.EncodeToString(sum[:]), err
}

func observe(ctx context.Context, g *models.Graph, graphHash string, o buildOptions, stderr io.Writer) (*calibrate.RangeTable, error) {
	set, err := draw(o.images, g.Preprocess, o.limit, o.seed)
	if err != nil {
		return nil, err
	}
	var skipped []error
	move, end := cli.Progress(stderr, "calibrating", false)
	table, err := calibrate.Observe(ctx, g, set, calibrate.ObserveOptions{
		Method: o.method, Threads: o.threads,
		Skip:     func(err error) { skipped = append(skipped, err) },
		Progress: func(done, total int) { move(int64(done), int64(total)) },
	})
	end()
	for _, err := range skipped {
		fmt.Fprintf(stderr, "quantize: left out: %v\n", err)
	}
	if err != nil {
		return nil, err
	}
	table.SourceHash, table.Seed = graphHash, o.seed
	if o.saveRanges != "" {
		err = atomicfile.Write(o.saveRanges, 0o644, table.Write)
	}
	return table, err
}
