package main

import (
	"context"
	"errors"
	"flag"
	"os/exec"
	"time"

	"edgeclassify/classify"
	"edgeclassify/events"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/shellwords"
)

// eventOptions say what is done about events.
type eventOptions struct {
	dir       string
	maxEvents int
	maxBytes  cli.Size
	command   string
	words     []string // of it
	timeout   time.Duration
}

func (*eventOptions) title() string { return "Events of -watch" }

func (o *eventOptions) flags(f *flag.FlagSet) {
	o.maxBytes = 250e6
	f.StringVar(&o.dir, "save", "", "keep the picture of each event in `DIR`, with a JSON file beside it")
	f.IntVar(&o.maxEvents, "save-max", 1000, "keep the newest `N` events")
	f.Var(&o.maxBytes, "save-bytes", "keep at most `SIZE` of events")
	f.StringVar(&o.command, "exec", "", "run `COMMAND` for each event, with the event as JSON on its standard input; quotes are as in a shell, and for what else a shell does there is sh -c '...'")
	f.DurationVar(&o.timeout, "exec-timeout", 30*time.Second, "kill COMMAND, and all that it started, after `TIME`")
}

func (o *eventOptions) given() bool { return o.dir != "" || o.command != "" }

func (o *eventOptions) check() (err error) {
	switch o.words, err = shellwords.Split(o.command); {
	case err != nil:
		return cli.Usagef("-exec %s: %v", o.command, err)
	case o.maxEvents < 1:
		return cli.Usagef("-save-max %d: want at least 1", o.maxEvents)
	case o.maxBytes < 1:
		return cli.Usagef("-save-bytes %v: want at least 1, such as 250MB", o.maxBytes)
	case o.timeout <= 0:
		return cli.Usagef("-exec-timeout %v: want more than 0, such as 30s", o.timeout)
	}
	return nil
}

func (o *eventOptions) open(_ context.Context, _ *options, _ *classify.Model, out *outputs) error {
	if !o.given() {
		return nil
	}
	sink, err := events.Open(events.Options{
		Dir: o.dir, MaxEvents: o.maxEvents, MaxBytes: int64(o.maxBytes), Command: o.words, Timeout: o.timeout, Log: out.log,
	})
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return cli.Usagef("-exec %s: %v", o.command, err)
	case err != nil:
		return err
	}
	out.add(sink)
	return nil
}
