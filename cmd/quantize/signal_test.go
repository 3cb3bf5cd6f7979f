package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/cli"
	"edgeclassify/internal/testneed"
)

// A build can be interrupted at any time, and leaves nothing.
func TestInterruptWithinABuild(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a program on Windows cannot be sent a signal")
	}
	needWeights(t)
	out, program := t.TempDir(), testneed.Built(t, "edgeclassify/cmd/quantize")
	cmd := exec.CommandContext(t.Context(), program, "build", "-model", "resnet50-keras", "-images", "../../testdata/photos", "-out", filepath.Join(out, "out.q8"))
	errs, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var last string
	for lines := bufio.NewScanner(errs); lines.Scan(); {
		if last = lines.Text(); strings.Contains(last, "labels:") {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	_ = cmd.Wait()
	require.Equal(t, "quantize: interrupted", last)
	require.Equal(t, cli.ExitFailure, cmd.ProcessState.ExitCode())
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, left)
}
