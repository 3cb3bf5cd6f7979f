package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/syncbuffer"
	"edgeclassify/internal/testneed"
	"edgeclassify/stream"
)

// buildProgram builds the real program.
func buildProgram(t *testing.T, env ...string) (path string) {
	return testneed.Built(t, "edgeclassify/cmd/edge-classify", env...)
}

// forBoards are the variables for a program that boards run.
var forBoards = []string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"}

// program is the real program, running with -json.
type program struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	errs  syncbuffer.Buffer
}

func startProgram(t *testing.T, args ...string) *program {
	return startBuilt(t, buildProgram(t), args...)
}

func startBuilt(t *testing.T, path string, args ...string) *program {
	p := &program{t: t, cmd: exec.Command(path, append(args, "-json")...)}
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.cmd.Stderr = &p.errs
	p.lines = bufio.NewScanner(out)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

// result is the next result; events are skipped.
func (p *program) result() (r stream.Result) {
	for p.lines.Scan() {
		require.NoError(p.t, json.Unmarshal(p.lines.Bytes(), &r), p.lines.Text())
		if len(r.Top) > 0 {
			return r
		}
	}
	require.FailNow(p.t, "the program has ended", p.errs.String())
	return r
}

// logged waits for a log to have a text so many times, while results are read by
// read.
func (p *program) logged(text string, times int, read func()) {
	for end := time.Now().Add(soon); strings.Count(p.errs.String(), text) < times; read() {
		require.True(p.t, time.Now().Before(end), "not logged %d times: %s\n%s", times, text, p.errs.String())
	}
}

// memory is what the program takes: resident bytes, memory maps, threads and open
// files; zeros where the system does not tell.
type memory struct{ resident, maps, threads, files int }

func (p *program) memory() (m memory) {
	if runtime.GOOS != "linux" {
		return m
	}
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	maps, err := os.ReadFile(dir + "maps")
	require.NoError(p.t, err)
	m.maps = bytes.Count(maps, []byte("\n"))
	status, err := os.ReadFile(dir + "status")
	require.NoError(p.t, err)
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d", &m.resident)
		fmt.Sscanf(line, "Threads: %d", &m.threads)
	}
	m.resident *= 1024
	files, err := os.ReadDir(dir + "fd")
	require.NoError(p.t, err)
	m.files = len(files)
	return m
}

// flat requires that memory has not grown since then, but for what a run-time system
// takes now and then.
func (m memory) flat(t *testing.T, then memory) {
	t.Logf("from %+v to %+v", then, m)
	require.LessOrEqual(t, m.resident, then.resident+then.resident/4+4<<20, "resident memory")
	require.LessOrEqual(t, m.maps, then.maps+20, "memory maps")
	require.LessOrEqual(t, m.files, then.files+8, "open files")
	require.LessOrEqual(t, m.threads, then.threads+8, "threads")
}

// stop ends the program, which must succeed.
func (p *program) stop() {
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	for p.lines.Scan() {
	}
	require.NoError(p.t, p.cmd.Wait(), p.errs.String())
}
