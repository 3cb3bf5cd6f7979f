// Package live shows what a camera sees and what is recognized in it, to
// browsers and programs, over HTTP. It is a stream.Sink.
//
//	GET /              the page
//	GET /stream.mjpg   the picture: multipart/x-mixed-replace, at most 10 JPEG files a second
//	GET /snapshot.jpg  the newest picture
//	GET /api/latest    State as JSON
//	GET /api/events    server-sent events: "result" (stream.Result), "watched"
//	                   (stream.Event) and, once a second, "state" (State)
//	GET /metrics       for Prometheus
//	GET /healthz       200, or 503 when there has been no frame for a while
//	POST /login        the token, from the form that browsers without it get
//
// With Options.Teach also the following. What changes something is a POST of a JSON
// object, {"label", "to", "id", "on"} as far as it is needed, from the page itself or a
// program; 204 is success, 409 tells why not in a line.
//
//	GET /api/teach/    TeachState, which is also the server-sent event "teach"
//	GET /api/teach/sample.jpg?label=&id=
//	GET /api/teach/export.zip
//	POST /api/teach/   add, rename, remove, collect (again each second, or it ends),
//	                   delete, train, cancel, use, undo
//
// Pictures carry their age when they were sent, in the header X-Age-Ms, their
// number in X-Sequence, and in X-Sent-Ms when that was, in milliseconds of a
// clock that only ever goes forward. No frame older than Options.Stale is
// handed out: /snapshot.jpg answers 503 then, and /stream.mjpg ends.
//
// One client cannot keep others out: what counts is its address, an IPv6 one by its
// /64. Wrong tokens are answered with 429 for longer and longer.
//
// Viewers cannot slow the classifier down. The sink copies into memory of its
// own and returns; pictures are encoded in another goroutine, for all viewers
// at once and only while there are any; a viewer that is behind skips what is
// no longer new, and one that does not take a picture within 10 seconds is
// dropped.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"edgeclassify/preprocess"
	"edgeclassify/stream"
)

const (
	defaultStale = 5 * time.Second
	patience     = 10 * time.Second       // for a viewer to take a picture or a message
	farewell     = 500 * time.Millisecond // for viewers to go when the server ends
	minToken     = 8                      // characters
	maxViewers   = 64                     // of pictures, and as many of events
	viewersEach  = 16                     // of them at one address
	maxConns     = 256                    // a process may have 1024 files, and others need some
	connsEach    = 64                     // of them from one address: twice its viewers
	maxHeader    = 8 << 10
	sendBuffer   = 64 << 10 // what waits in the system grows old; this is about a picture
	eventBacklog = 16
)

// Options of a server. All may be left out.
type Options struct {
	// Token is what viewers must show, as "Authorization: Bearer TOKEN" or once in
	// a form or as ?token=TOKEN, which gives browsers a cookie. Empty: everyone may look.
	Token string
	// Stale is the age from which on the newest frame is not shown any more.
	// 0 stands for 5 seconds; negative: any age will do, for frames on demand.
	Stale   time.Duration
	ROI     preprocess.ROI // to outline: what is classified
	Watch   []string       // labels or class ids to show at the top
	Version string         // of the program
	Teach   Teacher        // shown as a panel of the page; nil is none
	Log     *slog.Logger   // nil is silent
}

// Server is the page.
type Server struct {
	options  Options
	listener net.Listener
	host     string
	started  time.Time
	patience time.Duration
	clients  clients
	guesses  *guesses
	metrics  *metrics
	screen   *screen

	memory  memory
	arrived chan struct{}     // a result to publish
	watched chan stream.Event // to publish
	results *fanout[[]byte]   // JSON
	events  *fanout[[]byte]   // JSON
	pupil   chan struct{}     // wants to know what is taught
	lessons *fanout[[]byte]   // JSON
	serving sync.WaitGroup
}

// Listen claims the address, so that what is wrong with it is known at start.
// A port alone means this machine only; ":PORT" means all networks.
func Listen(addr string, o Options) (*Server, error) {
	if o.Token != "" && len(o.Token) < minToken {
		return nil, fmt.Errorf("live: a token of %d characters is quickly guessed: take at least %d", len(o.Token), minToken)
	}
	if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
		addr = net.JoinHostPort("localhost", addr)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("live: cannot serve at %q; it must be PORT, :PORT or HOST:PORT, and the port free and allowed: %w", addr, err)
	}
	o.Stale = cmp.Or(o.Stale, defaultStale)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	host, _ := os.Hostname() // or none to show
	s := &Server{
		options:  o,
		host:     host,
		listener: listener,
		started:  time.Now(),
		patience: patience,
		clients:  clients{conns: make(map[net.Conn]*connection)},
		guesses:  newGuesses(o.Token, o.Log),
		screen:   newScreen(o.Log),
		arrived:  make(chan struct{}, 1),
		watched:  make(chan stream.Event, eventBacklog),
		results:  newFanout[[]byte](1, maxViewers, viewersEach),
		events:   newFanout[[]byte](eventBacklog, maxViewers, viewersEach),
		pupil:    make(chan struct{}, 1),
		lessons:  newFanout[[]byte](1, maxViewers, viewersEach),
	}
	if o.Teach != nil && s.Public() {
		listener.Close()
		return nil, fmt.Errorf("live: everyone on the network could teach at %q: set a token, or serve this machine only", addr)
	}
	s.metrics = newMetrics(s)
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Public reports whether everyone on the network may look.
func (s *Server) Public() bool {
	tcp, ok := s.listener.Addr().(*net.TCPAddr)
	return s.options.Token == "" && !(ok && tcp.IP.IsLoopback())
}

// Serve serves until ctx ends, which is no error, and returns within a second
// of it. It can be called once.
func (s *Server) Serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       s.clients.enter,
		ConnState:         s.clients.leave,
		ReadHeaderTimeout: 3 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.options.Log.Handler(), slog.LevelDebug),
	}
	s.serving.Go(func() { s.screen.run(ctx) })
	s.serving.Go(func() { s.publish(ctx) })
	s.serving.Go(func() { s.tellTaught(ctx) })
	s.serving.Go(func() {
		<-ctx.Done()
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer done()
		if server.Shutdown(grace) != nil {
			server.Close() // viewers that take no bytes
		}
	})
	err := server.Serve(s.listener)
	stop()
	s.serving.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("live: %s: %w", s.Addr(), err)
	}
	return nil
}
