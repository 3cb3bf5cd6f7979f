//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"edgeclassify/device/internal/guest"
)

// process is a program that was started, and what it has printed.
type process struct {
	pid int

	mu      sync.Mutex
	printed guest.Printed
	changed chan struct{} // closed and replaced whenever printed changes
}

// Start starts a program and answers with its number.
func (a *agent) Start(c guest.Command, number *int) error {
	if len(c.Args) == 0 {
		return fmt.Errorf("no program to start")
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir = "/tmp"
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{pid: cmd.Process.Pid, changed: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { p.read(stdout, false) })
	reading.Go(func() { p.read(stderr, true) })
	go func() {
		reading.Wait()
		cmd.Wait() // how it ended is in ProcessState
		p.update(func(o *guest.Printed) { o.Exited, o.Code = true, cmd.ProcessState.ExitCode() })
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	*number = len(a.processes)
	a.processes = append(a.processes, p)
	return nil
}

func (p *process) read(r io.Reader, stderr bool) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := guest.Line{Time: time.Now(), Error: stderr, Text: lines.Text()}
		p.update(func(o *guest.Printed) { o.Lines = append(o.Lines, line) })
	}
}

func (p *process) update(change func(*guest.Printed)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.printed)
	close(p.changed)
	p.changed = make(chan struct{})
}

// since returns what was printed from line first on, and a channel that closes
// when there is more.
func (p *process) since(first int) (guest.Printed, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	printed := p.printed
	printed.Lines = printed.Lines[min(first, len(printed.Lines)):]
	return printed, p.changed
}

func (a *agent) process(number int) (*process, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if number < 0 || number >= len(a.processes) {
		return nil, fmt.Errorf("no process %d", number)
	}
	return a.processes[number], nil
}

// Tail answers with what a process has printed.
func (a *agent) Tail(t guest.Tail, answer *guest.Printed) error {
	p, err := a.process(t.Process)
	if err != nil {
		return err
	}
	timeout := time.After(t.Wait)
	for {
		printed, changed := p.since(t.First)
		*answer = printed
		if len(printed.Lines) > 0 || printed.Exited {
			return nil
		}
		select {
		case <-changed:
		case <-timeout:
			return nil
		}
	}
}

// Signal sends a signal to a process.
func (a *agent) Signal(s guest.Signal, done *time.Time) error {
	p, err := a.process(s.Process)
	if err != nil {
		return err
	}
	*done = time.Now()
	return syscall.Kill(p.pid, syscall.Signal(s.Number))
}

// Usage answers with what a process holds.
func (a *agent) Usage(number int, usage *guest.Usage) error {
	p, err := a.process(number)
	if err != nil {
		return err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return err
	}
	*usage = guest.Usage{KiB: field(status, "VmRSS:"), Files: len(files), Threads: field(status, "Threads:")}
	return nil
}

// field is the number that follows a key in /proc/PID/status.
func field(status []byte, key string) int {
	_, rest, _ := strings.Cut(string(status), key)
	words := strings.Fields(rest)
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(words[0]) // 0 if it is no number, as if it were absent
	return n
}
