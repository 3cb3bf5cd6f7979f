// Package fleet is how a device in the field talks to those who look after
// it: to an MQTT broker, with Home Assistant's discovery, and to systemd.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"edgeclassify/capture"
	"edgeclassify/stream"
)

const (
	firstAttempt = 3 * time.Second // of Connect, before it goes on in the background
	minWait      = time.Second     // between two attempts, doubled after each failure
	maxWait      = time.Minute
)

// MQTT publishes what the loop makes. It is a stream.Sink that never waits for
// the broker.
//
// Topics are edge-classify/ID/ and one of
//
//	availability  online or offline                       retained, QoS 1; the last will
//	camera        the camera's state, an object           retained, QoS 1
//	event         stream.Event, of a watched label        QoS 1
//	result        stream.Result                           retained, QoS 0
//	watched/LABEL the last event of a watched label       retained, QoS 1
//	picture       a JPEG file                             QoS 0
//	diagnostics   fps, age_ms, dropped, temperature_c,    QoS 0
//	              throttled
//	model/state   what runs, and how a change goes on     retained, QoS 1
//	model/set     read if there is Options.Update: a model's url and sha256
//
// and PREFIX/COMPONENT/ID/NAME/config for Home Assistant, retained.
type MQTT struct {
	*mailbox
	target      *target
	log         *slog.Logger
	diagnostics time.Duration // between two
	state       linkState
	pending     *stream.Event // taken from the mailbox, but not yet with the broker
	result      stream.Result
	frame       capture.Frame
	updater     *updater
	stop        context.CancelFunc
	done        chan struct{}
}

var _ stream.Sink = (*MQTT)(nil)

// linkState is what was last logged of the connection.
type linkState int

const (
	unknown linkState = iota
	connected
	unreachable
	denied
)

// Connect starts to publish. It fails if the options are wrong or the broker
// refuses this client; a broker that cannot be reached is tried again for as
// long as it takes. ctx bounds the first attempt.
func Connect(ctx context.Context, o Options) (*MQTT, error) {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	t, err := o.target(os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	if host, _, _ := net.SplitHostPort(t.address); t.update && t.tls == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		o.Log.Warn("mqtt: whoever is on the way to the broker can choose the model: mqtts:// keeps them out", "broker", t.address)
	}
	m := &MQTT{
		mailbox: newMailbox(cmp.Or(o.Results, time.Second), o.Snapshots, o.Watch...), target: t,
		diagnostics: cmp.Or(o.Diagnostics, 10*time.Second),
		log:         o.Log, done: make(chan struct{}),
	}
	ctx, cancel := context.WithTimeout(ctx, firstAttempt)
	defer cancel()
	m.updater = newUpdater(o.Update, m.mailbox.update, o.Log)
	l, err := dial(ctx, t, m.receive)
	var no *refusal
	if errors.As(err, &no) {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	m.stop = stop
	go m.run(running, l, err)
	go m.updater.run(running)
	return m, nil
}

// Close says goodbye to the broker, and waits half a second at most.
func (m *MQTT) Close() error {
	m.stop()
	<-m.done
	return nil
}

// run keeps the connection: l, if there is one, and those after it.
func (m *MQTT) run(ctx context.Context, l *link, err error) {
	defer close(m.done)
	wait := minWait
	for {
		if l != nil {
			m.report(nil)
			start := time.Now()
			err = m.serve(ctx, l)
			if time.Since(start) > maxWait { // else two clients with one ID would chase each other without rest
				wait = minWait
			}
		}
		if ctx.Err() != nil {
			return
		}
		m.report(err)
		if !sleep(ctx, wait/2+rand.N(wait/2)) {
			return
		}
		wait = min(2*wait, maxWait)
		l, err = dial(ctx, m.target, m.receive)
	}
}

// receive gets what was subscribed to.
func (m *MQTT) receive(p *paho.Publish) {
	where := topicsOf(m.target.id)
	slug, watched := strings.CutPrefix(p.Topic, where.watched)
	switch {
	case watched && len(p.Payload) > 0 && validSlug.MatchString(slug):
		m.heard(slug)
	case p.Topic == where.setModel && m.target.update:
		m.updater.receive(p.Payload)
	}
}

// report logs changes of the connection, and not each attempt.
func (m *MQTT) report(err error) {
	state := connected
	var no *refusal
	switch {
	case errors.As(err, &no):
		state = denied
	case err != nil:
		state = unreachable
	}
	if state == m.state {
		return
	}
	m.state = state
	if err == nil {
		m.log.Info("mqtt: connected", "broker", m.target.address, "device", m.target.id)
	} else {
		m.log.Warn("mqtt: no connection, trying again until there is one", "err", err)
	}
}

// sleep reports whether ctx let it sleep for that long.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
