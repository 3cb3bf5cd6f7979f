package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"edgeclassify/internal/procgroup"
)

// runner runs a program for each event.
type runner struct {
	path    string
	args    []string
	timeout time.Duration
	log     *slog.Logger
}

func newRunner(o Options) (*runner, error) {
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if o.Timeout <= 0 {
		return nil, fmt.Errorf("events: a program that may run for %v: want more than 0", o.Timeout)
	}
	return &runner{path: path, args: o.Command[1:], timeout: o.Timeout, log: o.Log}, nil
}

// run runs the program with the record on its standard input. When ctx or the time
// ends it is killed with all that it started.
func (r *runner) run(ctx context.Context, record Record) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text, err := json.Marshal(&record)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	out := &output{log: r.log, program: r.path}
	cmd := exec.CommandContext(limited, r.path, r.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(text, '\n')), out, out
	procgroup.Own(cmd)
	cmd.Cancel = func() error { procgroup.Kill(cmd); return nil }
	cmd.WaitDelay = leftBehind
	err = cmd.Run()
	out.end()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("%s: killed after %v", r.path, r.timeout)
	case errors.Is(err, exec.ErrWaitDelay): // something in the group holds the pipe
		procgroup.Kill(cmd)
		return fmt.Errorf("%s: it ended, but left a program with its output, which is killed", r.path)
	case err != nil:
		return fmt.Errorf("%s: %w", r.path, err)
	}
	return nil
}

// leftBehind is how long output may stay open behind the program's end: more than a
// busy machine takes to notice that it is closed.
const leftBehind = 5 * time.Second

const (
	maxLine  = 1024 // bytes of a line of output that are logged
	maxLines = 20   // of a run
)

// output logs what a program writes, line by line. It implements io.Writer, for one
// goroutine.
type output struct {
	log     *slog.Logger
	program string
	line    []byte
	lines   int
}

func (o *output) Write(text []byte) (int, error) {
	for _, c := range text {
		if c == '\n' {
			o.flush()
		} else if len(o.line) < maxLine {
			o.line = append(o.line, c)
		}
	}
	return len(text), nil
}

func (o *output) flush() {
	line := strings.TrimSpace(string(o.line))
	o.line = o.line[:0]
	if line == "" {
		return
	}
	if o.lines++; o.lines <= maxLines {
		o.log.Info("event program says", "program", o.program, "line", line)
	}
}

func (o *output) end() {
	o.flush()
	if o.lines > maxLines {
		o.log.Info("event program says more", "program", o.program, "lines", o.lines-maxLines)
	}
}
