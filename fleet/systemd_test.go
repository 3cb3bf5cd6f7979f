package fleet

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/capture"
	"edgeclassify/classify"
	"edgeclassify/stream"
)

// environment looks variables up in a map.
func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

// manager is the socket that systemd listens on.
type manager struct{ conn *net.UnixConn }

func newManager(t *testing.T, name string) manager {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return manager{conn}
}

// read is the next text, empty if none comes in time.
func (m manager) read(wait time.Duration) string {
	text := make([]byte, 4096)
	_ = m.conn.SetReadDeadline(time.Now().Add(wait))
	n, _ := m.conn.Read(text)
	return string(text[:n])
}

func sockets(t *testing.T) []string {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no datagram sockets with names")
	}
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, fmt.Sprintf("@edge-classify-test-%d", os.Getpid()))
	}
	return names
}

var seen = &stream.Result{Time: time.Now(), Top: []classify.Prediction{{Class: 281, ID: "n02123045", Label: "tabby", Probability: 0.934}}}

func TestNotify(t *testing.T) {
	for _, name := range sockets(t) {
		m := newManager(t, name)
		s, err := Notify(environment(map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3600000000"}), 0)
		require.NoError(t, err)
		s.Ready()
		require.Equal(t, "READY=1", m.read(soon))
		s.Result(seen, nil)
		require.Equal(t, "WATCHDOG=1", m.read(soon))
		require.Equal(t, "STATUS=tabby (93 %)", m.read(soon))
		s.Result(seen, nil)
		require.Empty(t, m.read(20*time.Millisecond), "too soon for another of any kind")
		s.fedAt = s.fedAt.Add(-s.watchdog / 4)
		s.Result(seen, nil)
		require.Equal(t, "WATCHDOG=1", m.read(soon))
		require.NoError(t, s.Close())
		require.Equal(t, "STOPPING=1", m.read(soon))
		require.NoError(t, s.Close())
		s.Result(seen, nil) // late, and harmless
	}
}

// The loop tells the status all the time: it is results that count.
func TestWatchdogStarvesWithoutResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := &Systemd{conn: near, watchdog: 80 * time.Millisecond, quiet: 40 * time.Millisecond, text: make(chan string, 8), done: make(chan struct{})}
		go s.send()
		fed := 0
		go func() {
			text := make([]byte, 4096)
			for n, err := far.Read(text); err == nil; n, err = far.Read(text) {
				if string(text[:n]) == "WATCHDOG=1" {
					fed++
				}
			}
		}()
		tell := func(state string, due time.Duration) int {
			fed = 0
			for range 8 {
				s.Status(capture.Status{State: state, Due: time.Now().Add(due)})
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
			}
			return fed
		}
		s.Result(seen, nil)
		synctest.Wait()
		require.Equal(t, 1, fed)
		require.Equal(t, 1, tell(capture.Streaming, time.Hour), "within half the period")
		require.Zero(t, tell(capture.Streaming, time.Hour), "no results")
		for _, state := range waiting {
			require.Zero(t, tell(state, -time.Second), "the camera's driver does not answer")
		}
		for _, state := range waiting {
			require.Equal(t, 4, tell(state, time.Hour), "%s: a restart plugs nothing in", state)
		}
		require.NoError(t, s.Close())
	})
}

// waiting are the states of a camera that gives no frames.
var waiting = []string{capture.Starting, capture.Stalled, capture.Missing, capture.Failed}

func TestQuietLoopsAreFed(t *testing.T) {
	m := newManager(t, sockets(t)[0])
	s, err := Notify(environment(map[string]string{"NOTIFY_SOCKET": m.conn.LocalAddr().String(), "WATCHDOG_USEC": "20000"}), time.Hour)
	require.NoError(t, err)
	defer s.Close()
	time.Sleep(40 * time.Millisecond)
	s.Status(capture.Status{State: capture.Streaming})
	require.Empty(t, m.read(20*time.Millisecond), "the camera's driver does not answer")
	s.Status(capture.Status{State: capture.Streaming, Due: time.Now().Add(time.Hour)})
	require.Equal(t, "WATCHDOG=1", m.read(soon))
}

func TestCameraStateIsTold(t *testing.T) {
	m := newManager(t, sockets(t)[0])
	s, err := Notify(environment(map[string]string{"NOTIFY_SOCKET": m.conn.LocalAddr().String()}), 0)
	require.NoError(t, err)
	defer s.Close()
	s.Status(capture.Status{State: capture.Missing})
	require.Equal(t, "STATUS=camera missing", m.read(soon))
	s.statusAt = time.Time{}
	s.Result(&stream.Result{Top: []classify.Prediction{{Label: "a\nMAINPID=1"}}}, nil)
	require.Equal(t, "STATUS=a MAINPID=1 (0 %)", m.read(soon))
}

func TestWithoutSystemd(t *testing.T) {
	s, err := Notify(environment(nil), 0)
	require.NoError(t, err)
	s.Ready()
	s.Result(seen, nil)
	s.Status(capture.Status{State: capture.Streaming})
	s.Event(stream.Event{}, nil)
	require.NoError(t, s.Close())
	for want, vars := range map[string]map[string]string{
		"NOTIFY_SOCKET":                        {"NOTIFY_SOCKET": "/nowhere/notify"},
		`WATCHDOG_USEC is "soon"`:              {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "soon"},
		`WATCHDOG_USEC is "-1"`:                {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "-1"},
		`WATCHDOG_USEC is "99999999999999999"`: {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "99999999999999999"},
	} {
		_, err := Notify(environment(vars), 0)
		require.ErrorContains(t, err, want)
	}
}

// A systemd that does not read must not hold the loop up.
func TestSlowManagerDoesNotBlock(t *testing.T) {
	m := newManager(t, sockets(t)[0])
	s, err := Notify(environment(map[string]string{"NOTIFY_SOCKET": m.conn.LocalAddr().String()}), 0)
	require.NoError(t, err)
	start := time.Now()
	for range 10_000 {
		s.Ready()
	}
	require.Less(t, time.Since(start), soon, "a write may take a second")
}

func TestJournalLines(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(journalHandler(&out, slog.LevelDebug)).With("camera", "test").WithGroup("g")
	log.Debug("a")
	log.Info("b", "n", 1)
	log.Warn("c d")
	log.Error("e", "time", "kept")
	require.Equal(t, "<7>msg=a camera=test\n<6>msg=b camera=test g.n=1\n<4>msg=\"c d\" camera=test\n<3>msg=e camera=test g.time=kept\n", out.String())
	out.Reset()
	log = slog.New(journalHandler(&out, slog.LevelWarn))
	log.Info("quiet")
	require.Empty(t, out.String())
}

func TestLogHandler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	file, err := os.Create(path)
	require.NoError(t, err)
	defer file.Close()
	write := func(stream string) string {
		require.NoError(t, file.Truncate(0))
		slog.New(LogHandler(file, slog.LevelInfo, environment(map[string]string{"JOURNAL_STREAM": stream}))).Info("x")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return strings.Trim(string(text), "\x00")
	}
	require.Regexp(t, "^time=.* level=INFO msg=x\n$", write(""))
	require.Regexp(t, "^time=", write("1:1"), "the journal's stream is another file")
	if runtime.GOOS == "linux" {
		require.Equal(t, "<6>msg=x\n", write(identity(file)))
	}
	var out bytes.Buffer
	slog.New(LogHandler(&out, slog.LevelInfo, environment(map[string]string{"JOURNAL_STREAM": "1:1"}))).Info("x")
	require.Regexp(t, "^time=", out.String())
}
