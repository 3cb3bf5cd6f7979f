package atomicfile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// only asserts that the folder holds nothing but the one file.
func only(t *testing.T, path, content string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, content, string(b))
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	require.NoError(t, Write(path, 0o600, text("old")))
	only(t, path, "old")
	require.NoError(t, Write(path, 0o640, text("new")))
	only(t, path, "new")
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	}
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model")
	require.NoError(t, Write(path, 0o644, text("old")))
	ctx, cancel := context.WithCancel(context.Background())

	for name, write := range map[string]func(io.Writer) error{
		"error":  func(w io.Writer) error { return errors.Join(text("half")(w), io.ErrUnexpectedEOF) },
		"cancel": func(w io.Writer) error { cancel(); return errors.Join(text("half")(w), ctx.Err()) },
	} {
		err := Write(path, 0o644, write)
		require.ErrorContains(t, err, path, name)
		only(t, path, "old")
	}
	require.Panics(t, func() { _ = Write(path, 0o644, func(io.Writer) error { panic("bug") }) })
	only(t, path, "old")
}

func TestFailedRenameLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(path, "child"), 0o755))
	require.Error(t, Write(path, 0o644, text("x")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestMissingFolder(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "no", "model"), 0o644, text("x"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// entries are the names in a folder.
func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestStaleFilesAreRemoved(t *testing.T) {
	if f, err := os.Create(filepath.Join(t.TempDir(), "f")); err != nil || lock(f) != nil {
		t.Skip("no locks on this system")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "model")
	others := []string{".model.0123456.tmp", ".model.01234567", ".model.b.01234567.tmp", ".other.01234567.tmp", "model.01234567.tmp"}
	for _, name := range append(others, ".model.01234567.tmp", ".model.89abcdef.tmp") {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	// Another writer that is at work, and one that begins and ends within.
	require.NoError(t, Write(path, 0o600, func(w io.Writer) error {
		require.NoError(t, Check(path))
		require.NoError(t, Write(path, 0o600, text("within")))
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "within", string(b))
		return text("without")(w)
	}))
	require.ElementsMatch(t, append(others, "model"), entries(t, dir))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "without", string(b))
}

// Many writers at once take no temporary file from each other.
func TestWritersAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model")
	errs := make(chan error)
	const writers, writes = 8, 20
	for range writers {
		go func() {
			var err error
			for range writes {
				err = errors.Join(err, Write(path, 0o600, text("whole")), Check(path))
			}
			errs <- err
		}()
	}
	for range writers {
		require.NoError(t, <-errs)
	}
	only(t, path, "whole")
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model")
	require.NoError(t, Check(path))
	require.Empty(t, entries(t, dir))
	require.NoError(t, Write(path, 0o600, text("old")))
	require.NoError(t, Check(path))
	only(t, path, "old")

	require.ErrorContains(t, Check(dir), dir+" is a folder")
	err := Check(filepath.Join(dir, "no", "model"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "there is no folder "+filepath.Join(dir, "no"))
	require.Error(t, Check(filepath.Join(path, "model")), "a file is no folder")
}
