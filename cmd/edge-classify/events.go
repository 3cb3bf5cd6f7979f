package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
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
	maxBytes  byteSize
	command   string
	words     []string // of it
	timeout   time.Duration
}

func (*eventOptions) title() string { return "Events of -watch" }

func (o *eventOptions) flags(f *flag.FlagSet) {
	o.maxBytes = 250e6
	f.StringVar(&o.dir, "save", "", "keep the picture of each event in `DIR`, with a JSON file beside it")
	f.IntVar(&o.maxEvents, "save-max", 1000, "keep the newest `N` events")
	f.Var(&o.maxBytes, "save-bytes", "keep at most `SIZE` of events, such as 250MB")
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

// byteSize is the flag value of a number of bytes.
type byteSize int64

// units of byteSize, the longest first.
var units = []struct {
	name  string
	bytes int64
}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"", 1}}

func (b *byteSize) String() string {
	for _, u := range units {
		if int64(*b)%u.bytes == 0 {
			return strconv.FormatInt(int64(*b)/u.bytes, 10) + u.name
		}
	}
	return ""
}

func (b *byteSize) Set(text string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(strings.ToLower(text), strings.ToLower(u.name))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 1 || n > (1<<62)/u.bytes {
			break
		}
		*b = byteSize(n * u.bytes)
		return nil
	}
	return fmt.Errorf("want a number of bytes such as 250MB, 2GB or 500kB")
}

// Get tells package config that the size is one value.
func (b *byteSize) Get() any { return int64(*b) }
