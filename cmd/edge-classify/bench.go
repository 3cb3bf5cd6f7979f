package main

import (
	"context"
	"math"
	"os"
	goruntime "runtime"
	"slices"
	"time"

	"edgeclassify/classify"
	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/q8"
	"edgeclassify/runtime"
)

const benchUsage = `Usage: edge-classify bench -model FILE.q8 [flags] [PATH]

Measures how fast the network runs on this machine: the time from pixels to
logits, on the picture PATH or on a fixed synthetic one. Times do not depend
on the picture. Layers that are computed together, in a chain, are one in -layers.

  min, p50, p99   the quickest, the median and the 99th percentile of frames
  GMAC/s          10^9 multiply-accumulates per second, at the median
  peak            what the cores in use could do at the measured clock, if
                  every cycle did nothing but multiply; only for known cores
  allocations     on the heap, per frame
  clock           measured by the program; cpufreq is what the system says
  before, after   of the measured frames, behind a warm-up

With -json one object is printed. What the system does not tell is left out.`

const (
	maxFrames = 100_000
	warmUp    = 300 * time.Millisecond
	batch     = 10 // frames between two looks at allocations and progress bar
)

type benchOptions struct {
	engine
	frames            int
	layers, layerwise bool
	json              bool
	picture           string
}

func parseBench(args []string, s cli.Streams) (benchOptions, error) {
	var o benchOptions
	f := cli.Flags("edge-classify bench", benchUsage, s)
	o.flags(f)
	f.IntVar(&o.frames, "n", 100, "measure `N` frames")
	f.BoolVar(&o.layers, "layers", false, "measure each layer")
	f.BoolVar(&o.layerwise, "layerwise", false, "compute one layer after the other, without chains of layers")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	paths, err := cli.Parse(f, args)
	if err != nil {
		return o, err
	}
	if err := o.check(); err != nil {
		return o, err
	}
	switch {
	case o.frames < 1 || o.frames > maxFrames:
		return o, cli.Usagef("-n %d: want 1 to %d", o.frames, maxFrames)
	case len(paths) > 1:
		return o, cli.Usagef("bench takes one picture, found %d", len(paths))
	case len(paths) == 1:
		o.picture = paths[0]
	}
	return o, nil
}

func runBench(ctx context.Context, args []string, s cli.Streams) error {
	o, err := parseBench(args, s)
	if err != nil {
		return err
	}
	start := time.Now()
	model, err := o.open(classify.Options{Layerwise: o.layerwise})
	if err != nil {
		return err
	}
	defer model.Close()
	load := time.Since(start)
	rgb, err := o.pixels(model.File())
	if err != nil {
		return err
	}
	move, end := cli.Progress(s.Err, "bench", false)
	m, err := measure(ctx, model, rgb, o, func(done int) { move(int64(done), int64(o.frames)) })
	end()
	if err != nil {
		return err
	}
	r := newReport(model.Plan(), m)
	r.Model, r.LoadMs = o.model, ms(load)
	return r.print(s.Out, o.json)
}

// pixels is the picture to run on: by default noise that fills all its values.
func (o benchOptions) pixels(f *q8.File) ([]uint8, error) {
	if o.picture == "" {
		rgb := make([]uint8, f.Input.Shape.Elements())
		for i := range rgb {
			rgb[i] = uint8(uint32(i) * 2654435761 >> 24) // Knuth's multiplicative hash
		}
		return rgb, nil
	}
	return f.Preprocess.File(o.picture)
}

// measurement is what was seen of a plan.
type measurement struct {
	frames        []time.Duration // sorted
	steps         []time.Duration // median of each of the plan's steps; nil if not asked for
	allocations   uint64          // per frame
	before, after conditions
}

// conditions are what speed depends on beside the program.
type conditions struct {
	MHz float64 `json:"measured_mhz"`
	board.State
}

func readConditions() conditions {
	return conditions{MHz: board.MeasureMHz(), State: board.Read(os.DirFS("/"))}
}

// measure runs o.frames frames.
func measure(ctx context.Context, model *classify.Model, rgb []uint8, o benchOptions, progress func(done int)) (*measurement, error) {
	r := newRecorder(model.Session(), rgb, o.frames)
	if o.layers {
		r.timeSteps(len(model.Plan().Steps()))
	}
	if err := r.warmUp(); err != nil {
		return nil, err
	}
	m := &measurement{before: readConditions()}
	for len(r.frames) < o.frames {
		progress(len(r.frames))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := r.batch(min(batch, o.frames-len(r.frames))); err != nil {
			return nil, err
		}
	}
	progress(o.frames)
	m.after = readConditions()
	slices.Sort(r.frames)
	m.frames, m.allocations = r.frames, r.allocations
	if o.layers {
		m.steps = medians(r.steps)
	}
	return m, nil
}

// recorder runs frames and keeps their times, in memory that is there before
// the first frame.
type recorder struct {
	session     *runtime.Session
	rgb         []uint8
	frames      []time.Duration
	steps       [][]time.Duration // of each frame; nil unless asked for
	allocations uint64
}

func newRecorder(s *runtime.Session, rgb []uint8, frames int) *recorder {
	return &recorder{
		session: s, rgb: rgb, allocations: math.MaxUint64,
		frames: make([]time.Duration, 0, frames), steps: make([][]time.Duration, frames),
	}
}

// timeSteps asks for the times of a frame's steps.
func (r *recorder) timeSteps(steps int) {
	for i := range r.steps {
		r.steps[i] = make([]time.Duration, steps)
	}
}

func (r *recorder) run(steps []time.Duration) error {
	_, err := r.session.RunTimed(r.rgb, steps)
	return err
}

func (r *recorder) warmUp() error {
	for start := time.Now(); time.Since(start) < warmUp; {
		if err := r.run(nil); err != nil {
			return err
		}
	}
	return nil
}

// batch records some frames, after one that is not counted: it finds threads
// asleep and other data in the caches.
func (r *recorder) batch(size int) error {
	if err := r.run(nil); err != nil {
		return err
	}
	mallocs := countMallocs()
	for range size {
		start := time.Now()
		if err := r.run(r.steps[len(r.frames)]); err != nil {
			return err
		}
		r.frames = append(r.frames, time.Since(start))
	}
	// The least of the batches: what Go's scheduler allocates now and then is
	// not the frames'.
	r.allocations = min(r.allocations, (countMallocs()-mallocs)/uint64(size))
	return nil
}

// countMallocs is the number of heap objects allocated so far.
func countMallocs() uint64 {
	var stats goruntime.MemStats
	goruntime.ReadMemStats(&stats)
	return stats.Mallocs
}

// medians is the median of each column.
func medians(rows [][]time.Duration) []time.Duration {
	column := make([]time.Duration, len(rows))
	result := make([]time.Duration, len(rows[0]))
	for i := range result {
		for j := range rows {
			column[j] = rows[j][i]
		}
		slices.Sort(column)
		result[i] = percentile(column, 50)
	}
	return result
}

// percentile is the smallest of the sorted values that p percent of them do
// not exceed (nearest rank).
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[(len(sorted)*p+99)/100-1]
}
