//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
)

// behaviour tells the test's program, run once more, to be a program that cli.Main
// runs, and how it takes to being stopped.
const behaviour = "CLI_TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	how := os.Getenv(behaviour)
	if how == "" {
		os.Exit(m.Run())
	}
	os.Exit(cli.Main("p", func(ctx context.Context, _ []string, s cli.Streams) error {
		if how == "camera" || how == "deaf camera" {
			cli.RunsUntilStopped(ctx)
		}
		fmt.Fprintln(s.Out, "at work")
		switch how {
		case "deaf", "deaf camera":
			select {}
		case "error":
			return errors.New("\x1b[31mred")
		}
		<-ctx.Done()
		fmt.Fprintln(s.Out, "tidied up")
		if how == "camera" {
			return nil
		}
		return ctx.Err()
	}))
}

func TestMainStops(t *testing.T) {
	const tidied, interrupted = "tidied up\n", "p: interrupted\n"
	for _, c := range []struct {
		how       string
		signals   int
		code      int
		out, errs string
	}{
		{"polite", 1, cli.ExitFailure, tidied, interrupted},
		{"deaf", 1, cli.ExitFailure, "", interrupted},
		{"deaf", 2, cli.ExitFailure, "", interrupted},
		{"camera", 1, cli.ExitOK, tidied, ""},
		{"deaf camera", 1, cli.ExitOK, "", interrupted},
		{"error", 0, cli.ExitFailure, "", "p: \\u001b[31mred\n"},
	} {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		program := exec.CommandContext(ctx, os.Args[0])
		program.Env = append(os.Environ(), behaviour+"="+c.how)
		var errs bytes.Buffer
		program.Stderr = &errs
		stdout, err := program.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, program.Start())
		out := bufio.NewReader(stdout)
		line, err := out.ReadString('\n')
		require.NoError(t, err, errs.String())
		require.Equal(t, "at work\n", line)
		for range c.signals {
			require.NoError(t, program.Process.Signal(syscall.SIGTERM))
		}
		rest := new(bytes.Buffer)
		_, err = rest.ReadFrom(out)
		require.NoError(t, err)
		_ = program.Wait()
		require.NoError(t, ctx.Err(), "%s does not end", c.how)
		require.Equal(t, c.code, program.ProcessState.ExitCode(), c.how)
		require.Equal(t, c.out, rest.String(), c.how)
		require.Equal(t, c.errs, errs.String(), c.how)
		stop()
	}
}
