// Release makes what users download: archives of both programs for each platform,
// Debian packages, a container image, lists of components and checksums. The same
// sources give the same bytes.
package main

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tools that are run by their versions.
const (
	nfpm      = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0"
	cyclonedx = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0"
)

var programs = []string{"edge-classify", "quantize"}

func main() {
	out := flag.String("out", "build/release", "write to the folder `DIR`")
	platforms := flag.String("platforms", "linux/arm64,linux/arm/v7,linux/amd64,darwin/arm64,windows/amd64", "build for `LIST`")
	deb := flag.Bool("deb", false, "make the Debian packages only")
	flag.Parse()
	if err := release(*out, strings.Split(*platforms, ","), *deb); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// release makes all files and prints their names.
func release(out string, platforms []string, debOnly bool) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var builds []*build
	for _, p := range platforms {
		b, err := newBuild(work, p, debOnly)
		if err != nil {
			return err
		}
		builds = append(builds, b)
	}
	var files []string
	for _, b := range builds {
		var made []string
		if b.debian() != "" {
			made = append(made, b.file(out, b.debian()+".deb"))
			if err := b.deb(made[0]); err != nil {
				return err
			}
		}
		if !debOnly {
			name, err := b.archive(out)
			if err != nil {
				return err
			}
			made = append(made, name)
		}
		files = append(files, made...)
	}
	if !debOnly {
		more, err := whole(out, builds)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	for _, file := range files {
		fmt.Println(file)
	}
	return nil
}

// whole makes what there is once: the image, the components and the checksums of
// all files, which come first.
func whole(out string, builds []*build) (files []string, err error) {
	b := builds[0]
	image := filepath.Join(out, fmt.Sprintf("edge-classify_%s_oci.tar", b.version))
	if err := writeImage(image, builds); err != nil {
		return nil, err
	}
	files = append(files, image)
	for _, program := range programs {
		list := filepath.Join(out, fmt.Sprintf("%s_%s.cdx.json", program, b.version))
		if err := b.components(program, list); err != nil {
			return nil, err
		}
		files = append(files, list)
	}
	sums, err := checksums(out, b.version)
	return append(files, sums), err
}

// checksums writes those of the version's files, for sha256sum --check.
func checksums(out, version string) (string, error) {
	names, err := filepath.Glob(filepath.Join(out, "*_"+version+"[._]*"))
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(b), filepath.Base(name))
	}
	path := filepath.Join(out, "SHA256SUMS")
	return path, os.WriteFile(path, []byte(text.String()), 0o644)
}
