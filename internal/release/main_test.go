package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/stretchr/testify/require"
)

// released runs a release, with the time of the sources given, and gives its files by
// name, of which the version is taken out.
func released(t *testing.T, platforms ...string) map[string][]byte {
	if testing.Short() {
		t.Skip("builds programs and the tools that pack them")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	t.Setenv("TMPDIR", t.TempDir())
	out := filepath.Join(t.TempDir(), "out")
	require.NoError(t, release(out, platforms, false))
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(out, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = b
	}
	sums := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	sums.Dir = out
	text, err := sums.CombinedOutput()
	require.NoError(t, err, string(text))
	require.Equal(t, len(files)-1, strings.Count(string(text), ": OK\n"))
	return files
}

// ending is the one file whose name ends so.
func ending(t *testing.T, files map[string][]byte, suffix string) []byte {
	var found []byte
	for name, b := range files {
		if strings.HasSuffix(name, suffix) {
			require.Nil(t, found, name)
			found = b
		}
	}
	require.NotNil(t, found, suffix)
	return found
}

// Neither the time nor the place is in what is released.
func TestReleaseIsReproducible(t *testing.T) {
	first := released(t, "linux/arm64", "windows/amd64")
	t.Setenv("TZ", "Asia/Tokyo")
	second := released(t, "linux/arm64", "windows/amd64")
	require.Len(t, first, 7)
	require.Equal(t, len(first), len(second))
	for name, b := range first {
		require.True(t, bytes.Equal(b, second[name]), name)
	}
	checkArchives(t, first)
	checkImage(t, ending(t, first, "_oci.tar"))
	var list struct {
		Format     string `json:"bomFormat"`
		Components []struct{ Purl string }
	}
	require.NoError(t, json.Unmarshal(components(t, first), &list))
	require.Equal(t, "CycloneDX", list.Format)
	require.Contains(t, string(components(t, first)), "pkg:golang/golang.org/x/sys@")
}

func components(t *testing.T, files map[string][]byte) []byte {
	for name, b := range files {
		if strings.HasPrefix(name, "edge-classify_") && strings.HasSuffix(name, ".cdx.json") {
			return b
		}
	}
	t.Fatal("no components")
	return nil
}

func checkArchives(t *testing.T, files map[string][]byte) {
	want := []string{"edge-classify", "quantize", "LICENSE", "README.md", "THIRD-PARTY-NOTICES"}
	z, err := gzip.NewReader(bytes.NewReader(ending(t, files, "_linux_arm64.tar.gz")))
	require.NoError(t, err)
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		names = append(names, filepath.Base(h.Name))
		require.EqualValues(t, 1000000000, h.ModTime.Unix())
		require.Equal(t, len(names) <= 2, h.Mode == 0o755, h.Name)
		if len(names) == 5 {
			notices, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Contains(t, string(notices), "\ngolang.org/x/sys v")
			require.Contains(t, string(notices), "Redistribution and use in source and binary forms")
		}
	}
	require.Equal(t, want, names)
	b := ending(t, files, "_windows_amd64.zip")
	list, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	require.Len(t, list.File, len(want))
	require.True(t, strings.HasSuffix(list.File[0].Name, "/edge-classify.exe"))
}

// checkImage reads the image as others do.
func checkImage(t *testing.T, archive []byte) {
	dir := t.TempDir()
	unpack := exec.Command("tar", "x", "-C", dir)
	unpack.Stdin = bytes.NewReader(archive)
	require.NoError(t, unpack.Run())
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	top, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, top.Manifests, 1)
	require.Contains(t, top.Manifests[0].Annotations["io.containerd.image.name"], "docker.io/library/edge-classify:")
	platforms, err := index.ImageIndex(top.Manifests[0].Digest)
	require.NoError(t, err)
	manifest, err := platforms.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1, "Windows has none")
	require.Equal(t, &v1.Platform{OS: "linux", Architecture: "arm64"}, manifest.Manifests[0].Platform)
	image, err := platforms.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	c, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, user, c.Config.User)
	require.Equal(t, []string{"/edge-classify"}, c.Config.Entrypoint)
	r := tar.NewReader(mutate.Extract(image))
	h, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "edge-classify", h.Name)
	require.EqualValues(t, 0o755, h.Mode)
}

func TestPlatforms(t *testing.T) {
	_, err := newBuild(t.TempDir(), "linux", false)
	require.ErrorContains(t, err, `platform "linux": want OS/ARCHITECTURE`)
}
