// Package testneed finds what tests need beyond Go and this project: programs,
// Python modules, trained weights, photographs. A test that lacks something is
// skipped with a message that says what to install; where the environment
// variable CI is "true" it fails instead, so that no check goes missing there
// unnoticed.
package testneed

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edgeclassify/internal/fetch"
)

// Missing ends a test that lacks something. The message says what, and how to
// get it.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Long leaves out a test that takes long for what it does if -short is given.
func Long(t testing.TB, does string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("left out by -short: %s", does)
	}
}

// Program is the path of a program, which the command install brings.
func Program(t testing.TB, name, install string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "%s is missing: %s", name, install)
	}
	return path
}

// Built is the path of a program of this project, built with such variables as
// GOARCH=arm64 in the environment. It stays in the folder build/tests for all tests of
// a package, since go build leaves alone what is up to date.
func Built(t testing.TB, pkg string, env ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("%v", err)
	}
	name := strings.Join(append([]string{filepath.Base(dir), filepath.Base(pkg)}, env...), "-")
	path := filepath.Join(root(t), "build", "tests", strings.ReplaceAll(name, "=", "-"))
	build := exec.Command("go", "build", "-o", path, pkg)
	build.Env = append(os.Environ(), env...)
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", build, err, text)
	}
	return path
}

// Python is an interpreter that can import the modules, which the command
// install brings: the one in the environment variable PYTHON, the one in PATH,
// or the system's, which has the modules that Debian packages.
func Python(t testing.TB, install string, modules ...string) string {
	t.Helper()
	list := strings.Join(modules, ", ")
	for _, python := range []string{os.Getenv("PYTHON"), "python3", "/usr/bin/python3"} {
		if python != "" && exec.Command(python, "-c", "import "+list).Run() == nil {
			return python
		}
	}
	Missing(t, "no python3 has %s: %s, or set PYTHON to an interpreter that has it", list, install)
	return ""
}

// Weights is the path of a network in the cache of fetched ones.
func Weights(t testing.TB, name string) string {
	t.Helper()
	path, err := fetch.Path(name, "")
	if errors.Is(err, fs.ErrNotExist) {
		Missing(t, "no weights (%v): quantize fetch %s", err, name)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

// Sample is the path of a file or folder of the ImageNet sample: the
// environment variable IMAGENET_SAMPLE, or ../shared/imagenet, both seen from
// the project's root. Without it tests are skipped even in CI: the photographs
// are not free to be passed on.
func Sample(t testing.TB, name string) string {
	t.Helper()
	folder := os.Getenv("IMAGENET_SAMPLE")
	if folder == "" {
		folder = "../shared/imagenet"
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(root(t), folder)
	}
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the ImageNet sample is absent (%v): set IMAGENET_SAMPLE to its folder", err)
	}
	return path
}

// root is the folder of go.mod, at or above the package under test.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("%v", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatalf("no go.mod at or above the test")
	return ""
}
