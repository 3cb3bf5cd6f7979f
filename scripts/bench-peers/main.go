// Command bench-peers runs this project and others in turn on the same networks,
// quantized and float, and compares their speed and what it costs in accuracy.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"edgeclassify/calibrate/diagnose"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/images"
	"edgeclassify/preprocess"
	"edgeclassify/q8"
)

const usage = `Usage: bench-peers [flags] MODEL.q8=FLOAT...

Runs this project, ONNX Runtime, OpenVINO and LiteRT in turn, round after round, on the
same networks, pictures and numbers of threads: each quantized network with the same int8
weights and scales, and FLOAT, the network that it was made of (a fetched network's name
or a path as for 'quantize build'). A ratio below 1 says that this project is faster: it
is the median of the rounds' ratios of median times, beside the least and the greatest.

Then all engines classify all pictures: signal to noise of their logits, in dB, with all
pictures pooled, of the median picture and of the worst, and how often the first class is
the float network's.

Other engines are installed by 'make peers'.

Example:
  bench-peers -photos testdata/photos build/resnet50.q8=resnet50-keras`

type options struct {
	kernel, photos, peers string
	threads               []int
	rounds                int
	turn                  time.Duration
	json                  bool
}

func main() { os.Exit(cli.Main("bench-peers", run)) }

func run(ctx context.Context, args []string, s cli.Streams) error {
	o, networks, err := parse(args, s)
	if err != nil {
		return err
	}
	files, err := images.List(o.photos)
	if err != nil {
		return err
	}
	var contests []contest
	for _, n := range networks {
		model, source, _ := strings.Cut(n, "=")
		pair, err := hold(ctx, o, model, source, files)
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		contests = append(contests, pair...)
		if !o.json {
			for _, c := range pair {
				c.print(s.Out)
			}
		}
	}
	if o.json {
		return json.NewEncoder(s.Out).Encode(contests)
	}
	return nil
}

func parse(args []string, s cli.Streams) (o options, networks []string, err error) {
	f := cli.Flags("bench-peers", usage, s)
	f.StringVar(&o.kernel, "kernel", "", "the `NAME` of our kernel; empty takes the fastest")
	f.StringVar(&o.photos, "photos", "testdata/photos", "a `FOLDER` of pictures")
	f.StringVar(&o.peers, "peers", "build/peers", "the `FOLDER` where 'make peers' installs")
	f.IntVar(&o.rounds, "rounds", 15, "`N` rounds")
	f.DurationVar(&o.turn, "turn", 400*time.Millisecond, "the least `TIME` of a turn")
	f.BoolVar(&o.json, "json", false, "print JSON")
	threads := f.String("threads", "1,2", "numbers of threads, `N,N`")
	networks, err = cli.Parse(f, args)
	if err != nil {
		return o, nil, err
	}
	if len(networks) == 0 || o.rounds < 1 {
		return o, nil, cli.Usagef("want at least one MODEL.q8=FLOAT, and at least one round")
	}
	for _, n := range networks {
		if model, source, ok := strings.Cut(n, "="); !ok || model == "" || source == "" {
			return o, nil, cli.Usagef("%s: want MODEL.q8=FLOAT", n)
		}
	}
	for _, n := range strings.Split(*threads, ",") {
		v, err := strconv.Atoi(n)
		if err != nil || v < 1 {
			return o, nil, cli.Usagef("-threads %s: want numbers from 1", *threads)
		}
		o.threads = append(o.threads, v)
	}
	return o, networks, nil
}

// engine classifies the same RGB pixels that many times.
type engine interface {
	run(rgb []uint8, frames int) (logits []float32, times []time.Duration, err error)
	version() string // empty of this project
	Close() error
}

// label names an engine; its version is known once it was opened.
type label struct {
	Engine  string `json:"engine"`
	Version string `json:"version,omitempty"`
}

func (l label) String() string {
	if l.Version == "" {
		return l.Engine
	}
	return l.Engine + " (" + l.Version + ")"
}

// entrant is an engine that takes part, with the network in its form.
type entrant struct {
	label
	open func(threads int) (engine, error)
}

// contest is one network in several engines, the first of which is this project.
type contest struct {
	Network   string    `json:"network"`
	Precision string    `json:"precision"`
	Kernel    string    `json:"kernel,omitempty"` // ours, of int8
	Speed     []speed   `json:"speed"`
	Logits    []quality `json:"logits"`
	Without   []string  `json:"without,omitempty"` // why engines are missing

	spec     preprocess.Spec
	entrants []entrant
}

// speed is that of an engine on one picture, and of this project beside it.
type speed struct {
	label
	Threads int     `json:"threads"`
	P50     float64 `json:"p50_ms"`
	Min     float64 `json:"min_ms"`
	Ratio   float64 `json:"ratio"` // this project's time to the engine's
	Low     float64 `json:"ratio_low"`
	High    float64 `json:"ratio_high"`
}

// quality is how near an engine's logits are to the float network's.
type quality struct {
	label
	Pooled float64 `json:"sqnr_db"`
	Median float64 `json:"median_sqnr_db"`
	Worst  float64 `json:"worst_sqnr_db"`
	Agree  int     `json:"agree"`
	Images int     `json:"images"`
	noises []diagnose.Noise
}

