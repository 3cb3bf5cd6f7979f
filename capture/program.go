package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"edgeclassify/internal/procgroup"
)

// program is a source: a program that writes to a pipe until it is killed.
type program struct {
	*os.File
	cmd      *exec.Cmd
	messages *messages
}

// runProgram opens a feed of what cmd writes to standard output.
func runProgram(ctx context.Context, cmd *exec.Cmd, m *messages, c content) (session, Status, error) {
	p, err := startProgram(cmd, m)
	if err != nil {
		return nil, Status{}, err
	}
	return openFeed(ctx, p, c)
}

// startProgram starts cmd. What it writes to standard error goes to m.
func startProgram(cmd *exec.Cmd, m *messages) (*program, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	m.begin()
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = in, m, time.Second
	procgroup.Own(cmd)
	if err := cmd.Start(); err != nil {
		out.Close()
		return nil, &costly{err}
	}
	return &program{out, cmd, m}, nil
}

func (p *program) stop() { p.Close() }

// end kills the program and what it started, and says how it ended.
func (p *program) end(err error) error {
	p.Close()
	over := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if over {
		time.Sleep(exitPatience)
	}
	procgroup.Kill(p.cmd)
	if waited := p.cmd.Wait(); over {
		err = cmp.Or(waited, errors.New("it has ended"))
	}
	return p.messages.explain(err)
}

const (
	exitPatience = 100 * time.Millisecond // from the end of a program's output to its own, so that it tells how it ended

	maxLine     = 1024             // bytes, for a program that does not break lines
	repeatAfter = 10 * time.Minute // is when a message is logged again
	maxKinds    = 64               // of messages that are told from each other
)

// messages logs what a camera's program writes to standard error, line by line,
// from one start to the next. It implements io.Writer.
type messages struct {
	log     *slog.Logger
	program string
	hide    *strings.Replacer // takes passwords out; nil: there are none

	mu     sync.Mutex
	part   []byte // of a line whose end has not come
	seen   map[string]*repeated
	cause  string // since the start: the first line that tells who holds the camera,
	failed string // the last that tells of an error,
	last   string // and the last
}

// repeated is a message that came before.
type repeated struct {
	logged time.Time
	count  int // since then
}

// begin forgets the reasons of the program's last end.
func (m *messages) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.part, m.cause, m.failed, m.last = m.part[:0], "", "", ""
}

func (m *messages) Write(text []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range text {
		if c != '\n' && c != '\r' && len(m.part) < maxLine {
			m.part = append(m.part, c)
			continue
		}
		m.flush()
	}
	return len(text), nil
}

// flush takes note of a line that is not blank, and logs it unless it has just
// been logged. The caller holds the lock.
func (m *messages) flush() {
	line := strings.TrimSpace(string(m.part))
	m.part = m.part[:0]
	if line == "" {
		return
	}
	if m.hide != nil {
		line = m.hide.Replace(line)
	}
	level := levelOf(line)
	m.last = line
	if level >= slog.LevelError {
		m.failed = line
	}
	if m.cause == "" && strings.Contains(line, "in use by") {
		m.cause = line
	}
	before, again := m.repeats(line)
	switch {
	case !again:
		m.log.Log(context.Background(), level, "camera program says", "program", m.program, "line", line)
	case time.Since(before.logged) >= repeatAfter:
		m.log.Log(context.Background(), level, "camera program says", "program", m.program, "line", line, "repeated", before.count)
		*before = repeated{logged: time.Now()}
	}
}

// repeats finds a line that differs from this one in numbers only, such as its
// time.
func (m *messages) repeats(line string) (before *repeated, again bool) {
	kind := numbers.ReplaceAllString(line, "0")
	if before, again = m.seen[kind]; again {
		before.count++
		return before, true
	}
	if m.seen == nil || len(m.seen) >= maxKinds {
		m.seen = map[string]*repeated{}
	}
	m.seen[kind] = &repeated{logged: time.Now()}
	return nil, false
}

var (
	stamps  = regexp.MustCompile(`^(\[[0-9:.]+\]\s+)+([A-Z]+ \w+ \S+:[0-9]+ )?`) // what libcamera writes before its messages
	numbers = regexp.MustCompile(`0x[0-9a-f]+|[0-9]+`)
	// libcamera, rpicam-apps, FFmpeg and GLib write a line's level in front.
	levels = regexp.MustCompile(`(?i)\b(debug|info|warn|warning|error|fatal|critical|panic)\b`)
)

// levelOf is the level that a line itself tells.
func levelOf(line string) slog.Level {
	switch strings.ToLower(levels.FindString(line)) {
	case "debug":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error", "fatal", "critical", "panic":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// explain adds to err what the program said of it.
func (m *messages) explain(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flush()
	said := stamps.ReplaceAllString(cmp.Or(m.cause, m.failed, m.last), "")
	switch {
	case said == "" && errors.Is(err, errStalled):
		return fmt.Errorf("%s: %w", m.program, err)
	case m.cause != "":
		said += ": stop the other program (sudo fuser -v /dev/media* /dev/video* names it)"
	}
	return fmt.Errorf("%s: %w: %s", m.program, err, cmp.Or(said, "it did not say why"))
}
