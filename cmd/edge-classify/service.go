package main

import (
	"context"
	"flag"
	"os"
	"time"

	"edgeclassify/classify"
	"edgeclassify/fleet"
)

// serviceOptions are of systemd, which says by the environment what it wants.
type serviceOptions struct{}

func (*serviceOptions) title() string { return "" }

func (*serviceOptions) flags(*flag.FlagSet) {}

func (*serviceOptions) check() error { return nil }

func (*serviceOptions) open(_ context.Context, all *options, _ *classify.Model, out *outputs) (err error) {
	const never = 100 * 365 * 24 * time.Hour
	quiet := 2 * all.interval()
	if all.pins.trigger != "" {
		quiet = never
	}
	if out.systemd, err = fleet.Notify(os.Getenv, quiet); err != nil {
		return err
	}
	out.add(out.systemd)
	return nil
}
