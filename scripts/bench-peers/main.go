// Command bench-peers runs this project and ONNX Runtime in turn on the same
// networks, quantized and float, and compares their speed and their logits.
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/images"
	"edgeclassify/preprocess"
)

const usage = `Usage: bench-peers [flags]

Runs this project and ONNX Runtime in turn, round after round, each on the same
network, picture and number of threads. The ratio of a round is our median time
per picture over theirs; printed are the median of these ratios, the least and
the greatest, and the ratio of the fastest runs. Then it compares the logits of both on all pictures.`

type options struct {
	model, kernel, float, photos, peers string
	threads                             []int
	rounds                              int
	turn                                time.Duration
}

func main() { os.Exit(cli.Main("bench-peers", run)) }

func run(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parse(args, s)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	quantized, err := openQuantized(o.model, o.kernel, dir)
	if err != nil {
		return err
	}
	float, err := openFloat(o.float, dir)
	if err != nil {
		return err
	}
	files, err := images.List(o.photos)
	if err != nil {
		return err
	}
	for _, c := range []contest{quantized, float} {
		if err := c.run(ctx, o, files, s.Out); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func parse(args []string, s cli.Streams) (o options, err error) {
	f := cli.Flags("bench-peers", usage, s)
	f.StringVar(&o.model, "model", "build/resnet50.q8", "the quantized network, `FILE.q8`")
	f.StringVar(&o.kernel, "kernel", "", "the `NAME` of our kernel; empty takes the fastest")
	f.StringVar(&o.float, "float", "resnet50-keras", "the `NAME` of a fetched float network")
	f.StringVar(&o.photos, "photos", "testdata/photos", "a `FOLDER` of pictures")
	f.StringVar(&o.peers, "peers", "build/peers", "the `FOLDER` where npm installed onnxruntime-node")
	f.IntVar(&o.rounds, "rounds", 15, "`N` rounds")
	f.DurationVar(&o.turn, "turn", 400*time.Millisecond, "the least `TIME` of a turn")
	threads := f.String("threads", "1,2", "numbers of threads, `N,N`")
	rest, err := cli.Parse(f, args)
	if err != nil {
		return o, err
	}
	if len(rest) > 0 || o.rounds < 1 {
		return o, cli.Usagef("want no arguments, and at least one round")
	}
	for _, n := range strings.Split(*threads, ",") {
		v, err := strconv.Atoi(n)
		if err != nil || v < 1 {
			return o, cli.Usagef("-threads %s: want numbers from 1", *threads)
		}
		o.threads = append(o.threads, v)
	}
	return o, nil
}

// engine classifies the same RGB pixels that many times.
type engine interface {
	run(rgb []uint8, frames int) (logits []float32, times []time.Duration, err error)
	Close() error
}

// contest is one network in two engines.
type contest struct {
	name   string
	spec   preprocess.Spec
	ours   func(threads int) (engine, error)
	theirs []variant
}

// variant is the network in a form for the other engine. Only the first one is
// timed.
type variant struct {
	name string
	open func(peers string, threads int) (engine, error)
}

func (c contest) run(ctx context.Context, o options, files []string, w io.Writer) error {
	var photos [][]uint8
	for _, f := range files {
		rgb, err := c.spec.File(f)
		if err != nil {
			return err
		}
		photos = append(photos, rgb)
	}
	fmt.Fprintf(w, "%s\n", c.name)
	for _, threads := range o.threads {
		if err := c.race(ctx, o, threads, photos[0], w); err != nil {
			return err
		}
	}
	for _, v := range c.theirs {
		if err := c.compare(o, v, files, photos, w); err != nil {
			return err
		}
	}
	return nil
}

// pair opens both engines.
func (c contest) pair(o options, v variant, threads int) (engines [2]engine, err error) {
	if engines[0], err = c.ours(threads); err != nil {
		return engines, err
	}
	if engines[1], err = v.open(o.peers, threads); err != nil {
		engines[0].Close()
	}
	return engines, err
}

// race times both engines and prints a line.
func (c contest) race(ctx context.Context, o options, threads int, rgb []uint8, w io.Writer) error {
	engines, err := c.pair(o, c.theirs[0], threads)
	if err != nil {
		return err
	}
	defer engines[0].Close()
	defer engines[1].Close()
	var times [2][]time.Duration
	var ratios []float64
	for round := range o.rounds + 1 {
		var medians [2]float64
		for i := range 2 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			turn := (round + i) % 2 // who begins changes
			t, err := take(engines[turn], rgb, o.turn)
			if err != nil {
				return err
			}
			medians[turn] = float64(median(t))
			if round > 0 { // the first one warms up
				times[turn] = append(times[turn], t...)
			}
		}
		if round > 0 {
			ratios = append(ratios, medians[0]/medians[1])
		}
	}
	ours, theirs := slices.Min(times[0]), slices.Min(times[1])
	fmt.Fprintf(w, "  %d threads: ours p50 %.2f ms, min %.2f; ONNX Runtime p50 %.2f ms, min %.2f; ratio %.3f (%.3f to %.3f in %d rounds), of minima %.3f\n",
		threads, ms(median(times[0])), ms(ours), ms(median(times[1])), ms(theirs),
		median(ratios), slices.Min(ratios), slices.Max(ratios), len(ratios), ms(ours)/ms(theirs))
	return nil
}

// take is one engine's turn: as many frames as fill the time, at least three.
func take(e engine, rgb []uint8, turn time.Duration) ([]time.Duration, error) {
	time.Sleep(20 * time.Millisecond) // the other engine's threads go to sleep
	_, first, err := e.run(rgb, 1)
	if err != nil {
		return nil, err
	}
	_, times, err := e.run(rgb, max(3, int(turn/max(first[0], 1))))
	return times, err
}

// compare prints how far the logits of both engines are apart.
func (c contest) compare(o options, v variant, files []string, photos [][]uint8, w io.Writer) error {
	engines, err := c.pair(o, v, 1)
	if err != nil {
		return err
	}
	defer engines[0].Close()
	defer engines[1].Close()
	fmt.Fprintf(w, "  logits of ONNX Runtime%s, as signal to noise:\n", v.name)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, rgb := range photos {
		var logits [2][]float32
		for j, e := range engines {
			if logits[j], _, err = e.run(rgb, 1); err != nil {
				return err
			}
		}
		verdict := "same top-1"
		if argmax(logits[0]) != argmax(logits[1]) {
			verdict = "another top-1"
		}
		fmt.Fprintf(t, "    %s\t%.1f dB\t%s\n", filepath.Base(files[i]), sqnr(logits[0], logits[1]), verdict)
	}
	return t.Flush()
}

func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func argmax(values []float32) int { return slices.Index(values, slices.Max(values)) }

// sqnr is the ratio of signal to difference in dB.
func sqnr(signal, other []float32) float64 {
	var s, d float64
	for i, v := range signal {
		e := float64(v) - float64(other[i])
		s += float64(float64(v) * float64(v))
		d += float64(e * e)
	}
	return 10 * math.Log10(s/d)
}
