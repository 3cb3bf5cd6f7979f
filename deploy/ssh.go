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
	"strings"
)

// Shell runs scripts of the POSIX shell on a board.
type Shell interface {
	// Run gives a script its standard input, nil for none, and returns what it
	// prints. What it says on standard error is part of the error.
	Run(ctx context.Context, script string, stdin io.Reader) (string, error)
}

// SSH runs scripts by the user's own ssh, with the user's settings, keys and agent.
type SSH struct {
	target  string
	folder  string // of the socket of a connection that all scripts share; "" for none
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
func (s *SSH) Run(ctx context.Context, script string, stdin io.Reader) (string, error) {
	return run(ctx, exec.CommandContext(ctx, "ssh", s.arguments(script)...), stdin)
}

func (s *SSH) arguments(script string) []string {
	return append(append([]string(nil), s.options...), "--", s.target, command(script))
}

// Close ends the connection.
func (s *SSH) Close() error {
	if s.folder == "" {
		return nil
	}
	_ = exec.Command("ssh", append(append([]string(nil), s.options...), "-O", "exit", "--", s.target)...).Run() // there may be none
	return os.RemoveAll(s.folder)
}

// command is what makes a login shell of any kind run a script of the POSIX shell.
func command(script string) string { return "sh -c " + quote(script) }

// quote makes a text one word of the shell, whatever is in it.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// run runs a program with a few lines of what it says in the error.
func run(ctx context.Context, c *exec.Cmd, stdin io.Reader) (string, error) {
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = stdin, &out, &errs
	err := c.Run()
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
func (d DryRun) Run(_ context.Context, script string, stdin io.Reader) (string, error) {
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
	_, err := fmt.Fprintf(d.To, "ssh %s %s%s\n", d.SSH.target, quote(command(script)), from)
	return "", err
}
