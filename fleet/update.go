package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// States of a change of the model.
const (
	idle        = "idle" // nothing was asked for
	downloading = "downloading"
	installed   = "installed"
	failed      = "failed" // but tried again, unless the message makes no sense
)

// modelState is the model that runs, and how a change goes on.
type modelState struct {
	State  string `json:"state"`
	Error  string `json:"error,omitempty"`
	Wanted string `json:"wanted,omitempty"` // SHA-256 of the file that was asked for
	Model  string `json:"model"`            // name of the network that runs
	SHA256 string `json:"sha256"`           // checksum of its file, as in results
	Kernel string `json:"kernel"`
}

// order asks for a model; the zero value for none.
type order struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

var validSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// parseOrder reads the payload of model/set; an empty one takes an order back.
func parseOrder(payload []byte) (o order, err error) {
	if len(payload) == 0 {
		return o, nil
	}
	if err := json.Unmarshal(payload, &o); err != nil {
		return order{}, fmt.Errorf(`model/set: want {"url": "https://...", "sha256": "..."}: %w`, err)
	}
	o.SHA256 = strings.ToLower(o.SHA256)
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Scheme != "https" || u.Hostname() == "":
		return order{}, errors.New("model/set: url: want https://HOST/FILE.q8")
	case !validSHA256.MatchString(o.SHA256):
		return order{}, errors.New("model/set: sha256: want 64 hexadecimal digits, as sha256sum prints")
	}
	return o, nil
}

const (
	settle     = 2 * time.Second // before an order is followed: of several the last one counts
	firstRetry = time.Minute     // doubled after each failure
	lastRetry  = 24 * time.Hour
)

// updater follows the newest order. One that comes again, as a retained message
// does over each connection, is the same order, however it went.
type updater struct {
	update func(ctx context.Context, url, sha256 string) error // nil: there are no orders
	report func(state, wanted string, err error)
	log    *slog.Logger
	orders chan order // holds the newest
}

func newUpdater(update func(context.Context, string, string) error, report func(string, string, error), log *slog.Logger) *updater {
	return &updater{update: update, report: report, log: log, orders: make(chan order, 1)}
}

// receive takes a message, without waiting.
func (u *updater) receive(payload []byte) {
	o, err := parseOrder(payload)
	if err != nil {
		u.report(failed, "", err)
		return
	}
	select {
	case <-u.orders:
	default:
	}
	select {
	case u.orders <- o:
	default: // another connection's was quicker
	}
}

// run follows orders until ctx ends.
func (u *updater) run(ctx context.Context) {
	var current order
	done := make(chan struct{})
	close(done)
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case o := <-u.orders:
			if o == current {
				continue
			}
			stop()
			<-done
			current, done = o, make(chan struct{})
			var following context.Context
			following, stop = context.WithCancel(ctx)
			go func() {
				defer close(done)
				u.follow(following, o)
			}()
		}
	}
}

// follow tries until the model runs.
func (u *updater) follow(ctx context.Context, o order) {
	if !sleep(ctx, settle) {
		return
	}
	if o == (order{}) {
		u.report(idle, "", nil)
		return
	}
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		u.report(downloading, o.SHA256, nil)
		err := u.update(ctx, o.URL, o.SHA256)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			u.report(installed, o.SHA256, nil)
			return
		}
		u.log.Warn("mqtt: model/set: the model is not taken up", "err", err, "again", wait)
		u.report(failed, o.SHA256, err)
		if !sleep(ctx, wait) {
			return
		}
	}
}
