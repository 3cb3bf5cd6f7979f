package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"edgeclassify/classify"
	"edgeclassify/internal/cli"
	"edgeclassify/internal/private"
	"edgeclassify/live"
)

// pageOptions are of the live page.
type pageOptions struct{ http, token, tokenFile string }

func (*pageOptions) title() string { return "Live page" }

func (o *pageOptions) flags(f *flag.FlagSet) {
	f.StringVar(&o.http, "http", "", "show a live page at `ADDR`: PORT for this machine only, :PORT for the network")
	f.StringVar(&o.token, "token", "", "ask viewers of the page for the token `T`")
	f.StringVar(&o.tokenFile, "token-file", "", "read the token from `FILE`, which does not show in the list of processes")
}

func (o *pageOptions) check() error {
	switch {
	case o.token != "" && o.tokenFile != "":
		return cli.Usagef("-token and -token-file exclude each other")
	case o.http == "" && (o.token != "" || o.tokenFile != ""):
		return cli.Usagef("a token is of use with -http only")
	}
	return nil
}

func (o *pageOptions) open(_ context.Context, all *options, _ *classify.Model, out *outputs) error {
	if o.http == "" {
		return nil
	}
	token, err := o.readToken(out.log)
	if err != nil {
		return err
	}
	show := live.Options{Token: token, Stale: all.stale(), ROI: all.roi, Watch: all.watch, Version: cli.Version(), Log: out.log}
	if all.teach.trainer != nil {
		show.Teach = all.teach.trainer
	}
	page, err := live.Listen(o.http, show)
	if err != nil {
		return err
	}
	out.page = networkPage(page.Addr())
	out.log.Info("live page", "address", "http://"+page.Addr().String())
	if page.Public() {
		out.log.Warn("everyone on the network can see the camera: -token or -token-file asks viewers for a token")
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

// networkPage is the page's URL for others on the network, empty if they cannot
// reach it; it has no host where the page is at all of the machine's addresses.
func networkPage(at net.Addr) string {
	tcp, ok := at.(*net.TCPAddr)
	switch {
	case !ok || tcp.IP.IsLoopback():
		return ""
	case tcp.IP.IsUnspecified():
		return fmt.Sprintf("http://:%d", tcp.Port)
	}
	return "http://" + tcp.String()
}

// stale is the age from which on a frame is not shown as the newest any more; 0
// leaves it to the page, and below 0 any age will do.
func (o *cameraOptions) stale() time.Duration {
	const margin = 5 * time.Second
	switch {
	case o.pins.trigger != "":
		return -1
	case o.interval() > 0:
		return o.interval() + margin
	}
	return 0
}

func (o *pageOptions) readToken(log *slog.Logger) (string, error) {
	if o.tokenFile == "" {
		return o.token, nil
	}
	token, warning, err := private.Secret(o.tokenFile)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	if warning != "" {
		log.Warn(warning)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", fmt.Errorf("token: %s holds spaces only: everyone could look", o.tokenFile)
	}
	return token, nil
}
