package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Shell runs commands on a board.
type Shell interface {
	// Run has the user's login shell, of whatever kind, run a command of words and
	// quotes, gives it its standard input, nil for none, and returns what it prints.
	// What it says on standard error is part of the error.
	Run(ctx context.Context, command string, stdin io.Reader) (string, error)
}

// SSH runs commands by the user's own ssh, with the user's settings, keys and agent.
type SSH struct {
	target  string
	folder  string // of the socket of a connection that all commands share; "" for none
	options []string
}

// NewSSH is for a target as ssh takes it: HOST, USER@HOST or ssh://USER@HOST:PORT.
// It is to be closed.
func NewSSH(target string) (*SSH, error) {
	if target == "" || target[0] == '-' {
		return nil, fmt.Errorf("deploy: %q is no host: want USER@HOST", target)
	}
	if _, err := exec.LookPath("ssh"); err != nil {
		return nil, fmt.Errorf("deploy: %w: install OpenSSH's client", err)
	}
	s := &SSH{target: target, options: []string{"-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15"}}
	if runtime.GOOS == "windows" { // whose ssh shares no connections
		return s, nil
	}
	var err error
	if s.folder, err = os.MkdirTemp("", "deploy"); err != nil {
		return nil, fmt.Errorf("deploy: %w", err)
	}
	s.options = append(s.options, "-o", "ControlMaster=auto", "-o", "ControlPath="+filepath.Join(s.folder, "ssh"), "-o", "ControlPersist=60")
	return s, nil
}

// Run implements Shell.
func (s *SSH) Run(ctx context.Context, command string, stdin io.Reader) (string, error) {
	return run(ctx, exec.CommandContext(ctx, "ssh", append(slices.Clone(s.options), "--", s.target, command)...), stdin)
}

// Close ends the connection.
func (s *SSH) Close() error {
	if s.folder == "" {
		return nil
	}
	_ = exec.Command("ssh", append(slices.Clone(s.options), "-O", "exit", "--", s.target)...).Run() // there may be none
	return os.RemoveAll(s.folder)
}

// posix is the command that runs a script of the POSIX shell.
func posix(script string) string { return "sh -c " + quote(script) }

// quote makes a text one word of the shell, whatever is in it.
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@,+"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// run runs a program with a few lines of what it says in the error.
func run(ctx context.Context, c *exec.Cmd, stdin io.Reader) (string, error) {
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = stdin, &out, &errs
	c.WaitDelay = 2 * time.Second // the connection that is kept may hold the streams
	err := c.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		said := strings.TrimSpace(errs.String())
		if said == "" {
			said = strings.TrimSpace(out.String())
		}
		return "", errors.Join(fmt.Errorf("%s: %w", filepath.Base(c.Path), err), lines(said))
	}
	return out.String(), nil
}

// lines are the last lines of what a program says.
func lines(text string) error {
	const most = 20
	all := strings.Split(text, "\n")
	if text == "" {
		return nil
	}
	return errors.New(strings.Join(all[max(0, len(all)-most):], "\n"))
}

// DryRun is a Shell that shows the commands of SSH and runs none.
type DryRun struct {
	SSH *SSH
	To  io.Writer
}

// Run implements Shell.
func (d DryRun) Run(_ context.Context, command string, stdin io.Reader) (string, error) {
	from := ""
	switch in := stdin.(type) {
	case nil:
	case *os.File:
		from = " < " + quote(in.Name())
	default:
		text, err := io.ReadAll(in)
		if err != nil {
			return "", err
		}
		from = " <<'END'\n" + strings.TrimSuffix(string(text), "\n") + "\nEND"
	}
	_, err := fmt.Fprintf(d.To, "ssh %s %s%s\n", quote(d.SSH.target), quote(command), from)
	return "", err
}
