package fleet

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"edgeclassify/capture"
	"edgeclassify/stream"
)

const statusEvery = 5 * time.Second // between two status texts

// Systemd tells systemd how the service is, by the protocol of sd_notify(3). It
// is a stream.Sink. Without systemd it does nothing.
//
// The watchdog is fed by results and, while the camera gives no frames, by its
// attempts: a loop that hangs, one that makes nothing of a camera's frames, and
// a driver that does not answer end in a restart. A camera that is missing or
// busy does not, since a restart plugs nothing in.
type Systemd struct {
	conn     net.Conn      // nil without systemd
	watchdog time.Duration // 0: there is none
	quiet    time.Duration // without a result that is nothing unusual
	text     chan string   // to be sent
	done     chan struct{}

	mu       sync.Mutex
	resultAt time.Time
	fedAt    time.Time
	statusAt time.Time
	results  int // since statusAt
	closed   bool
}

var _ stream.Sink = (*Systemd)(nil)

// Notify connects to systemd, if getenv (os.Getenv) says that it listens. quiet
// is how long the loop may go without a result though all is well: twice the
// interval between frames, or a long time where something else triggers them.
// It is at least half of the watchdog's period.
func Notify(getenv func(string) string, quiet time.Duration) (*Systemd, error) {
	s := &Systemd{text: make(chan string, 8), done: make(chan struct{}), resultAt: time.Now()}
	address := getenv("NOTIFY_SOCKET")
	if address == "" {
		return s, nil
	}
	if period := getenv("WATCHDOG_USEC"); period != "" {
		usec, err := strconv.ParseInt(period, 10, 64)
		if err != nil || usec <= 0 || usec > int64(1<<63-1)/1000 {
			return nil, fmt.Errorf("systemd: WATCHDOG_USEC is %q: want microseconds", period)
		}
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	s.quiet = max(quiet, s.watchdog/2)
	var err error
	// A leading @ is the abstract namespace, for Go as for systemd.
	if s.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"}); err != nil {
		return nil, fmt.Errorf("systemd: NOTIFY_SOCKET: %w", err)
	}
	go s.send()
	return s, nil
}

// send writes outside the loop: a datagram waits where systemd is slow.
func (s *Systemd) send() {
	defer close(s.done)
	for text := range s.text {
		_ = s.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = s.conn.Write([]byte(text)) // systemd notices what is missing, and there is nobody else to tell
	}
}

// queue leaves a text to be sent, or drops it where too many wait. The lock is
// held.
func (s *Systemd) queue(text string) {
	if s.conn == nil || s.closed {
		return
	}
	select {
	case s.text <- text:
	default:
	}
}

// Ready says that the service has started.
func (s *Systemd) Ready() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resultAt = time.Now() // the loop starts now, and has its time for a first result
	s.queue("READY=1")
}

// Close says that the service is about to stop.
func (s *Systemd) Close() error {
	s.mu.Lock()
	s.queue("STOPPING=1")
	last := !s.closed
	s.closed = true
	s.mu.Unlock()
	if s.conn == nil || !last {
		return nil
	}
	close(s.text)
	<-s.done
	return s.conn.Close()
}

// Result implements stream.Sink.
func (s *Systemd) Result(r *stream.Result, _ *capture.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.resultAt = now
	s.results++
	s.feed(now)
	if past := now.Sub(s.statusAt); past >= statusEvery && s.conn != nil {
		rate := ""
		if !s.statusAt.IsZero() {
			rate = fmt.Sprintf(", %.1f results per second", float64(s.results)/past.Seconds())
		}
		label := "nothing"
		if best, ok := r.Best(); ok {
			label = fmt.Sprintf("%s (%.0f %%)", best.Label, 100*best.Probability)
		}
		s.statusAt, s.results = now, 0
		s.queue("STATUS=" + strings.ReplaceAll(label, "\n", " ") + rate) // a line is an assignment
	}
}

// Event implements stream.Sink.
func (s *Systemd) Event(stream.Event, *capture.Frame) {}

// Model implements stream.Sink.
func (s *Systemd) Model(stream.Model) {}

// Status implements stream.Sink.
func (s *Systemd) Status(c capture.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(c.Due) && (c.State != capture.Streaming || now.Sub(s.resultAt) < s.quiet) {
		s.feed(now)
	}
	if c.State != capture.Streaming && now.Sub(s.statusAt) >= statusEvery && s.conn != nil {
		s.statusAt, s.results = now, 0
		s.queue("STATUS=camera " + c.State)
	}
}

// feed feeds the watchdog, no more than needed. The lock is held.
func (s *Systemd) feed(now time.Time) {
	if s.watchdog > 0 && now.Sub(s.fedAt) >= s.watchdog/4 {
		s.fedAt = now
		s.queue("WATCHDOG=1")
	}
}
