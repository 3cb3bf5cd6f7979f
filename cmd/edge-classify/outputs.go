package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"sync"
	"time"

	"edgeclassify/classify"
	"edgeclassify/fleet"
	"edgeclassify/stream"
)

// output is a place where results go, with its flags.
type output interface {
	title() string // of its flags
	flags(f *flag.FlagSet)
	check() error // finds values that make no sense
	// open adds to out what the flags ask for, if anything.
	open(ctx context.Context, o *options, m *classify.Model, out *outputs) error
}

// outputs is where results go, and what triggers them.
type outputs struct {
	sinks   []stream.Sink
	systemd *fleet.Systemd
	trigger <-chan time.Time // nil unless pins trigger
	models  *reloader        // has another model take over
	page    string           // URL of the live page, for others on the network; see fleet.Options.Page
	closers []func() error
	log     *slog.Logger
}

// openOutputs opens what the flags ask for, or nothing if some of it fails.
func openOutputs(ctx context.Context, o options, models *reloader, stdout io.Writer, log *slog.Logger) (*outputs, error) {
	out := &outputs{models: models, log: log}
	models.mu.Lock() // a broker may have a model to load at once
	defer models.mu.Unlock()
	models.out = out
	out.add(newPrinter(o, stdout, log))
	for _, place := range o.outputs() {
		if err := place.open(ctx, &o, models.model, out); err != nil {
			out.close()
			return nil, err
		}
	}
	return out, nil
}

// closingSink is a sink that is to be closed.
type closingSink interface {
	stream.Sink
	io.Closer
}

func (out *outputs) add(s closingSink) {
	out.sinks = append(out.sinks, s)
	out.closers = append(out.closers, s.Close)
}

// close closes all at the same time: each may take half a second.
func (out *outputs) close() {
	var closing sync.WaitGroup
	for _, end := range out.closers {
		closing.Go(func() {
			if err := end(); err != nil {
				out.log.Warn("not closed as it should be", "err", err)
			}
		})
	}
	closing.Wait()
}
