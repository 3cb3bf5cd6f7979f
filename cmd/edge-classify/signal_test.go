package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
)

// A picture that never comes does not keep the program from being interrupted.
func TestInterruptWithinAPicture(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a program on Windows cannot be sent a signal")
	}
	program := buildProgram(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), program, "-model", smallModel(t), filepath.Join(photos, "cat.jpg"), "-")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		defer in.Close()
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		require.True(t, lines.Scan(), errs.String()) // the first picture
		require.NoError(t, cmd.Process.Signal(signal))
		for lines.Scan() {
		}
		_ = cmd.Wait()
		require.Equal(t, cli.ExitFailure, cmd.ProcessState.ExitCode())
		require.Equal(t, "edge-classify: interrupted\n", errs.String())
	}
}