// hold holds the contests of a quantized network and of its float network.
func hold(ctx context.Context, o options, model, source string, files []string) ([]contest, error) {
	dir, err := os.MkdirTemp("", "bench-peers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	m, err := q8.Open(model)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	quantized, err := quantizedContest(o, m, model, dir)
	if err != nil {
		return nil, err
	}
	float, reference, err := floatContest(o, source, quantized.spec, dir)
	if err != nil {
		return nil, err
	}
	var photos [][]uint8
	var exact [][]float32
	for _, f := range files {
		rgb, err := quantized.spec.File(f)
		if err != nil {
			return nil, err
		}
		logits, err := reference.RunImage(rgb, nil)
		if err != nil {
			return nil, err
		}
		photos, exact = append(photos, rgb), append(exact, slices.Clone(logits))
	}
	contests := []contest{quantized, float}
	for i := range contests {
		c := &contests[i]
		for _, threads := range o.threads {
			if err := c.race(ctx, o, threads, photos[0]); err != nil {
				return nil, fmt.Errorf("%s, %d threads: %w", c.Precision, threads, err)
			}
		}
		if err := c.judge(ctx, photos, exact); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Precision, err)
		}
	}
	return contests, nil
}

// open opens all engines; close ends them.
func (c *contest) open(threads int) (engines []engine, end func(), err error) {
	end = func() {
		for _, e := range engines {
			e.Close()
		}
	}
	for i := range c.entrants {
		e := &c.entrants[i]
		opened, err := e.open(threads)
		if err != nil {
			end()
			return nil, nil, fmt.Errorf("%s: %w", e.Engine, err)
		}
		e.Version = opened.version()
		engines = append(engines, opened)
	}
	return engines, end, nil
}

// race times all engines.
func (c *contest) race(ctx context.Context, o options, threads int, rgb []uint8) error {
	engines, end, err := c.open(threads)
	if err != nil {
		return err
	}
	defer end()
	times, medians := make([][]time.Duration, len(engines)), make([][]float64, len(engines))
	for round := range o.rounds + 1 {
		for i := range engines {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			turn := (round + i) % len(engines) // who begins changes
			t, err := take(engines[turn], rgb, o.turn)
			if err != nil {
				return fmt.Errorf("%v: %w", c.entrants[turn].label, err)
			}
			if round > 0 { // the first one warms up
				times[turn] = append(times[turn], t...)
				medians[turn] = append(medians[turn], float64(median(t)))
			}
		}
	}
	for i, e := range c.entrants {
		var ratios []float64
		for round, m := range medians[i] {
			ratios = append(ratios, medians[0][round]/m)
		}
		c.Speed = append(c.Speed, speed{e.label, threads, ms(median(times[i])), ms(slices.Min(times[i])),
			median(ratios), slices.Min(ratios), slices.Max(ratios)})
	}
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

// judge measures all engines' logits on all pictures.
func (c *contest) judge(ctx context.Context, photos [][]uint8, exact [][]float32) error {
	engines, end, err := c.open(1)
	if err != nil {
		return err
	}
	defer end()
	for i, e := range engines {
		q := quality{label: c.entrants[i].label}
		for p, rgb := range photos {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			logits, _, err := e.run(rgb, 1)
			if err == nil && len(logits) != len(exact[p]) {
				err = fmt.Errorf("%d logits, the float network has %d", len(logits), len(exact[p]))
			}
			if err != nil {
				return fmt.Errorf("%v: %w", q.label, err)
			}
			q.add(exact[p], logits)
		}
		c.Logits = append(c.Logits, q.summed())
	}
	return nil
}

func (q *quality) add(exact, logits []float32) {
	q.noises = append(q.noises, diagnose.NoiseOf(exact, logits))
	q.Images++
	if argmax(exact) == argmax(logits) {
		q.Agree++
	}
}

func (q quality) summed() quality {
	var all diagnose.Noise
	var each []float64
	for _, n := range q.noises {
		all.Add(n)
		each = append(each, decibels(n))
	}
	q.Pooled, q.Median, q.Worst = decibels(all), median(each), slices.Min(each)
	return q
}

// print writes the tables of a contest.
func (c *contest) print(w io.Writer) {
	title := c.Network + " " + c.Precision
	if c.Kernel != "" {
		title += ", kernel " + c.Kernel
	}
	fmt.Fprintln(w, title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  threads\tengine\tp50 ms\tmin ms\tours to its\tin rounds")
	for _, s := range c.Speed {
		fmt.Fprintf(t, "  %d\t%v\t%.2f\t%.2f\t%.3f\t%.3f to %.3f\n", s.Threads, s.label, s.P50, s.Min, s.Ratio, s.Low, s.High)
	}
	t.Flush()
	fmt.Fprintln(t, "  logits\tpooled dB\tmedian\tworst\tfirst class as in float")
	for _, q := range c.Logits {
		fmt.Fprintf(t, "  %v\t%.1f\t%.1f\t%.1f\t%d of %d\n", q.label, q.Pooled, q.Median, q.Worst, q.Agree, q.Images)
	}
	t.Flush()
	for _, why := range c.Without {
		fmt.Fprintln(w, "  left out:", why)
	}
}

func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func argmax(values []float32) int { return slices.Index(values, slices.Max(values)) }

// noiseless is the SQNR of logits without noise, which JSON has no infinity for.
const noiseless = 150

func decibels(n diagnose.Noise) float64 {
	if n.Noise == 0 {
		return noiseless
	}
	return min(noiseless, 10*math.Log10(n.Signal/n.Noise))
}
