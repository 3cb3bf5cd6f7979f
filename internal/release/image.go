package main

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user of the program in a container: none that a system has.
const user = "65532:65532"

// writeImage writes a container image for all of the builds that are for Linux, as
// an archive of an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md). It
// holds nothing but the program and the notices.
func writeImage(path string, builds []*build) error {
	index, last := v1.ImageIndex(empty.Index), (*build)(nil)
	for _, b := range builds {
		if b.os != "linux" {
			continue
		}
		image, err := b.image()
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: b.platform()}})
		last = b
	}
	if last == nil {
		return nil
	}
	dir := filepath.Join(last.dir, "image")
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// By the first annotation Docker and skopeo name the image, by the second containerd.
	if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag(last.version),
		"io.containerd.image.name":          "docker.io/library/edge-classify:" + tag(last.version),
	})); err != nil {
		return err
	}
	var list []entry
	if err := filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error { // in lexical order
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(file)
		name, _ := filepath.Rel(dir, file) // lies below it
		list = append(list, entry{filepath.ToSlash(name), 0o644, b})
		return err
	}); err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := writeTar(&packed, list, last.time); err != nil {
		return err
	}
	return os.WriteFile(path, packed.Bytes(), 0o644)
}

// tag is a version as a tag, in which a plus cannot stand.
func tag(version string) string { return strings.ReplaceAll(version, "+", "-") }

func (b *build) platform() *v1.Platform {
	return &v1.Platform{OS: b.os, Architecture: b.arch, Variant: b.variant}
}

// image is that of one platform.
func (b *build) image() (v1.Image, error) {
	list, err := entries([]string{b.programs["edge-classify"]}, []string{b.notices})
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	if err := writeTar(&packed, list, b.time); err != nil {
		return nil, err
	}
	files, err := partial.UncompressedToLayer(layer(packed.Bytes()))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, files); err != nil {
		return nil, err
	}
	c, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Variant, c.Created = b.os, b.arch, b.variant, v1.Time{Time: b.time}
	c.Config = v1.Config{User: user, Entrypoint: []string{"/edge-classify"}, Labels: map[string]string{
		"org.opencontainers.image.title": "edge-classify", "org.opencontainers.image.version": b.version, "org.opencontainers.image.licenses": "Apache-2.0",
	}}
	return mutate.ConfigFile(image, c)
}

// layer is a tar archive as an uncompressed layer.
type layer []byte

func (l layer) DiffID() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l))
	return h, err
}
func (l layer) Uncompressed() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(l)), nil }
func (l layer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
