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
