package fetch

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tiny is a package of two wanted files.
func tiny() npmPackage {
	sum := func(s string) string {
		h := sha256.Sum256([]byte(s))
		return hex.EncodeToString(h[:])
	}
	return npmPackage{spec: "tiny@1.0.0", tarball: "tiny-1.0.0.tgz", sums: map[string]string{
		"package/net/model.json": sum("{}"), "package/LICENSE": sum("free")}}
}

func tarball(t *testing.T, path string, headers ...tar.Header) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, h := range headers {
		body := h.Linkname
		if h.Typeflag == tar.TypeReg {
			h.Size, h.Linkname = int64(len(body)), ""
		}
		h.Mode = 0o644
		require.NoError(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte(body))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
}

// file is an entry; its content travels as Linkname.
func file(name, body string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Linkname: body}
}

func good() []tar.Header {
	return []tar.Header{
		file("../evil", "x"), file("/evil", "x"), file("package/lib/index.js", "x"),
		{Name: "package/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		file("package/net/model.json", "{}"), file("package/LICENSE", "free")}
}

func get(ctx context.Context, dir string) error {
	return tiny().get(ctx, filepath.Join(dir, "tiny"), Options{Progress: func(int64, int64) {}})
}

// fakeNPM puts a shell script called npm before everything on PATH.
func fakeNPM(t *testing.T, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake npm is a shell script")
	}
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\n"+script), 0o755))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

func TestNPM(t *testing.T) {
	source := filepath.Join(t.TempDir(), "source.tgz")
	tarball(t, source, good()...)
	fakeNPM(t, `[ "$1 $2" = "pack tiny@1.0.0" ] && cp "`+source+`" tiny-1.0.0.tgz`)

	dir := t.TempDir()
	require.NoError(t, get(t.Context(), dir))
	require.Equal(t, []string{"tiny"}, entries(t, dir))
	require.Equal(t, []string{"LICENSE", "model.json"}, entries(t, filepath.Join(dir, "tiny")))
	require.NoError(t, tiny().verify(filepath.Join(dir, "tiny")))

	// A damaged network is replaced.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tiny", "LICENSE"), []byte("fees"), 0o644))
	require.ErrorContains(t, tiny().verify(filepath.Join(dir, "tiny")), "LICENSE: SHA-256")
	require.NoError(t, get(t.Context(), dir))
	require.NoError(t, tiny().verify(filepath.Join(dir, "tiny")))
	require.Equal(t, []string{"tiny"}, entries(t, dir))
}

func TestNPMFails(t *testing.T) {
	fakeNPM(t, `echo "getaddrinfo ENOTFOUND" >&2; exit 1`)
	dir := t.TempDir()
	err := get(t.Context(), dir)
	require.ErrorContains(t, err, "npm pack tiny@1.0.0: exit status 1: getaddrinfo ENOTFOUND")
	require.ErrorContains(t, err, "by hand at "+filepath.Join(dir, "tiny-1.0.0.tgz"))
	require.Empty(t, entries(t, dir))
}

func TestNPMMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	err := get(t.Context(), dir)
	require.ErrorContains(t, err, "npm is not installed, it comes with Node.js")
	require.ErrorContains(t, err, "by hand at "+filepath.Join(dir, "tiny-1.0.0.tgz"))
	require.Empty(t, entries(t, dir))

	tarball(t, filepath.Join(dir, "tiny-1.0.0.tgz"), good()...)
	require.NoError(t, get(t.Context(), dir), "with the tarball put by hand")
	require.FileExists(t, filepath.Join(dir, "tiny-1.0.0.tgz"), "the user's file stays")
	require.NoError(t, tiny().verify(filepath.Join(dir, "tiny")))
}

func TestNPMInterrupted(t *testing.T) {
	fakeNPM(t, "exec sleep 60")
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := get(ctx, dir)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "npm pack was interrupted")
	require.Empty(t, entries(t, dir))
}

func TestBadTarballs(t *testing.T) {
	for name, c := range map[string]struct {
		headers []tar.Header
		want    string
	}{
		"wrong content": {[]tar.Header{file("package/net/model.json", "[]"), file("package/LICENSE", "free")}, "package/net/model.json: SHA-256"},
		"missing file":  {[]tar.Header{file("package/net/model.json", "{}")}, "package/LICENSE"},
		"a link":        {[]tar.Header{{Name: "package/LICENSE", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}, "2 expected files are missing"},
		"huge file":     {[]tar.Header{file("package/LICENSE", strings.Repeat("x", maxFile+1))}, "package/LICENSE: SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tarball(t, filepath.Join(dir, "tiny-1.0.0.tgz"), c.headers...)
			require.ErrorContains(t, get(t.Context(), dir), c.want)
			require.Equal(t, []string{"tiny-1.0.0.tgz"}, entries(t, dir))
		})
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tiny-1.0.0.tgz"), []byte("no tarball"), 0o644))
	require.ErrorContains(t, get(t.Context(), dir), "gzip")
}
