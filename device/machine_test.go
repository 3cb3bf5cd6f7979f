package device

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"edgeclassify/device/internal/guest"
	"edgeclassify/device/internal/machine"
	"edgeclassify/internal/testneed"
)

const (
	bootTime = 6 * time.Minute // on a host that is busy with other things
	callTime = time.Minute
)

// device is a running machine.
type device struct {
	*testing.T // of the test or step that runs
	machine    *machine.Machine
}

// setup is what a machine starts with.
type setup struct {
	board   machine.Board
	modules []string      // with those that they need
	options []string      // of the last module
	files   machine.Files // besides the program and the agent
}

// boot starts a machine, which ends with the test.
func boot(t *testing.T, s setup) *device {
	t.Helper()
	kernel := findKernel(t)
	files := machine.Files{"/init": build(t, "edgeclassify/device/internal/agent")}
	if s.board.System == nil { // to which it comes as a package
		files["/bin/edge-classify"] = build(t, "edgeclassify/cmd/edge-classify")
	}
	for inside, outside := range s.files {
		files[inside] = outside
	}
	modules, err := kernel.Modules(s.modules...)
	require.NoError(t, err)
	for _, m := range modules {
		files["/modules/"+filepath.Base(m)] = m
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	m, err := machine.Boot(ctx, kernel, s.board, files, shortDir(t))
	require.NoError(t, err)
	t.Cleanup(m.Close)
	d := &device{t, m}
	t.Cleanup(d.explain)
	for _, path := range modules {
		m := guest.Module{Path: "/modules/" + filepath.Base(path)}
		if path == modules[len(modules)-1] && s.options != nil {
			m.Parameters = joined(s.options)
		}
		d.call("Load", m, nil)
	}
	return d
}

// findKernel is Debian's, in the folder DEVICE_CACHE. Without it the tests are
// not wanted: they take minutes and, the first time, a download.
func findKernel(t testing.TB) *machine.Kernel {
	t.Helper()
	cache := os.Getenv("DEVICE_CACHE")
	if cache == "" {
		t.Skip("'make test-device' runs this test: DEVICE_CACHE, the folder for an arm64 kernel, is not set")
	}
	testneed.Program(t, machine.Emulator, "apt-get install qemu-system-arm")
	kernel, err := machine.FindKernel(cache)
	if err != nil {
		testneed.Missing(t, "%v: %s", err, machine.Install)
	}
	return kernel
}

// build builds a program for machines.
func build(t testing.TB, pkg string) string {
	return testneed.Built(t, pkg, "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
}

// shortDir is a temporary folder whose path is short enough for a socket,
// which those of t.TempDir need not be.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "device")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// explain shows what a machine has to say about a test that failed.
func (d *device) explain() {
	if !d.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	var kernel string
	if err := d.machine.Call(ctx, "KernelLog", guest.None{}, &kernel); err != nil {
		d.Log(err)
	}
	d.Logf("kernel:\n%s\nconsole:\n%s", tail(kernel), d.machine.Log())
}

// tail is the end of a long text.
func tail(text string) string { return text[max(0, len(text)-5000):] }

// step runs a part of a test that shares the machine with the others.
func (d *device) step(name string, f func()) {
	whole := d.T
	defer func() { d.T = whole }()
	whole.Run(name, func(t *testing.T) {
		d.T = t
		f()
	})
}

// call calls a method of the agent.
func (d *device) call(method string, argument, reply any) {
	d.Helper()
	ctx, cancel := context.WithTimeout(d.Context(), callTime)
	defer cancel()
	require.NoError(d, d.machine.Call(ctx, method, argument, reply))
}

// at calls a method that answers with the time when it was done.
func (d *device) at(method string, argument any) (done time.Time) {
	d.Helper()
	d.call(method, argument, &done)
	return done
}

// read is the contents of a file in the machine.
func (d *device) read(path string) string {
	d.Helper()
	var contents []byte
	d.call("Read", path, &contents)
	return string(contents)
}
