package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"edgeclassify/classify"
	"edgeclassify/fleet"
	"edgeclassify/internal/cli"
	"edgeclassify/live"
	"edgeclassify/pins"
	"edgeclassify/stream"
)

// outputs is where results go, and what triggers them.
type outputs struct {
	sinks   []stream.Sink
	systemd *fleet.Systemd
	trigger <-chan time.Time // nil unless pins trigger
	closers []func() error
	log     *slog.Logger
}

// openOutputs opens what the flags ask for, or nothing if some of it fails.
func openOutputs(ctx context.Context, o options, m *classify.Model, stdout io.Writer, log *slog.Logger) (*outputs, error) {
	out := &outputs{log: log}
	out.add(newPrinter(o, stdout, log))
	for _, open := range []func() error{
		func() error { return out.openPins(o, m, log) },
		func() error { return out.openPage(o, m, log) },
		func() error { return out.openBroker(ctx, o, log) },
		func() error { return out.openSystemd(o) },
	} {
		if err := open(); err != nil {
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

func (out *outputs) openPins(o options, m *classify.Model, log *slog.Logger) error {
	results := stream.Debounce
	if o.trigger != "" {
		results = 1
		t, err := pins.NewTrigger(o.trigger, log)
		if err != nil {
			return err
		}
		out.trigger = t.C()
		out.closers = append(out.closers, t.Close)
	}
	for _, rule := range o.leds {
		led, err := pins.NewLED(rule, m.Classes(), results, log)
		if err != nil {
			return err
		}
		out.add(led)
	}
	if o.display != "" {
		display, err := pins.NewDisplay(o.display, log)
		if err != nil {
			return err
		}
		out.add(display)
	}
	return nil
}

func (out *outputs) openPage(o options, m *classify.Model, log *slog.Logger) error {
	if o.http == "" {
		return nil
	}
	token, err := o.readToken()
	if err != nil {
		return err
	}
	page, err := live.Listen(o.http, live.Options{
		Token: token, Stale: o.stale(), Model: m.File().Name, Kernel: m.Plan().Kernel(), Version: cli.Version, Log: log,
	})
	if err != nil {
		return err
	}
	log.Info("live page", "address", "http://"+page.Addr().String())
	if page.Public() {
		log.Warn("everyone on the network can see the camera: -token or -token-file asks viewers for a token")
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- page.Serve(ctx) }()
	out.sinks = append(out.sinks, page)
	out.closers = append(out.closers, func() error {
		stop()
		return <-served
	})
	return nil
}

// stale is the age from which on a frame is not shown as the newest any more; 0
// leaves it to the page, and below 0 any age will do.
func (o *options) stale() time.Duration {
	const margin = 5 * time.Second
	switch {
	case o.trigger != "":
		return -1
	case o.interval() > 0:
		return o.interval() + margin
	}
	return 0
}

// interval is the least time between two results, as asked for.
func (o *options) interval() time.Duration {
	if o.fps > 0 {
		return max(o.every, time.Duration(float64(time.Second)/o.fps))
	}
	return o.every
}

func (o *options) readToken() (string, error) {
	if o.tokenFile == "" {
		return o.token, nil
	}
	text, err := os.ReadFile(o.tokenFile)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("token: %s is empty: everyone could look", o.tokenFile)
	}
	return token, nil
}

func (out *outputs) openBroker(ctx context.Context, o options, log *slog.Logger) error {
	if o.mqtt == "" {
		return nil
	}
	broker, err := fleet.Connect(ctx, fleet.Options{
		URL: o.mqtt, PasswordFile: o.mqttPasswordFile, CA: o.mqttAuthority,
		Version: cli.Version, Snapshots: o.mqttPictures, Log: log,
	})
	if err != nil {
		return err
	}
	out.add(broker)
	return nil
}

func (out *outputs) openSystemd(o options) (err error) {
	const never = 100 * 365 * 24 * time.Hour
	quiet := 2 * o.interval()
	if o.trigger != "" {
		quiet = never
	}
	if out.systemd, err = fleet.Notify(os.Getenv, quiet); err != nil {
		return err
	}
	out.add(out.systemd)
	return nil
}
