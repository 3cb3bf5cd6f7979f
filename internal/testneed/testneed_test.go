package testneed_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"edgeclassify/internal/testneed"
)

// outcome records how a test ends.
type outcome struct {
	testing.TB
	skipped, failed string
}

func (o *outcome) Helper() {}

func (o *outcome) Skipf(format string, args ...any) {
	o.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (o *outcome) Fatalf(format string, args ...any) {
	o.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// outcomeOf runs a test that may end early.
func outcomeOf(test func(t testing.TB)) *outcome {
	o := &outcome{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(o)
	}()
	<-done
	return o
}

func TestMissingThingsSkipAndFailInCI(t *testing.T) {
	t.Setenv("EDGE_CLASSIFY_CACHE", t.TempDir())
	for want, test := range map[string]func(t testing.TB){
		"no-such-program is missing: apt-get install it":    func(t testing.TB) { testneed.Program(t, "no-such-program", "apt-get install it") },
		"no python3 has sys, no_such_module: pip install x": func(t testing.TB) { testneed.Python(t, "pip install x", "sys", "no_such_module") },
		"quantize fetch resnet50-keras":                     func(t testing.TB) { testneed.Weights(t, "resnet50-keras") },
	} {
		t.Setenv("CI", "")
		o := outcomeOf(test)
		require.Contains(t, o.skipped, want)
		require.Empty(t, o.failed)
		t.Setenv("CI", "true")
		o = outcomeOf(test)
		require.Contains(t, o.failed, want)
		require.Empty(t, o.skipped)
	}
}

func TestLongTestsAreLeftOutByShort(t *testing.T) {
	long := func(t testing.TB) { testneed.Long(t, "builds a program") }
	short := flag.Lookup("test.short").Value
	before := short.String()
	defer func() { require.NoError(t, short.Set(before)) }()
	require.NoError(t, short.Set("true"))
	require.Equal(t, "left out by -short: builds a program", outcomeOf(long).skipped)
	require.NoError(t, short.Set("false"))
	require.Empty(t, outcomeOf(long).skipped)
}

func TestUnknownNetworkFails(t *testing.T) {
	o := outcomeOf(func(t testing.TB) { testneed.Weights(t, "resnet9") })
	require.Contains(t, o.failed, "resnet9")
}

func TestPythonHonoursItsVariable(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the interpreter is a shell script")
	}
	python := filepath.Join(t.TempDir(), "my-python")
	require.NoError(t, os.WriteFile(python, []byte("#!/bin/sh\ntest \"$2\" = 'import a, b'\n"), 0o700))
	t.Setenv("PYTHON", python)
	require.Equal(t, python, testneed.Python(t, "", "a", "b"))
}

func TestSample(t *testing.T) {
	t.Setenv("IMAGENET_SAMPLE", "testdata/photos")
	require.FileExists(t, testneed.Sample(t, "cat.jpg"), "relative to the project's root")
	t.Setenv("IMAGENET_SAMPLE", t.TempDir())
	t.Setenv("CI", "true")
	require.Contains(t, outcomeOf(func(t testing.TB) { testneed.Sample(t, "images") }).skipped, "set IMAGENET_SAMPLE")
}

func TestBuilt(t *testing.T) {
	path := testneed.Built(t, "edgeclassify/internal/gotest", "GOARCH=arm64")
	require.FileExists(t, path)
	require.Equal(t, path, testneed.Built(t, "edgeclassify/internal/gotest", "GOARCH=arm64"))
	require.NotEqual(t, path, testneed.Built(t, "edgeclassify/internal/gotest"), "another program")
	require.Contains(t, outcomeOf(func(t testing.TB) { testneed.Built(t, "edgeclassify/none") }).failed, "edgeclassify/none")
}
