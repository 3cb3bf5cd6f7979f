package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/nettest"
	"edgeclassify/internal/testneed"
	"edgeclassify/q8"
)

// TestSoak runs the program with all outputs that need no hardware: viewers that come
// and go, a broker that restarts, pictures kept, programs run, models replaced. Its
// memory stays flat. SOAK says for how long, such as 30m.
func TestSoak(t *testing.T) {
	testneed.Long(t, "runs for as long as SOAK says, 20 seconds by default")
	duration := 20 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err, "SOAK")
	}
	broker := startBroker(t)
	dir, path := t.TempDir(), filepath.Join(t.TempDir(), "model.q8")
	models := [2]answered{know(t, nettest.Colours()), know(t, otherTool(nettest.Colours()))}
	require.NotEqual(t, models[0].sha256, models[1].sha256)
	replaced := 0
	replace := func() {
		require.NoError(t, os.WriteFile(path, models[replaced%2].file, 0o600))
		replaced++
	}
	replace()
	p := startProgram(t, "-model", path, "-camera", "test", "-fps", "30", "-watch", "red,green,blue", "-http", "127.0.0.1:0",
		"-mqtt", "mqtt://"+broker.address+"/soak", "-mqtt-pictures", "1s",
		"-save", dir, "-save-max", "5", "-exec", "sh -c 'cat > /dev/null'")
	first := p.result()
	p.logged("address=http", 1, func() { p.result() })
	page := regexp.MustCompile(`address=(http://\S+)`).FindStringSubmatch(p.errs.String())
	require.NotNil(t, page, p.errs.String())
	views := viewers(t, page[1])

	const steps = 20
	var early memory
	results, last := 0, first
	for step := range steps {
		if step%4 == 1 {
			broker.restart()
		}
		if step%2 == 1 {
			replace()
		}
		for end := first.Time.Add(duration / steps * time.Duration(step+1)); last.Time.Before(end); results++ {
			r := p.result()
			require.Greater(t, r.Sequence, last.Sequence)
			require.Contains(t, []string{models[0].sha256, models[1].sha256}, r.Model)
			last = r
		}
		now := p.memory()
		t.Logf("%v: %d results, %d dropped, %+v", last.Time.Sub(first.Time).Round(time.Second), results, last.Dropped, now)
		if step == steps/4 {
			early = now
		}
	}
	p.memory().flat(t, early)
	p.logged("another model runs", 1, func() { p.result() })
	p.logged("mqtt: connected", 1, func() { p.result() })
	for name, n := range views {
		require.Positive(t, n.Load(), "nothing for viewers of %s: %s", name, p.errs.String())
		t.Logf("%s: %d bytes", name, n.Load())
	}
	kept, err := filepath.Glob(filepath.Join(dir, "event-*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, kept)
	require.LessOrEqual(t, len(kept), 5)
	p.stop()
	for line := range strings.Lines(p.errs.String()) {
		if strings.Contains(line, "level=WARN") {
			require.Regexp(t, "mqtt|too slow", line, "the only trouble is the broker's, or a busy machine's")
		}
	}
}

// otherTool makes a model another file with the same answers.
func otherTool(m *q8.Model) *q8.Model {
	m.Provenance.Tool = "another"
	return m
}

// viewers look at the page in all ways, over and over: they read for a while, go and
// come again. They count the bytes that each way gave.
func viewers(t *testing.T, page string) map[string]*atomic.Int64 {
	counts := map[string]*atomic.Int64{}
	for _, name := range []string{"/", "/stream.mjpg", "/snapshot.jpg", "/api/latest", "/api/events", "/metrics"} {
		count := new(atomic.Int64)
		counts[name] = count
		go func() {
			client := http.Client{Timeout: 3 * time.Second}
			for t.Context().Err() == nil {
				response, err := client.Get(page + name)
				if err == nil && response.StatusCode == http.StatusOK {
					n, _ := io.Copy(io.Discard, bufio.NewReader(response.Body)) // until the time is up
					count.Add(n)
				}
				if err == nil {
					response.Body.Close()
				}
				time.Sleep(200 * time.Millisecond)
			}
		}()
	}
	return counts
}

// testBroker is a mosquitto.
type testBroker struct {
	t       *testing.T
	program string
	address string
	cmd     *exec.Cmd
}

func startBroker(t *testing.T) *testBroker {
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+"/usr/sbin")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &testBroker{t: t, program: testneed.Program(t, "mosquitto", "apt-get install mosquitto"), address: l.Addr().String()}
	require.NoError(t, l.Close())
	b.start()
	t.Cleanup(b.kill)
	return b
}

func (b *testBroker) start() {
	_, port, err := net.SplitHostPort(b.address)
	require.NoError(b.t, err)
	b.cmd = exec.Command(b.program, "-p", port) // for this machine only
	require.NoError(b.t, b.cmd.Start())
}

func (b *testBroker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *testBroker) restart() {
	b.kill()
	b.start()
}
