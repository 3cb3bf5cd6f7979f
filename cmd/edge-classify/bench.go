package main

import (
	"context"
	"os"
	goruntime "runtime"
	"slices"
	"time"

	"edgeclassify/int8"
	"edgeclassify/internal/board"
	"edgeclassify/internal/cli"
	"edgeclassify/runtime"
)

const benchUsage = `Usage: edge-classify bench -model FILE.q8 [flags] [PATH]

Measures how fast the network runs on this machine: the time from pixels to
logits, on the picture PATH or on a fixed synthetic one. Times do not depend
on the picture.

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
	// batch is the frames measured between two looks at the clock, the
	// allocations and the progress bar.
	batch = 10
)

type benchOptions struct {
	engine
	frames       int
	layers, json bool
	picture      string
}

func parseBench(args []string, s cli.Streams) (benchOptions, error) {
	var o benchOptions
	f := cli.Flags("edge-classify bench", benchUsage, s)
	o.flags(f)
	f.IntVar(&o.frames, "n", 100, "measure `N` frames")
	f.BoolVar(&o.layers, "layers", false, "measure each layer")
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
	model, plan, err := o.open()
	if err != nil {
		return err
	}
	defer model.Close()
	load := time.Since(start)
	rgb, err := o.pixels(plan.Network())
	if err != nil {
		return err
	}
	move, end := cli.Progress(s.Err, "bench", false)
	m, err := measure(ctx, plan, rgb, o, func(done int) { move(int64(done), int64(o.frames)) })
	end()
	if err != nil {
		return err
	}
	r := newReport(plan, m)
	r.Model, r.LoadMs = o.model, ms(load)
	return r.print(s.Out, o.json)
}

// pixels is the picture to run on: by default noise that fills all its values.
func (o benchOptions) pixels(n *int8.Network) ([]uint8, error) {
	if o.picture == "" {
		rgb := make([]uint8, n.Input.Shape.Elements())
		for i := range rgb {
			rgb[i] = uint8(uint32(i) * 2654435761 >> 24) // Knuth's multiplicative hash
		}
		return rgb, nil
	}
	return n.Preprocess.File(o.picture)
}

// measurement is what was seen of a plan.
type measurement struct {
	frames        []time.Duration
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

// measure runs o.frames frames. The first of each batch, which finds threads
// asleep and other data in the caches, is not counted.
func measure(ctx context.Context, plan *runtime.Plan, rgb []uint8, o benchOptions, progress func(done int)) (*measurement, error) {
	session := plan.NewSession()
	defer session.Close()
	m := &measurement{frames: make([]time.Duration, 0, o.frames)}
	steps := make([][]time.Duration, o.frames)
	if o.layers {
		for i := range steps {
			steps[i] = make([]time.Duration, len(plan.Steps()))
		}
	}
	run := func(times []time.Duration) error { _, err := session.RunTimed(rgb, times); return err }
	for start := time.Now(); time.Since(start) < warmUp; {
		if err := run(nil); err != nil {
			return nil, err
		}
	}
	m.before = readConditions()
	for len(m.frames) < o.frames {
		progress(len(m.frames))
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err := run(nil); err != nil {
			return nil, err
		}
		mallocs := countMallocs()
		for range min(batch, o.frames-len(m.frames)) {
			start := time.Now()
			if err := run(steps[len(m.frames)]); err != nil {
				return nil, err
			}
			m.frames = append(m.frames, time.Since(start))
		}
		m.allocations += countMallocs() - mallocs
	}
	progress(o.frames)
	m.after = readConditions()
	// The integral part, as testing.AllocsPerRun: a stray allocation of Go's
	// scheduler is not the frames'.
	m.allocations /= uint64(o.frames)
	slices.Sort(m.frames)
	if o.layers {
		m.steps = medians(steps)
	}
	return m, nil
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
